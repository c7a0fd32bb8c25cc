"""Features that readers count on: no alias is moved to a release that lacks one."""

from collections.abc import Collection, Iterable

from featurestore.errors import GateFailedError
from featurestore.spec import AnySpec


def require_features(specs: Iterable[AnySpec], required: Collection[str], *, standing: str) -> None:
    """Refuse a release that lacks what ``[gates] required_features`` names.

    Args:
        specs: What the release pins, or would pin.
        required: Features (``item_cot``), of which one view will do, or views (``lightgcn.top``).
        standing: How things are left, such as ``"alias 'production' still names release 3"``.

    Raises:
        GateFailedError: Naming all that is absent.
    """
    held = {name for spec in specs for name in (spec.feature, f"{spec.feature}.{spec.view}")}
    absent = [name for name in dict.fromkeys(required) if name not in held]
    if not absent:
        return
    raise GateFailedError(
        f"this release lacks what gates.required_features asks for: {', '.join(absent)}; {standing}.",
        hint="What a model made is left out once there is a new split, and what an adapter made: make a "
        "release that no alias serves (--no-promote), train the model on it, write its lists and vectors "
        "again, tune adapters on these, and publish. Or correct gates.required_features.",
    )
