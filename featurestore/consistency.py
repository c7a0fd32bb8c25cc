"""Whether the tables of a release fit together row by row, not only version by version."""

from collections.abc import Mapping, Sequence

import polars as pl

from featurestore import columns as c
from featurestore.ids import digest_bytes
from featurestore.spec import AnySpec, VectorSpec
from featurestore.store import Store
from featurestore.table_facts import TableFacts

Measured = tuple[AnySpec, TableFacts]


def with_outdated_vectors(
    store: Store, tables: Sequence[Measured], *, unchanged: Mapping[str, tuple[str, int]]
) -> list[Measured]:
    """Count, for each vector table, the vectors that were not made of the text this release pins.

    Args:
        store: Holds the tables.
        tables: What the release would pin.
        unchanged: Spec digest → table and version of those that the parent release pins too: a pair of a
            text and a vector table of which neither changed is not read again.

    Returns:
        The tables, the facts of vectors completed.
    """
    by_digest = {spec.digest: (spec, facts) for spec, facts in tables if spec.kind == "text"}
    completed: list[Measured] = []
    for spec, facts in tables:
        text = by_digest.get(spec.text_digest) if isinstance(spec, VectorSpec) else None
        if text is None or not facts.version or _both_unchanged((spec, facts), text, unchanged):
            completed.append((spec, facts))
            continue
        count = len(outdated_ids(store, vectors=(spec, facts), texts=text))
        completed.append((spec, facts.model_copy(update={"num_outdated": count})))
    return completed


def outdated_ids(store: Store, *, vectors: Measured, texts: Measured) -> list[str]:
    """Vectors whose text is gone, or is not the one they were made of. Reads ids and texts of both tables."""
    _, facts = texts
    rows = store.read(facts.table, version=facts.version, columns=[c.ID, c.STATUS, c.TEXT])
    good = pl.DataFrame(rows).filter(pl.col(c.STATUS) == c.STATUS_OK)
    digests = [digest_bytes(text.encode()) for text in good[c.TEXT].to_list()]
    current = good.select(c.ID, pl.Series(c.TEXT_DIGEST, digests, pl.String))
    _, facts = vectors
    made_of = pl.DataFrame(store.read(facts.table, version=facts.version, columns=[c.ID, c.TEXT_DIGEST]))
    return made_of.join(current, on=[c.ID, c.TEXT_DIGEST], how="anti")[c.ID].to_list()


def _both_unchanged(vectors: Measured, texts: Measured, unchanged: Mapping[str, tuple[str, int]]) -> bool:
    return all(unchanged.get(spec.digest) == (facts.table, facts.version) for spec, facts in (vectors, texts))
