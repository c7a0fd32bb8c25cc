"""The data sets of docs/results/README.md: how large they are, what users did, and who wrote the texts."""

from collections.abc import Iterator
from typing import Final

from scripts.study.datasets import DATASETS, Dataset
from scripts.study.groups import NOT_RUN
from scripts.study.records import Records
from scripts.study.tables import table

_HEAD: Final = """## The data

Counts are of what models are trained on; a pair is an event of a user with an item. Where the data have no
order, what reads one is given that of the file.
"""


def data_table(records: Records) -> Iterator[str]:
    """A line for each data set, of those without a record of their size too.

    Args:
        records: Where facts of data sets lie.
    """
    yield _HEAD
    rows = [
        [name, declared.events, *_sizes(records, declared), declared.texts]
        for name, declared in DATASETS.items()
    ]
    yield from table(
        ["data set", "what users did", "users", "items", "training pairs", "pairs per user", "texts"], rows
    )


def _sizes(records: Records, declared: Dataset) -> list[str]:
    facts = records.facts(declared.name)
    if facts is None:
        return [NOT_RUN, "", "", ""]
    counts = [f"{count:,}" for count in (facts.num_users, facts.num_items, facts.num_train)]
    return [*counts, f"{facts.num_train / facts.num_users:.0f}"]
