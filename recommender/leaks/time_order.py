"""Time: how much of the future a split trains on.

Leave-one-out holds out each user's last event, whenever that was: what others did later trains. Models that
learn what is popular when then know more than anyone did at the time. It is how this field compares, so it is
a note and no failure; `temporal` splits are free of it (arXiv 2507.16289).
"""

from typing import Final

import polars as pl

from featurestore import columns as c
from featurestore.reader import Release
from recommender.leaks.finding import Finding

CHECK: Final = "time"


def check_time(release: Release) -> list[Finding]:
    """Shares of test events that are older than training events of other users, and of the same user."""
    train, test = (
        release.interactions(part).drop_nulls(c.TIMESTAMP).select(c.USER_ID, c.TIMESTAMP)
        for part in (c.TRAIN, c.TEST)
    )
    if not train.height or not test.height:
        return [Finding(CHECK, "test events", "note", {}, "no timestamps in both train and test to compare.")]
    newest = train.group_by(c.USER_ID).agg(newest=pl.col(c.TIMESTAMP).max()).sort("newest", descending=True)
    others, own = _share_before_others(test, newest), _share_before_own(test, newest)
    figures: dict[str, float | int | str] = {
        "num_test": test.height,
        "older_than_others_train": others,
        "older_than_own_train": own,
    }
    detail = (
        f"{others:.1%} of test events are older than a training event of somebody else, "
        f"{own:.1%} than one of the user's own."
    )
    return [Finding(CHECK, "test events", "note" if others or own else "ok", figures, detail)]


def _share_before_others(test: pl.DataFrame, newest: pl.DataFrame) -> float:
    """Share of test events before the newest training event of another user; ``newest`` descends by time."""
    first, *rest = newest["newest"].head(2)
    second = rest[0] if rest else None
    bound = pl.when(pl.col(c.USER_ID) == newest[c.USER_ID][0]).then(second).otherwise(first)
    return test.filter(pl.col(c.TIMESTAMP) < bound).height / test.height


def _share_before_own(test: pl.DataFrame, newest: pl.DataFrame) -> float:
    joined = test.join(newest, on=c.USER_ID)
    return joined.filter(pl.col(c.TIMESTAMP) < pl.col("newest")).height / test.height
