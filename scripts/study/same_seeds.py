"""Two rows side by side: current records of the seeds that both have, and their times."""

from typing import Final

from scripts.study.beside import Row
from scripts.study.groups import NOT_RUN, Group, Study, same_seeds

READING: Final = "steps of the runs, no benchmark"
"""What a time in a record is: other work shared the machine."""


def rows_of_same_seeds(study: Study, dataset: str, ours: Row, theirs: Row) -> tuple[Group, Group]:
    """`groups.same_seeds` of two rows."""
    return same_seeds(study.group(dataset, *ours), study.group(dataset, *theirs))


def epoch_seconds(study: Study, group: Group) -> float | None:
    """Median seconds of a step times steps of an epoch, the fastest current seed; None without records."""
    found: list[float] = []
    for record in group.current.records:
        facts = study.records.facts(record.run.dataset)
        if facts is not None and "batch_size" in record.config:
            steps = -(-facts.num_train // int(record.config["batch_size"]))
            found.append(steps * record.fit.step_milliseconds / 1000)
    return min(found) if found else None


def epoch_times(study: Study, dataset: str, ours: Row, theirs: Row) -> tuple[float, float] | None:
    """Seconds of an epoch of both, each the fastest of the seeds that both have; None without such seeds."""
    first, second = (
        epoch_seconds(study, group) for group in rows_of_same_seeds(study, dataset, ours, theirs)
    )
    return None if first is None or not second else (first, second)


def epoch_ratio(study: Study, dataset: str, ours: Row, theirs: Row, most: float) -> tuple[str, str]:
    """Our time per epoch as a multiple of theirs, and on which side of a bound it is: no verdict.

    Seeds are few and other work came and went beside them, so a benchmark has to decide.
    """
    found = epoch_times(study, dataset, ours, theirs)
    if found is None:
        return NOT_RUN, NOT_RUN
    times = found[0] / found[1]
    count = len(rows_of_same_seeds(study, dataset, ours, theirs)[0].records)
    seeds = f"{count} seed{'s' if count > 1 else ''} each"
    return f"{times:.2f}, {seeds}", f"a reading: {'within' if times <= most else 'above'}"
