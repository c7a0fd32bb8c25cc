"""What a gate said: part of a release's manifest."""

from featurestore.spec import Frozen


class GateResult(Frozen):
    """What one gate said about one feature."""

    gate: str
    feature: str
    """``text item_cot.fused``, or ``source items.rows``."""
    value: float
    threshold: float
    passed: bool
    stratum: str = ""
    """Entities that the value is about; all if empty."""
    rows: tuple[str, ...] = ()
    """Of a refusal: rows behind it, the worst first where there is a worst; at most 20. A row is an id,
    ``id (reason)``, or the parts of a key as ``id > id``."""
    note: str = ""
    """What the value alone does not say."""
    accepted: bool = False
    """Refused, and published all the same because a person said so."""
