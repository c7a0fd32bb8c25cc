import numpy as np
import polars as pl
import pytest
import torch
from leak_world import (
    add_item_vectors,
    events_of,
    ingested,
    published,
    random_histories,
    with_pins,
)

from featurestore.errors import LeakError, UnknownNameError
from featurestore.features import FeatureRegistry
from featurestore.graphs import open_builder
from featurestore.graphs.build import GraphReport, build_graph
from featurestore.spec import table_name
from featurestore.store import Store
from featurestore.stores.memory import MemoryStore
from recommender.data import load_training_data, training_data
from recommender.graph.propagation import Adjacency, normalized_adjacency
from recommender.leaks import edges, events_read, repeats
from recommender.leaks.check import LeakReport, check_leaks, require_no_leaks
from recommender.leaks.edges import check_edges, judge_training_graph
from recommender.leaks.events_read import check_events_read
from recommender.leaks.finding import Finding
from recommender.leaks.repeats import check_repeats, judge_repeats
from recommender.leaks.time_order import check_time

HISTORIES = random_histories(num_users=30, num_items=400, length=6)
SEQUENCES = [("u1", "a", 10), ("u1", "b", 20), ("u1", "c", 30), ("u1", "d", 40)]
SEQUENCES += [("u2", "b", 15), ("u2", "c", 25), ("u2", "d", 35), ("u2", "a", 50)]
SEQUENCES += [("u3", "d", 1), ("u3", "a", 2), ("u3", "b", 3), ("u3", "c", 4)]


def verdicts(findings: list[Finding]) -> dict[str, str]:
    return {finding.subject: finding.verdict for finding in findings}


@pytest.mark.parametrize(
    ("events", "verdict", "detail"),
    [
        ("current:train", "ok", "training events only: "),
        ("log:1970-01-01T00:00:03", "ok", "training events only: log:2."),
        ("current:train+valid", "leak", "read events of "),
        ("current:train+valid+test", "leak", "allowed are parts train."),
        ("log:1970-01-01T00:00:04", "leak", "by then there were events of parts valid; allowed are"),
        ("log:2014-07-01", "leak", "by then there were events of parts valid, test; allowed are"),
        (None, "unknown", "not known: it does not say which events were read (import --events says so)."),
    ],
)
def test_vectors_are_judged_by_the_events_they_name(tmp_path, events, verdict, detail):
    store = ingested(tmp_path, SEQUENCES)
    add_item_vectors(store, tmp_path, "story", events)
    (finding,) = check_events_read(published(store))
    assert (finding.check, finding.subject) == (events_read.CHECK, "vector story.text")
    assert finding.verdict == verdict
    assert detail in finding.detail


def test_events_of_another_split_are_a_leak(tmp_path):
    store = ingested(tmp_path, SEQUENCES)
    add_item_vectors(store, tmp_path, "story", "current:train")
    release = with_pins(published(store), "story", event_sets=(f"{'f' * 16}:train",))
    (finding,) = check_events_read(release)
    assert finding.verdict == "leak"
    assert "which may hold out what another one trains on" in finding.detail


def test_a_graph_has_read_what_its_vectors_have(tmp_path):
    store = ingested(tmp_path, SEQUENCES)
    add_item_vectors(store, tmp_path, "story", "current:train+valid+test")
    add_item_vectors(store, tmp_path, "plain")
    for feature in ("story", "plain"):
        pool_users(store, feature)
    found = check_events_read(published(store))
    assert verdicts(found) == {
        "vector story.text": "leak",
        "graph story.text-users": "leak",
        "vector plain.text": "unknown",
        "graph plain.text-users": "unknown",
    }
    details = {finding.subject: finding.detail for finding in found}
    assert "not known: vector plain.text does not say" in details["graph plain.text-users"]


def test_what_is_meant_to_read_held_out_events_can_be_accepted(tmp_path):
    store = ingested(tmp_path, SEQUENCES)
    add_item_vectors(store, tmp_path, "final", "current:train+valid")
    release = published(store)
    (finding,) = check_events_read(release, accept=["final"])
    assert finding.verdict == "note"
    assert finding.detail.startswith("accepted: vector final.text of release 1 read events of ")
    with pytest.raises(UnknownNameError, match=r"unknown feature 'finale'\. Did you mean 'final'"):
        check_events_read(release, accept=["finale"])


def test_pairs_in_several_parts_are_counted_and_not_asked_for(tmp_path):
    events = [("u1", item, time) for time, item in enumerate("abcab")]  # valid a, test b: both had before
    events += [("u2", item, time) for time, item in enumerate("abcc")]  # test c repeats valid c
    events += [("u3", item, time) for time, item in enumerate("abc")]
    valid, test = check_repeats(published(ingested(tmp_path, events)))
    counts = {"train_and_valid": 1, "train_and_test": 1, "valid_and_test": 1}
    assert valid.figures == {"asked": 2, "repeats": 1, "repeats_asked": 0, **counts}
    assert test.figures == {"asked": 1, "repeats": 2, "repeats_asked": 0, **counts}
    assert (valid.verdict, test.verdict) == ("note", "note")
    assert test.detail == "2 of 3 pairs repeat earlier ones; they are left out of the ranking."


def test_repeats_that_are_asked_for_are_a_leak():
    held = pl.DataFrame({"user_id": ["u1", "u2"], "item_id": ["a", "b"]})
    finding = judge_repeats("test pairs", held, held, held.head(1))
    assert (finding.check, finding.verdict) == (repeats.CHECK, "leak")
    assert finding.detail == "evaluation asks for 1 pairs that the user had before."


def pool_users(store: Store, feature: str) -> GraphReport:
    return build_graph(
        store,
        feature=feature,
        view="text",
        entity_users="mean_of_train_items",
        num_neighbors=3,
        builder=open_builder("exact"),
    )


def pooled_world(folder) -> tuple[MemoryStore, GraphReport]:
    store = ingested(folder, events_of(HISTORIES))
    add_item_vectors(store, folder, "story", "current:train")
    return store, pool_users(store, "story")


def test_graphs_of_training_events_are_sound(tmp_path):
    store, _ = pooled_world(tmp_path)
    training, pooled = check_edges(published(store))
    assert training.figures == {"num_entries": 2 * 30 * 4, "not_in_train": 0, "missing": 0, "repeated": 0}
    assert verdicts([training, pooled]) == {"training graph": "ok", "graph story.text-users": "ok"}
    assert pooled.figures["explained_by_train"] == 1.0
    assert pooled.figures["explained_by_train+valid"] < 0.1


@pytest.mark.parametrize("part", ["valid", "test"])
def test_a_held_out_pair_in_the_matrix_is_found_out(tmp_path, part):
    release = published(ingested(tmp_path, events_of(HISTORIES)))
    data = load_training_data(release)
    held = release.interactions(part).head(1)
    ends = [release.id_map(entity).row_of(held[f"{entity}_id"].to_list()) for entity in ("user", "item")]
    pairs = [np.append(own, end) for own, end in zip((data.train_users, data.train_items), ends, strict=True)]
    adjacency = normalized_adjacency(*pairs, num_users=data.num_users, num_items=data.num_items)
    finding = judge_training_graph(release, adjacency)
    assert (finding.verdict, finding.figures["not_in_train"], finding.figures["missing"]) == ("leak", 2, 0)
    among_users = Adjacency(adjacency.indptr, torch.zeros_like(adjacency.columns), adjacency.values)
    assert judge_training_graph(release, among_users).verdict == "leak"


def test_a_matrix_of_other_weights_or_other_counts_is_found_out(tmp_path):
    release = published(ingested(tmp_path, events_of(HISTORIES)))
    data = load_training_data(release)

    def judge(repeats: int, share: int, scale: float) -> Finding:
        pairs = [
            np.repeat(ends, repeats)[: share * len(ends)] for ends in (data.train_users, data.train_items)
        ]
        made = normalized_adjacency(*pairs, num_users=data.num_users, num_items=data.num_items)
        return judge_training_graph(release, Adjacency(made.indptr, made.columns, scale * made.values))

    assert judge(1, 1, 1.0).verdict == "ok"
    weighted, doubled, halved = judge(1, 1, 7.0), judge(2, 2, 1.0), judge(2, 1, 1.0)
    assert (weighted.verdict, doubled.verdict, halved.verdict) == ("leak", "note", "note")
    assert (doubled.figures["missing"], doubled.figures["repeated"]) == (0, 240)
    assert (halved.figures["missing"], halved.figures["repeated"]) == (120, 120)


@pytest.mark.parametrize(
    ("read", "verdict", "detail"),
    [
        (6, "leak", "its scores are those of train+valid+test items; training items explain"),
        (5, "leak", "its scores are those of train+valid items; training items explain"),
        (3, "unknown", "not known: neither training items nor all items explain its scores"),
    ],
)
def test_a_user_graph_that_was_built_from_other_events_is_found_out(tmp_path, read, verdict, detail):
    store, built = pooled_world(tmp_path)
    (tmp_path / "other").mkdir()
    other = ingested(tmp_path / "other", events_of([h[:read] for h in HISTORIES]), method="none")
    copy_vectors(store, other)
    wrong = pool_users(other, "story")
    store.replace(table_name(built.spec), other.read(table_name(wrong.spec)))
    _, pooled = check_edges(published(store))
    assert (pooled.check, pooled.verdict) == (edges.CHECK, verdict)
    assert detail in pooled.detail


def copy_vectors(source: Store, target: Store) -> None:
    head = FeatureRegistry(source).head("vector", "story", "text")
    target.replace(head.table, source.read(head.table))
    FeatureRegistry(target).register(head.spec)


def test_a_training_graph_with_foreign_edges_is_a_leak(tmp_path, monkeypatch):
    release = published(ingested(tmp_path, SEQUENCES))
    users, items = (
        release.id_map(entity).row_of(release.interactions("train", "test")[f"{entity}_id"].to_list())
        for entity in ("user", "item")
    )
    nothing = np.array([], np.int64)
    leaky = training_data(num_users=3, num_items=4, train=(users, items), valid=(nothing, nothing))
    monkeypatch.setattr(edges, "load_training_data", lambda _: leaky)
    training, *_ = check_edges(release)
    assert training.verdict == "leak"
    assert training.detail == "6 of 18 entries are not among the training events."


def test_time_that_leave_one_out_leaks_is_a_note(tmp_path):
    # Newest training events: u1 at 20, u2 at 25, u3 at 2; tests at 40, 50, 4.
    (finding,) = check_time(published(ingested(tmp_path, SEQUENCES)))
    assert finding.verdict == "note"
    assert finding.figures == {
        "num_test": 3,
        "older_than_others_train": pytest.approx(1 / 3),
        "older_than_own_train": 0.0,
    }


def test_time_of_the_users_own_training_events_is_not_that_of_others(tmp_path):
    events = [("u1", "a", 90), ("u1", "b", 50), ("u2", "a", 40), ("u2", "b", 60)]
    parts = ["train", "test", "train", "test"]
    release = published(ingested(tmp_path, events, method="official", parts=parts))
    (finding,) = check_time(release)
    # u1's test at 50 is before its own training event only; u2's at 60 before that of u1.
    assert finding.figures["older_than_own_train"] == 0.5
    assert finding.figures["older_than_others_train"] == 0.5
    assert "50.0% of test events are older than a training event of somebody else" in finding.detail


def test_one_cut_in_time_leaks_none(tmp_path):
    (finding,) = check_time(published(ingested(tmp_path, SEQUENCES, method="temporal")))
    assert finding.verdict == "ok"


def test_a_report_with_leaks_is_refused_with_their_names(tmp_path):
    store = ingested(tmp_path, SEQUENCES)
    add_item_vectors(store, tmp_path, "story", "current:train+valid")
    report = check_leaks(published(store))
    assert [finding.subject for finding in report.leaks] == ["vector story.text"]
    with pytest.raises(LeakError, match=r"^1 leak in release 1:\n  events read, vector story\.text: vector"):
        require_no_leaks(report)
    require_no_leaks(check_leaks(published(store), accept=["story"]))
    many = LeakReport(7, tuple(Finding("time", f"thing {i}", "leak", {}, "it leaks.") for i in range(12)))
    with pytest.raises(LeakError, match=r"(?s)^12 leaks in release 7:.*and 2 more"):
        require_no_leaks(many)


def test_the_toy_store_has_no_leak(toy):
    report = check_leaks(toy.release())
    assert {finding.check for finding in report.findings} == {
        "id order",
        "events read",
        "repeats",
        "edges",
        "time",
    }
    assert not report.leaks
