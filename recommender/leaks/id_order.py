"""Id order: do the integers that name items tell which item comes next?

Items numbered in the order of user sequences, as P5's ids are, give away held-out items: "the next integers
after the user's last one" scores NDCG@5 .0442 on Toys and has learned nothing. Here that rule is scored on
the numbers of a release and, for chance, on the same numbers shuffled.

    places      0 … I - 1: where each item stands among all by its number
    following   recommend places last + 1, last + 2, …, without items that the user had
    preceding   recommend places last - 1, last - 2, …
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from featurestore import columns as c
from featurestore.id_maps import IdMap
from featurestore.ids import ExternalId
from featurestore.reader import Release
from featurestore.spec import PlainTextSpec, TextSpec
from recommender.data import HeldOut, IntArray, load_histories, load_training_data
from recommender.evaluation.tasks import load_test_data
from recommender.leaks.finding import Finding, Verdict
from recommender.metrics import RankGroups, ranking_metrics

CHECK: Final = "id order"
CUTOFF: Final = 5
NUM_SHUFFLES: Final = 20
DEVIATIONS: Final = 5.0
TIMES: Final = 2.0
FEWEST_HITS: Final = 5.0
"""NDCG@5 beyond chance is `TIMES` its mean, and its mean + `DEVIATIONS` standard deviations; fewer hits than
`FEWEST_HITS` are luck."""

_SEED: Final = 20240229
_NUMBERED = re.compile(r"(.*?)(\d+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class RuleScore:
    """What the rule reaches, over users with held-out items.

    Attributes:
        hr: HR@5.
        ndcg: NDCG@5.
        num_users: Users asked for.
    """

    hr: float
    ndcg: float
    num_users: int


@dataclass(frozen=True, slots=True)
class OrderResult:
    """The rule on some numbers, beside the rule on shuffled ones.

    Attributes:
        score: Of the better direction.
        direction: Which one that is.
        chance: Mean over the shuffles.
        chance_deviation: Standard deviation of NDCG@5 over the shuffles.
    """

    score: RuleScore
    direction: Literal["following", "preceding"]
    chance: RuleScore
    chance_deviation: float

    @property
    def bound(self) -> float:
        """NDCG@5 above which the numbers leak."""
        return max(TIMES * self.chance.ndcg, self.chance.ndcg + DEVIATIONS * self.chance_deviation)

    @property
    def leaks(self) -> bool:
        """Whether the rule is better than chance allows."""
        return self.score.ndcg > self.bound and self.score.hr * self.score.num_users >= FEWEST_HITS


def rank_following(places: IntArray, last_items: IntArray, held_out: HeldOut) -> RankGroups:
    """Ranks that held-out items have under "the next integers after the last one".

    Args:
        places: (num_items,) int64: where each item row stands in the numbering, each place once.
        last_items: (num_users,) int64: item row of each user's last event; -1 without one.
        held_out: Pairs asked for. Seen items are not recommended.

    Returns:
        Items at or before the user's last place, and all of users without one, rank after all others.
    """
    num_items = held_out.num_items
    counts = held_out.seen.degrees
    owners = np.repeat(np.arange(len(counts)), counts)
    seen_keys = np.sort(owners * num_items + places[held_out.seen.items])  # (num_seen,)
    last = last_items[held_out.users]  # (m,)
    start, target = np.where(last < 0, num_items, places[last]), places[held_out.items]
    begin = np.searchsorted(seen_keys, held_out.users * num_items + start, side="right")
    end = np.searchsorted(seen_keys, held_out.users * num_items + target)
    better = np.where(target > start, target - start - 1 - (end - begin), num_items + target)
    return RankGroups(held_out.users, better, np.ones_like(better))


def score_following(places: IntArray, last_items: IntArray, held_out: HeldOut) -> RuleScore:
    """HR@5 and NDCG@5 of `rank_following`, whose arguments these are."""
    metrics = ranking_metrics(rank_following(places, last_items, held_out), (CUTOFF,))
    means = metrics.means()
    return RuleScore(means[f"hr@{CUTOFF}"], means[f"ndcg@{CUTOFF}"], len(metrics.users))


def judge_order(places: IntArray, last_items: IntArray, held_out: HeldOut) -> OrderResult:
    """Both directions on a numbering, beside `NUM_SHUFFLES` shuffles of it; arguments as `rank_following`."""
    following = score_following(places, last_items, held_out)
    preceding = score_following(len(places) - 1 - places, last_items, held_out)
    generator = np.random.default_rng(_SEED)
    shuffled = [
        score_following(generator.permutation(len(places)), last_items, held_out) for _ in range(NUM_SHUFFLES)
    ]
    ndcg = np.array([score.ndcg for score in shuffled])
    hr = float(np.mean([score.hr for score in shuffled]))
    chance = RuleScore(hr, float(ndcg.mean()), following.num_users)
    deviation = float(ndcg.std(ddof=1))
    if preceding.ndcg > following.ndcg:
        return OrderResult(preceding, "preceding", chance, deviation)
    return OrderResult(following, "following", chance, deviation)


def numbered_places(ids: Sequence[ExternalId]) -> IntArray | None:
    """Where items stand by the integers that their ids end in: (n,) int64; None unless all ids do.

    ``book-9`` stands before ``book-10``, and all books before ``cd-1``.
    """
    matches = [_NUMBERED.fullmatch(external_id) for external_id in ids]
    keys = [(match[1], int(match[2]), match[2]) for match in matches if match]
    if len(keys) < len(ids):
        return None
    places = np.empty(len(keys), np.int64)
    places[sorted(range(len(keys)), key=keys.__getitem__)] = np.arange(len(keys))
    return places


def check_id_order(release: Release) -> list[Finding]:
    """The rule on the rows of the item id map and, where all external ids end in integers, on these.

    Asked for are the test events, or the validation events of a split without a test part. Rows are what
    models embed. External ids may follow one another for honest reasons (a shop numbers a series in a row)
    and are harmless while no text reads them: then they are a note.
    """
    part = _held_out_part(release)
    if part is None:
        return [Finding(CHECK, "item rows", "note", {}, "the split holds nothing out, so nothing can leak.")]
    held_out = load_test_data(release) if part == c.TEST else load_training_data(release).valid
    earlier = (c.TRAIN, c.VALID) if part == c.TEST else (c.TRAIN,)
    histories = load_histories(release, *earlier)
    last_items = histories.newest(np.arange(len(histories)), 1)[:, 0]
    id_map = release.id_map("item")
    rows = judge_order(np.arange(len(id_map)), last_items, held_out)
    findings = [_finding("item rows", rows, "leak")]
    places = _external_places(id_map)
    if places is not None:
        external = judge_order(places, last_items, held_out)
        findings.append(_finding("external item ids", external, "leak" if _is_read(release) else "note"))
    return findings


def _held_out_part(release: Release) -> str | None:
    for part in (c.TEST, c.VALID):
        if release.interactions(part).height:
            return part
    return None


def _external_places(id_map: IdMap) -> IntArray | None:
    """Places of all rows; those of forgotten items come last."""
    known = id_map.known_rows()
    found = numbered_places([id_map.ids[row] for row in known.tolist()])
    if found is None:
        return None
    places = np.empty(len(id_map), np.int64)
    places[known] = found
    places[np.setdiff1d(np.arange(len(id_map)), known)] = np.arange(len(known), len(id_map))
    return places


def _is_read(release: Release) -> bool:
    """Whether a text of items was made of their ids."""
    for pin in release.features("text"):
        match pin.spec:
            case TextSpec(reads=fields) | PlainTextSpec(fields=fields) if c.ITEM_ID in fields:
                return True
            case _:
                continue
    return False


def _finding(subject: str, result: OrderResult, if_it_leaks: Verdict) -> Finding:
    figures: dict[str, float | int | str] = {
        f"hr@{CUTOFF}": result.score.hr,
        f"ndcg@{CUTOFF}": result.score.ndcg,
        f"chance_hr@{CUTOFF}": result.chance.hr,
        f"chance_ndcg@{CUTOFF}": result.chance.ndcg,
        "chance_sd": result.chance_deviation,
        "bound": result.bound,
        "direction": result.direction,
        "num_users": result.score.num_users,
    }
    said = (
        f"the {CUTOFF} {result.direction} integers score NDCG@{CUTOFF} {result.score.ndcg:.4f}, "
        f"shuffled ones {result.chance.ndcg:.4f} ± {result.chance_deviation:.4f}"
    )
    if not result.leaks:
        return Finding(CHECK, subject, "ok", figures, f"{said}.")
    advice = "shuffle them" if if_it_leaks == "leak" else "harmless while no model or prompt reads them"
    detail = f"{said}: the order tells what comes next; {advice}."
    return Finding(CHECK, subject, if_it_leaks, figures, detail)
