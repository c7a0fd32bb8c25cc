"""What a store holds, for people: feature versions, releases, and the texts of one feature."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import polars as pl

from featurestore import columns as c
from featurestore.errors import MissingVersionError, UnknownNameError
from featurestore.features import FeatureRegistry, choose_view
from featurestore.ids import ExternalId
from featurestore.readable_manifests import DamagedRelease, read_manifests
from featurestore.release import Manifest, ReleaseCatalog
from featurestore.spec import AnySpec, table_name
from featurestore.store import Store

_NEWEST_RELEASES = 50


@dataclass(frozen=True, slots=True)
class FeatureRow:
    """The head of one feature view.

    Attributes:
        kind: text, vector, graph or recommendations.
        feature: Such as ``item_cot``.
        view: Such as ``fused``.
        rows: Rows of the newest version.
        failed: Of those, texts that failed; None for other kinds.
        spec: First 16 characters of the spec's digest.
        releases: Releases (of the newest 50) that pin this spec, ascending.
        newest_released: Whether the newest of them pins the newest rows.
    """

    kind: str
    feature: str
    view: str
    rows: int
    failed: int | None
    spec: str
    releases: tuple[int, ...]
    newest_released: bool


@dataclass(frozen=True, slots=True)
class ReleaseRow:
    """One release: its number, when it was made, how many tables it pins, the aliases that name it."""

    number: int
    created_at: str
    tables: int
    aliases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StoreOverview:
    """What `list_features` found: source tables (name → rows), feature heads, releases, unreadable ones."""

    uri: str
    sources: dict[str, int]
    features: tuple[FeatureRow, ...]
    releases: tuple[ReleaseRow, ...]
    damaged: tuple[DamagedRelease, ...]

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ShownTexts:
    """Texts as `show_texts` found them.

    Attributes:
        spec: What the texts are.
        version: The table version that was read.
        total: Rows of that version.
        rows: Columns of `featurestore.schema.TEXTS`, at most as many as asked for.
    """

    spec: AnySpec
    version: int
    total: int
    rows: pl.DataFrame


def list_features(store: Store) -> StoreOverview:
    """List source tables, the head of every feature view, and the newest 50 releases.

    Reads the status column of every text table: seconds at tens of millions of rows.
    """
    catalog = ReleaseCatalog(store)
    found = read_manifests(catalog, catalog.numbers()[-_NEWEST_RELEASES:])
    names: dict[int, list[str]] = {}
    for alias, number in catalog.aliases().items():
        names.setdefault(number, []).append(alias)
    sources = {table: _rows(store, table) for table in store.tables() if table.startswith("source.")}
    return StoreOverview(
        uri=store.uri,
        sources=sources,
        features=tuple(
            _feature_row(store, head.spec, found.manifests) for head in FeatureRegistry(store).heads()
        ),
        releases=tuple(
            ReleaseRow(m.number, m.created_at, len(m.pins), tuple(names.get(m.number, ())))
            for m in found.manifests
        ),
        damaged=found.damaged,
    )


def show_texts(
    store: Store,
    feature: str,
    *,
    view: str | None = None,
    ids: Sequence[ExternalId] | None = None,
    limit: int = 10,
    release: str | None = None,
) -> ShownTexts:
    """Texts of one feature view with their outcome.

    Args:
        store: The store.
        feature: Such as ``item_cot``.
        view: The only one if None; else ``fused``, else ``text``, if there.
        ids: These rows, in this order; the first ``limit`` by ascending id if None.
        limit: Rows at most, where no ids are given.
        release: Release number or alias; the newest rows if None.

    Raises:
        UnknownNameError: Listing the features, or the views, there are.
        UsageError: If ``view`` is None and the choice is open.
        MissingIdsError: Naming ids that have no row.
        MissingVersionError: If the release, or the feature's table, does not exist.
    """
    known = _text_versions(store, release)
    views = {spec.view: (spec, version) for spec, version in known if spec.feature == feature}
    if not views:
        raise UnknownNameError("text feature", feature, {spec.feature for spec, _ in known})
    spec, version = views[choose_view(f"text feature {feature!r}", view, list(views))]
    table = table_name(spec)
    if version == 0:
        raise MissingVersionError(
            f"{feature}.{spec.view} has no rows yet.", hint="Run the job that makes it."
        )
    if ids is None:
        every = pl.DataFrame(store.read(table, version=version, columns=[c.ID]))
        ids, total = every[c.ID].sort().head(limit).to_list(), every.height
    else:
        total = store.read(table, version=version, columns=[c.ID]).num_rows
    return ShownTexts(spec, version, total, pl.DataFrame(store.read(table, version=version, ids=ids)))


def _text_versions(store: Store, release: str | None) -> list[tuple[AnySpec, int]]:
    if release is not None:
        pins = ReleaseCatalog(store).resolve(release).pins
        return [(pin.spec, pin.version) for pin in pins if pin.spec.kind == "text"]
    heads = [(head.spec, store.latest(head.table)) for head in FeatureRegistry(store).heads("text")]
    return [(spec, latest.version if latest else 0) for spec, latest in heads]


def _rows(store: Store, table: str) -> int:
    latest = store.latest(table)
    return latest.num_rows if latest else 0


def _feature_row(store: Store, spec: AnySpec, manifests: Sequence[Manifest]) -> FeatureRow:
    table = table_name(spec)
    latest = store.latest(table)
    pinned = {m.number: pin.version for m in manifests for pin in m.pins if pin.table == table}
    failed = None
    if spec.kind == "text" and latest is not None:
        status = pl.DataFrame(store.read(table, version=latest.version, columns=[c.STATUS]))[c.STATUS]
        failed = int((status != c.STATUS_OK).sum())
    return FeatureRow(
        kind=spec.kind,
        feature=spec.feature,
        view=spec.view,
        rows=latest.num_rows if latest else 0,
        failed=failed,
        spec=spec.digest[:16],
        releases=tuple(sorted(pinned)),
        newest_released=bool(pinned) and latest is not None and pinned[max(pinned)] == latest.version,
    )
