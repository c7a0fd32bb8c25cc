"""What recmind.md says of an alignment that was carried from one shop to another: all from its record."""

from collections.abc import Iterator
from typing import Final

from scripts.study.tables import table, title
from scripts.study.transfer_record import Difference, Trained, TransferRecord, Tuned

METRICS: Final = ("recall@10", "ndcg@10", "recall@20", "ndcg@20")
JUDGED: Final = ("recall@20", "ndcg@10")
RARE_METRIC: Final = "recall@20"
_GIB: Final = 2**30


def transfer(record: TransferRecord | None) -> Iterator[str]:
    """The question, how it was asked, and the figures."""
    yield "## An alignment of Beauty, carried to Toys\n"
    if record is None:
        yield "Not run: `python scripts/transfer.py`, about an hour of one core.\n"
        return
    yield (
        "`python scripts/transfer.py`: the encoder is tuned on items of Beauty against the vectors that "
        "LightGCN has of them (`featurestore tune recmind`), the encoder of Toys gets its adapter, and "
        "RecMind is trained there on either encoder's vectors. The projection stays behind: two LightGCNs "
        "turn their spaces as they like, and RecMind learns one of its own.\n"
    )
    yield from _tuned(record.tuned, record)
    yield from _trained(record)


def _tuned(tuned: Tuned, record: TransferRecord) -> Iterator[str]:
    read = tuned.epochs * tuned.num_tokens * tuned.steps_now / tuned.steps
    settings = ", ".join(f"`{name}={value}`" for name, value in record.settings.items())
    yield (
        f"`{record.encoder}`, {tuned.num_examples:,} items of {tuned.num_tokens:,} tokens, {tuned.epochs} "
        f"epoch{'s' if tuned.epochs > 1 else ''} of {tuned.steps:,} steps ({settings}, else defaults). "
        f"**{read / tuned.seconds:,.0f} tokens/s** tuned, {tuned.peak_bytes / _GIB:.2f} GiB at most "
        f"({record.machine['processor']}, threads: {record.machine['threads']}; the machine did other work "
        "too, so the rate is a reading and no benchmark).\n"
    )
    rows = [
        [name, f"{each.num_nodes:,}", f"{each.loss:.3f}", f"{each.hit_at_10:.3f}"]
        for name, each in (("before", tuned.before), ("after", tuned.after))
    ]
    yield from table(["Beauty, held out", "items", "loss", "own vector among ten nearest"], rows)


def _trained(record: TransferRecord) -> Iterator[str]:
    rows = [_row(each) for each in record.trained]
    rare = record.trained[0].rare
    last = f"{title(RARE_METRIC)} of the {rare.num_pairs:,} pairs of items with {rare.label} training users"
    yield from table(["Toys, RecMind on", "epochs", *map(title, METRICS), last], rows)
    for metric, test in record.differences.items():
        yield (
            f"* Carried minus frozen in {title(metric)}: {test.difference:+.4f} ({test.low:+.4f} to "
            f"{test.high:+.4f}, p {test.p_value:.2g}): {_reading(test)}."
        )
    yield f"\nPaired bootstrap over {record.num_users:,} users, one seed.\n"


def _reading(test: Difference) -> str:
    if test.low > 0:
        return "what was learned in Beauty helps in Toys"
    return "what was learned in Beauty costs in Toys" if test.high < 0 else "no difference beyond chance"


def _row(each: Trained) -> list[str]:
    values = [each.metrics[metric] for metric in METRICS]
    return [each.name, f"{each.epochs}", *(f"{v:.4f}" for v in [*values, each.rare.metrics[RARE_METRIC]])]
