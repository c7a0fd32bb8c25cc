"""Do the integers that name items tell what comes next? The rule against a slow one, and what is flagged."""

import math

import numpy as np
import polars as pl
import pytest
from leak_world import events_of, first_seen, ingested, published, random_histories

from featurestore import id_maps
from featurestore.store import Store
from recommender.data import hold_out
from recommender.leaks.id_order import check_id_order, judge_order, numbered_places, score_following

HISTORIES = random_histories(num_users=120, num_items=400, length=6)


def test_the_rule_recommends_the_next_unseen_integers(rng):
    num_users, num_items = 40, 60
    places = rng.permutation(num_items)
    item_at = {int(place): item for item, place in enumerate(places)}
    had = [rng.permutation(num_items)[:20].tolist() if user else [] for user in range(num_users)]
    wanted = [(user, int(item)) for user in range(num_users) for item in rng.integers(num_items, size=3)]
    wanted = sorted({(user, item) for user, item in wanted if item not in had[user]})
    held = hold_out(
        np.array([user for user, _ in wanted]),
        np.array([item for _, item in wanted]),
        seen_users=np.repeat(np.arange(num_users), [len(items) for items in had]),
        seen_items=np.array([item for items in had for item in items], np.int64),
        num_users=num_users,
        num_items=num_items,
    )
    hits, gains = [], []
    for user in sorted({user for user, _ in wanted}):
        answers = {item for owner, item in wanted if owner == user}
        after = range(int(places[had[user][-1]]) + 1, num_items) if had[user] else []
        listed = [item_at[place] for place in after if item_at[place] not in had[user]][:5]
        found = [rank for rank, item in enumerate(listed) if item in answers]
        best = sum(1 / math.log2(rank + 2) for rank in range(min(len(answers), 5)))
        hits.append(bool(found))
        gains.append(sum(1 / math.log2(rank + 2) for rank in found) / best)
    last = np.array([items[-1] if items else -1 for items in had])
    score = score_following(places, last, held)
    assert score.num_users == len(hits)
    assert score.hr == pytest.approx(np.mean(hits))
    assert score.ndcg == pytest.approx(np.mean(gains))
    assert 0 < score.hr < 1


def asked(histories, places):
    """Last items before the test event, and the test events as held-out pairs."""
    users = np.arange(len(histories))
    before = [history[:-1] for history in histories]
    held = hold_out(
        users,
        np.array([history[-1] for history in histories]),
        seen_users=np.repeat(users, [len(items) for items in before]),
        seen_items=np.concatenate(before),
        num_users=len(histories),
        num_items=len(places),
    )
    return np.array([items[-1] for items in before]), held


@pytest.mark.parametrize("direction", ["following", "preceding"])
def test_numbers_in_order_of_first_appearance_are_told_from_random_ones(rng, direction):
    order = first_seen(HISTORIES)
    order += [item for item in range(400) if item not in order]
    places = np.empty(400, np.int64)
    places[order if direction == "following" else order[::-1]] = np.arange(400)
    result = judge_order(places, *asked(HISTORIES, places))
    assert result.leaks
    assert result.direction == direction
    assert result.score.ndcg > 10 * result.chance.ndcg
    assert result.chance.hr == pytest.approx(5 / 395, abs=0.01)
    assert not judge_order(rng.permutation(400), *asked(HISTORIES, places)).leaks


def test_a_lucky_hit_or_two_are_no_leak():
    histories = [[0, 1], [50, 51], [100, 3], [150, 7]]
    places = np.arange(10_000)
    result = judge_order(places, *asked(histories, places))
    assert (result.score.hr, result.chance.ndcg) == (0.5, 0.0)
    assert not result.leaks


def test_ids_are_ordered_by_the_integers_they_end_in():
    ids = ["cd-1", "book-10", "book-9", "cd-01"]
    assert numbered_places(ids).tolist() == [3, 1, 0, 2]
    assert numbered_places([*ids, "B00X"]) is None


def test_rows_of_an_ingest_tell_nothing_though_the_external_ids_do(tmp_path):
    order = {item: place for place, item in enumerate(first_seen(HISTORIES))}
    numbered = [[order[item] for item in history] for history in HISTORIES]
    rows, external = check_id_order(published(ingested(tmp_path, events_of(numbered, "{}"))))
    assert (rows.subject, rows.verdict) == ("item rows", "ok")
    assert (external.subject, external.verdict) == ("external item ids", "note")
    assert "harmless while no model or prompt reads them" in external.detail
    assert external.figures["ndcg@5"] > external.figures["bound"] > rows.figures["ndcg@5"]


def test_an_id_map_that_follows_the_sequences_is_a_leak(tmp_path):
    events = events_of(HISTORIES)
    store = ingested(tmp_path, events)
    names = list(dict.fromkeys(item for _, item, _ in events))
    replace_id_map(store, names)
    (rows,) = check_id_order(published(store))
    assert rows.verdict == "leak"
    assert "the 5 following integers score NDCG@5" in rows.detail
    assert rows.detail.endswith("the order tells what comes next; shuffle them.")


def replace_id_map(store: Store, names: list[str]) -> None:
    table = id_maps.table_of("item")
    rows = pl.DataFrame({"id": names, "row": range(len(names))})
    store.replace(table, rows.to_arrow().cast(store.read(table).schema))


def test_nothing_held_out_cannot_leak(tmp_path):
    (finding,) = check_id_order(published(ingested(tmp_path, events_of(HISTORIES[:3]), method="none")))
    assert (finding.verdict, finding.detail) == ("note", "the split holds nothing out, so nothing can leak.")
