"""Two rows side by side: current records of the seeds that both have."""

from scripts.study.beside import Row
from scripts.study.groups import Group, Study, same_seeds


def rows_of_same_seeds(study: Study, dataset: str, ours: Row, theirs: Row) -> tuple[Group, Group]:
    """`groups.same_seeds` of two rows."""
    return same_seeds(study.group(dataset, *ours), study.group(dataset, *theirs))
