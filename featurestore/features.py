"""Which feature versions a store holds, and which one is the current head of each feature view.

Every registration is a numbered object ``features/<kind>/<feature>/<view>/<number>-<digest>.json`` that is
created only if absent. The highest number is the head; going back to an earlier spec is a new number.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from featurestore.errors import MissingVersionError, UnknownNameError, UsageError
from featurestore.ids import canonical_json
from featurestore.spec import AnySpec, Kind, ModelVectorSpec, VectorSpec, parse_spec, table_name
from featurestore.store import Store

HOW_TO_GET_VECTORS: Final = (
    "Make vectors with `featurestore embed`, or bring them with `featurestore import`; then publish."
)
_PREFERRED_VIEWS = ("fused", "text")
_RECORD = re.compile(
    r"^features/(?P<kind>[a-z_]+)/(?P<feature>[^/]+)/(?P<view>[^/]+)/(?P<number>\d{6})-(?P<digest>[0-9a-f]{32})\.json$"
)


@dataclass(frozen=True, slots=True)
class FeatureVersion:
    """A spec that was registered in a store."""

    number: int
    spec: AnySpec

    @property
    def table(self) -> str:
        """Name of the table that holds the rows."""
        return table_name(self.spec)


class FeatureRegistry:
    """Feature versions of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def register(self, spec: AnySpec) -> FeatureVersion:
        """Make ``spec`` the head of its feature view; nothing is written if it is the head already."""
        while True:
            head = self._head_record(spec.kind, spec.feature, spec.view)
            if head is not None and head["digest"] == spec.digest:
                return FeatureVersion(int(head["number"]), spec)
            number = int(head["number"]) + 1 if head else 1
            path = f"features/{spec.kind}/{spec.feature}/{spec.view}/{number:06d}-{spec.digest}.json"
            if self._store.objects.put_new(path, canonical_json(spec.model_dump(mode="json")).encode()):
                return FeatureVersion(number, spec)

    def heads(self, kind: Kind | None = None) -> list[FeatureVersion]:
        """The current version of every feature view, sorted by kind, feature and view."""
        newest: dict[tuple[str, str, str], str] = {}
        for path in self._store.objects.list(f"features/{kind}/" if kind else "features/"):
            if match := _RECORD.match(path):
                newest[match["kind"], match["feature"], match["view"]] = path
        return [self._load(newest[name]) for name in sorted(newest)]

    def head(self, kind: Kind, feature: str, view: str) -> FeatureVersion:
        """The current version of one feature view.

        Raises:
            UnknownNameError: Listing the feature views of that kind.
        """
        record = self._head_record(kind, feature, view)
        if record is None:
            known = {f"{v.spec.feature}.{v.spec.view}" for v in self.heads(kind)}
            raise UnknownNameError(f"{kind} feature", f"{feature}.{view}", known)
        return self._load(record[0])

    def pick_head(self, kind: Kind, feature: str, view: str | None = None) -> FeatureVersion:
        """The head of one view of a feature, chosen as by `choose_view`.

        Raises:
            UnknownNameError: Listing the features of that kind, or the feature's views.
            UsageError: If no view was named and none of several is the usual one.
        """
        known = self.heads(kind)
        heads = {version.spec.view: version for version in known if version.spec.feature == feature}
        if not heads:
            raise UnknownNameError(f"{kind} feature", feature, {v.spec.feature for v in known})
        return heads[choose_view(f"{kind} feature {feature!r}", view, list(heads))]

    def holds(self, kind: Kind, feature: str) -> bool:
        """Whether any view of a feature was registered."""
        return any(version.spec.feature == feature for version in self.heads(kind))

    def require_origin(self, origin: Literal["encoder", "model"], feature: str, views: Iterable[str]) -> None:
        """Refuse to put a model's own vectors in the place of vectors of texts, or the other way round.

        Asked before any work: what reads the name would silently read something else.

        Args:
            origin: Of the vectors that are to be written.
            feature: Their name.
            views: Their views.

        Raises:
            UsageError: If the head of a view is of the other kind.
        """
        kinds = {"encoder": "vectors of texts", "model": "a model's own vectors"}
        for spec in (head.spec for head in self.heads("vector")):
            named = spec.feature == feature and spec.view in views
            if named and isinstance(spec, VectorSpec | ModelVectorSpec) and spec.origin != origin:
                suffix = "texts" if origin == "encoder" else "model"
                raise UsageError(
                    f"{feature}.{spec.view} is the name of {kinds[spec.origin]} in this store; "
                    f"{kinds[origin]} would take their place.",
                    hint=f"Choose another name with --name, such as --name {feature}-{suffix}.",
                )

    def history(self, kind: Kind, feature: str, view: str) -> list[FeatureVersion]:
        """All registrations of one feature view, newest first; empty if there is none."""
        paths = self._store.objects.list(f"features/{kind}/{feature}/{view}/")
        return [self._load(path) for path in reversed(paths) if _RECORD.match(path)]

    def every(self) -> list[FeatureVersion]:
        """All registrations of all feature views, heads or not."""
        return [self._load(path) for path in self._store.objects.list("features/") if _RECORD.match(path)]

    def find(self, kind: Kind, digest: str) -> FeatureVersion:
        """The version of a given spec digest, head or not.

        Raises:
            MissingVersionError: If no such spec was ever registered.
        """
        for path in reversed(self._store.objects.list(f"features/{kind}/")):
            if (match := _RECORD.match(path)) and match["digest"] == digest:
                return self._load(path)
        raise MissingVersionError(f"the store holds no {kind} version {digest!r}.")

    def _head_record(self, kind: Kind, feature: str, view: str) -> re.Match[str] | None:
        paths = self._store.objects.list(f"features/{kind}/{feature}/{view}/")
        records = [match for path in paths if (match := _RECORD.match(path))]
        return max(records, key=lambda match: int(match["number"]), default=None)

    def _load(self, path: str) -> FeatureVersion:
        match = _RECORD.match(path)
        if match is None:
            raise MissingVersionError(f"{path!r} is no feature record.")
        return FeatureVersion(int(match["number"]), parse_spec(json.loads(self._store.objects.read(path))))


def choose_view(subject: str, view: str | None, views: Sequence[str]) -> str:
    """The view asked for; if None the only one, else ``fused``, else ``text``.

    Raises:
        UnknownNameError: If there is no such view.
        UsageError: If None leaves a choice.
    """
    if view is not None:
        if view not in views:
            raise UnknownNameError(f"view of {subject}", view, views)
        return view
    if len(views) == 1:
        return views[0]
    for preferred in _PREFERRED_VIEWS:
        if preferred in views:
            return preferred
    raise UsageError(f"{subject} has several views, name one: {', '.join(sorted(views))}.")
