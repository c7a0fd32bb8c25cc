"""Stages that release what was made: publish, look at it, and let an alias name it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from featurestore.features import FeatureRegistry
from featurestore.gates.policy import GatePolicy
from featurestore.gates.probe import Probe
from featurestore.refresh.pipeline import StageOutcome, Watch
from featurestore.refresh.stored_state import source_state, table_versions
from featurestore.release import ReleaseCatalog
from featurestore.releases.promote import promote
from featurestore.releases.publish import publish
from featurestore.releases.required import require_features
from featurestore.releases.verify import require_sound, verify
from featurestore.store import Store


@dataclass(frozen=True, slots=True)
class PublishStage:
    """A release of all that the store holds; skipped while that, and the thresholds, are the same.

    A release that somebody has rolled back is therefore not promoted again before something changes.
    """

    store: Store
    gates: GatePolicy
    features: Sequence[str] | None
    probe: Probe | None
    canary: str | None
    watch: Watch
    held: tuple[str, ...] = ()
    """Features that another job works on: they stay as the newest release has them."""
    name: str = "publish"

    def reads(self) -> Mapping[str, Any]:
        """Every head and source table, and what a release must meet."""
        heads = FeatureRegistry(self.store).heads()
        held = {"held": sorted(self.held)} if self.held else {}
        return {
            **held,
            **source_state(self.store),
            "heads": table_versions(self.store, *(head.table for head in heads)),
            "gates": self.gates.model_dump(mode="json"),
            "features": list(self.features) if self.features is not None else None,
            "canary": self.canary,
        }

    def writes(self) -> Mapping[str, Any]:
        """Releases never change."""
        return {}

    def run(self) -> StageOutcome:
        """See `featurestore.releases.publish.publish`; no alias but the canary's is moved.

        That the release has what readers count on is therefore asked for by `PromoteStage`.
        """
        with self.watch.progress(self.name) as progress:
            report = publish(
                self.store,
                gates=self.gates.model_copy(update={"required_features": ()}),
                alias=self.canary,
                features=self.features,
                held=self.held,
                probe=self.probe,
                progress=progress,
            )
        manifest = report.manifest
        return StageOutcome(
            facts={
                "release": manifest.number,
                "created": report.created,
                "pins": len(manifest.pins),
                "left_out": list(report.left_out),
                "left_out_tuned": list(report.left_out_tuned),
                "carried": [asdict(feature) for feature in report.carried],
                "gates": len(manifest.gates),
                "damaged": [each.release for each in report.damaged],
            }
        )


@dataclass(frozen=True, slots=True)
class VerifyStage:
    """A release read again as a whole; skipped for one that was found sound."""

    store: Store
    release: int
    watch: Watch
    name: str = "verify"

    def reads(self) -> Mapping[str, Any]:
        """Which release."""
        return {"release": self.release}

    def writes(self) -> Mapping[str, Any]:
        """Nothing."""
        return {}

    def run(self) -> StageOutcome:
        """See `featurestore.releases.verify.verify`."""
        with self.watch.progress(self.name) as progress:
            report = verify(self.store, [str(self.release)], progress=progress)
        require_sound(report)
        return StageOutcome(facts={"release": self.release, "num_rows": report.num_rows})


@dataclass(frozen=True, slots=True)
class CheckStage:
    """Whatever a release must stand before it is promoted; skipped for a release that stood it."""

    release: int
    check: Callable[[int], None]
    name: str = "check"

    def reads(self) -> Mapping[str, Any]:
        """Which release."""
        return {"release": self.release}

    def writes(self) -> Mapping[str, Any]:
        """Nothing."""
        return {}

    def run(self) -> StageOutcome:
        """Call the check, which raises if the release may not be promoted."""
        self.check(self.release)
        return StageOutcome(facts={"release": self.release})


@dataclass(frozen=True, slots=True)
class PromoteStage:
    """An alias to a release; skipped for a release that the alias was pointed to, whatever it names now."""

    store: Store
    release: int
    alias: str
    required: tuple[str, ...] = ()
    """Features that the release must have."""
    name: str = "promote"

    def reads(self) -> Mapping[str, Any]:
        """Which release, which alias."""
        return {"release": self.release, "alias": self.alias}

    def writes(self) -> Mapping[str, Any]:
        """Not the alias: it may be rolled back."""
        return {}

    def run(self) -> StageOutcome:
        """See `featurestore.releases.promote.promote`; refused for a release without a required feature."""
        pins = ReleaseCatalog(self.store).manifest(self.release).pins
        standing = f"release {self.release} is there, and alias {self.alias!r} was not moved to it"
        require_features([pin.spec for pin in pins], self.required, standing=standing)
        report = promote(self.store, str(self.release), alias=self.alias)
        return StageOutcome(facts=asdict(report))
