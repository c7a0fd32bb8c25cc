"""A release to be, beside its parent: what the gates look at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import polars as pl

from featurestore import columns as c
from featurestore.embeddings import Embeddings
from featurestore.errors import UnknownNameError
from featurestore.features import choose_view
from featurestore.gate_result import GateResult
from featurestore.gates.rules import judged, subject_of
from featurestore.release import Manifest, TablePin
from featurestore.spec import (
    AnySpec,
    AnyVectorSpec,
    Entity,
    SourceSpec,
    VectorLike,
)
from featurestore.splits import SplitRecord
from featurestore.store import Store
from featurestore.table_facts import TableFacts, matrix_of, sorted_positions

Limits: TypeAlias = Mapping[tuple[str, str], float]
"""(gate, stratum) → threshold."""


@dataclass(frozen=True)
class Draft:
    """What a release would pin.

    Attributes:
        store: Holds the tables.
        tables: What would be pinned, with what was measured of it.
        split: The current split; None if nothing was ingested.
        parent: The release that it would follow; None for the first.
    """

    store: Store
    tables: Sequence[tuple[AnySpec, TableFacts]]
    split: SplitRecord | None
    parent: Manifest | None

    def before(self, spec: AnySpec) -> TablePin | None:
        """What the parent pins under the same kind, feature and view; perhaps of another spec."""
        pins = self.parent.pins if self.parent else ()
        name = (spec.kind, spec.feature, spec.view)
        return next((p for p in pins if (p.spec.kind, p.spec.feature, p.spec.view) == name), None)

    def is_unchanged(self, spec: AnySpec) -> bool:
        """Whether the parent pins the same version of the same spec."""
        pin, facts = self.before(spec), self.facts(spec)
        if pin is None or pin.spec.digest != spec.digest:
            return False
        return (pin.table, pin.version) == (facts.table, facts.version)

    def facts(self, spec: AnySpec) -> TableFacts:
        """What was measured of a table of this draft."""
        return next(facts for known, facts in self.tables if known.digest == spec.digest)

    def source(self, name: str) -> SourceSpec | None:
        """The source table of a name, such as ``items``, if there is one with rows."""
        for spec, facts in self.tables:
            if isinstance(spec, SourceSpec) and spec.feature == name and facts.version:
                return spec
        return None

    def entities(self, entity: Entity) -> SourceSpec | None:
        """The source table of an entity's rows."""
        return self.source(f"{entity}s")

    def was_judged(self, spec: AnySpec, gate: str) -> bool:
        """Whether a gate said something of the feature in the parent; of few rows some gates say nothing."""
        feature = f"{spec.kind} {spec.feature}.{spec.view}"
        gates = self.parent.gates if self.parent else ()
        return any((result.gate, result.feature) == (gate, feature) for result in gates)

    def carried(self, spec: AnySpec, limits: Limits) -> list[GateResult] | None:
        """The parent's values, judged anew; None if one is absent or refuses now and must be measured."""
        gates = self.parent.gates if self.parent else ()
        known = {(g.gate, g.stratum): g for g in gates if g.feature == subject_of(spec)}
        if not limits.keys() <= known.keys():
            return None
        results = [
            judged(spec, gate, known[gate, stratum].value, limit, stratum=stratum)
            for (gate, stratum), limit in limits.items()
        ]
        return results if all(result.passed for result in results) else None

    def rows(self, spec: AnySpec, columns: Sequence[str]) -> pl.DataFrame:
        """Some columns of a table of this draft."""
        facts = self.facts(spec)
        return pl.DataFrame(self.store.read(facts.table, version=facts.version, columns=columns))

    def rows_before(self, pin: TablePin, columns: Sequence[str]) -> pl.DataFrame:
        """Some columns of a table of the parent."""
        return pl.DataFrame(self.store.read(pin.table, version=pin.version, columns=columns))

    def vectors(self, feature: str, view: str | None = None) -> AnyVectorSpec:
        """A vector feature that would be released; named as in `featurestore.reader.Release`.

        Raises:
            UnknownNameError: Listing the vector features, or the views, of the draft.
            UsageError: If ``view`` is None and the choice is open.
        """
        known = [spec for spec, _ in self.tables if isinstance(spec, VectorLike)]
        views = {spec.view: spec for spec in known if spec.feature == feature}
        if not views:
            raise UnknownNameError("vector feature", feature, {spec.feature for spec in known})
        return views[choose_view(f"vector feature {feature!r}", view, list(views))]

    def embeddings(self, spec: AnyVectorSpec) -> Embeddings:
        """Vectors that would be released, read into memory."""
        facts = self.facts(spec)
        rows = self.store.read(facts.table, version=facts.version, columns=[c.ID, c.VECTOR])
        rows = rows.take(sorted_positions(rows, [c.ID]))
        return Embeddings(
            rows[c.ID].combine_chunks(), matrix_of(rows), spec=spec, event_sets=facts.event_sets
        )
