"""Poisoned inputs against default thresholds: each is refused by name, with rows; an honest change is not."""

from collections.abc import Callable

import numpy as np
import pytest
from gate_world import (
    ENCODER,
    ITEMS,
    NUM_ITEMS,
    add_catalogue,
    encode,
    fill,
    good_texts,
    link,
    write_texts,
    write_vectors,
)

from featurestore.errors import GateFailedError
from featurestore.gate_result import GateResult
from featurestore.gates.policy import GatePolicy
from featurestore.gates.rules import require_passed
from featurestore.release import ReleaseCatalog
from featurestore.releases.publish import publish
from featurestore.store import Store
from featurestore.stores import connect
from featurestore.stores.memory import MemoryStore
from llm_jobs.encoders.hashing import HashingEncoder

POLICY = GatePolicy()
Texts = dict[str, str]
Change = Callable[[Store, Texts], None]
OTHER = ENCODER.model_copy(update={"name": "other", "model": "hashing-other", "instruction": "passage: "})


@pytest.fixture
def store() -> Store:
    return MemoryStore()


def published(store: Store) -> Texts:
    texts = fill(store)
    publish(store, gates=POLICY)
    return texts


def results(store: Store, policy: GatePolicy = POLICY) -> dict[tuple[str, str], GateResult]:
    """The gates of the next release by name and kind of feature, those of strata left out."""
    gates = publish(store, gates=policy).manifest.gates
    return {(g.gate, g.feature.partition(" ")[0]): g for g in gates if not g.stratum}


def refusals(store: Store) -> set[str]:
    """``gate kind`` of what refuses the next release; nothing may have moved."""
    catalog = ReleaseCatalog(store)
    before = catalog.aliases(), catalog.numbers(), store.objects.list("snapshots/")
    with pytest.raises(GateFailedError) as caught:
        publish(store, gates=POLICY)
    assert caught.value.exit_code == 5
    assert before == (catalog.aliases(), catalog.numbers(), store.objects.list("snapshots/"))
    lines = [line.split() for line in caught.value.message.splitlines()[1:]]
    return {f"{words[0]} {words[2]}" for words in lines}


def shuffle_vectors(store: Store, texts: Texts) -> None:
    matrix = HashingEncoder(ENCODER).encode(list(texts.values()))
    write_vectors(store, texts, matrix[np.random.default_rng(0).permutation(NUM_ITEMS)])


def shuffle_rows(store: Store, texts: Texts) -> None:
    """The vectors together with what they say they were made of."""
    encode(store, dict(zip(texts, np.random.default_rng(0).permutation(list(texts.values())), strict=True)))


def use_wrong_encoder_unsaid(store: Store, texts: Texts) -> None:
    encode(store, texts, encoder=OTHER, said=ENCODER)


def turn_space(store: Store, texts: Texts) -> None:
    """Another encoder whose neighbourhoods are the same: only the axes differ."""
    turned, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((64, 64)))
    matrix = HashingEncoder(ENCODER).encode(list(texts.values())) @ turned
    write_vectors(store, texts, matrix.astype(np.float32))


def use_other_encoder(store: Store, texts: Texts) -> None:
    encode(store, texts, encoder=OTHER)
    link(store)


def empty_half(store: Store, texts: Texts) -> None:
    rewrite(store, dict.fromkeys(ITEMS[::2], "  "))


def fail_half(store: Store, texts: Texts) -> None:
    write_texts(store, dict.fromkeys(ITEMS[::2]))


def say_one_text(store: Store, texts: Texts) -> None:
    rewrite(store, dict.fromkeys(ITEMS, "A great product for everyone."))


def refuse_a_tenth(store: Store, texts: Texts) -> None:
    rewrite(store, {i: f"I'm sorry, but I cannot describe {i}." for i in ITEMS[:40]})


def decline_a_tenth(store: Store, texts: Texts) -> None:
    write_texts(store, dict.fromkeys(ITEMS[:40]), reason="refusal")


def think_aloud(store: Store, texts: Texts) -> None:
    rewrite(store, {i: f"Okay, so I need to describe this. {texts[i]}" for i in ITEMS[:4]})


def leave_tags(store: Store, texts: Texts) -> None:
    rewrite(store, {i: f"{texts[i]} </think> {texts[i]}" for i in ITEMS[:4]})


def rewrite(store: Store, texts: Texts) -> None:
    """Texts, their vectors and the graph, each made of the other."""
    write_texts(store, texts)
    encode(store, texts)
    link(store)


@pytest.mark.parametrize(
    ("poison", "named"),
    [
        (shuffle_vectors, {"unexplained_moves vector", "knn_churn vector", "stale_edges graph"}),
        (shuffle_rows, {"current_texts vector", "knn_churn vector"}),
        (use_wrong_encoder_unsaid, {"unexplained_moves vector", "centroid_cosine vector"}),
        (turn_space, {"unexplained_moves vector", "centroid_cosine vector", "mmd vector"}),
        (use_other_encoder, {"embedding_space vector"}),
        (empty_half, {"empty_texts text", "centroid_cosine vector", "mmd vector", "knn_churn graph"}),
        (fail_half, {"failure_rate text", "lost_texts text", "current_texts vector"}),
        (say_one_text, {"duplicate_texts text", "hub_edges graph", "knn_churn graph", "mmd vector"}),
        (refuse_a_tenth, {"refusal_rate text"}),
        (decline_a_tenth, {"refusal_rate text", "lost_texts text"}),
        (think_aloud, {"think_leaks text"}),
        (leave_tags, {"think_leaks text"}),
    ],
)
def test_poison_is_refused_by_name(store: Store, poison: Change, named: set[str]) -> None:
    texts = published(store)
    poison(store, texts)
    assert named <= refusals(store)


def test_an_honest_change_of_one_percent_passes(store: Store) -> None:
    texts = published(store)
    rewrite(store, {i: good_texts(seed=9)[i] for i in ITEMS[:4]})
    said = results(store)
    assert all(gate.passed for gate in said.values())
    assert 0.01 <= said["knn_churn", "vector"].value < 0.06
    assert 0.01 <= said["knn_churn", "graph"].value < 0.06
    assert said["centroid_cosine", "vector"].value > 0.995
    assert 0 < said["mmd", "vector"].value < 0.02
    assert said["unexplained_moves", "vector"].value == 0
    assert said["lost_texts", "text"].value == 0
    assert texts[ITEMS[0]] != good_texts(seed=9)[ITEMS[0]]


def test_on_disk_the_same_is_refused(tmp_path) -> None:
    store = connect(str(tmp_path / "store"))
    texts = published(store)
    shuffle_vectors(store, texts)
    assert {"unexplained_moves vector", "knn_churn vector"} <= refusals(store)


def test_nothing_new_moves_nothing_and_reads_no_vectors(store: Store, monkeypatch) -> None:
    published(store)
    store.replace("source.quarantine", store.read("source.items").select(["item_id"]))
    read: list[str] = []
    original = MemoryStore.read

    def spy(self, table, **options):
        read.append(table)
        return original(self, table, **options)

    monkeypatch.setattr(MemoryStore, "read", spy)
    said = results(store)
    assert [said[name].value for name in [("knn_churn", "vector"), ("mmd", "vector")]] == [0, 0]
    assert [said[name].value for name in [("centroid_cosine", "vector"), ("coverage", "text")]] == [1, 1]
    assert [table for table in read if not table.startswith("source.")] == []


def test_few_rows_are_not_compared(store: Store) -> None:
    texts = published(store)
    encode(store, texts, encoder=OTHER, said=ENCODER)
    link(store)
    said = results(store, GatePolicy(min_compared=NUM_ITEMS + 1, max_unexplained_moves=1.0))
    assert {name for name, kind in said if kind == "vector"} >= {"unexplained_moves", "embedding_space"}
    assert not {"knn_churn", "mmd", "centroid_cosine"} & {name for name, _ in said}


def test_a_zero_vector_does_not_stop_the_other_gates(store: Store) -> None:
    texts = published(store)
    matrix = HashingEncoder(ENCODER).encode(list(texts.values()))
    matrix[5] = 0
    write_vectors(store, texts, matrix)
    assert refusals(store) == {"zero_norm vector", "stale_edges graph"}
    with pytest.raises(GateFailedError, match=r"vectors of length zero is 1; .* Rows: i005"):
        publish(store, gates=POLICY)


def test_a_refusal_names_the_worst_rows_and_what_to_do(store: Store) -> None:
    texts = published(store)
    matrix = HashingEncoder(ENCODER).encode(list(texts.values()))
    matrix[[7, 11]] = matrix[[11, 7]]
    write_vectors(store, texts, matrix)
    with pytest.raises(GateFailedError) as caught:
        publish(store, gates=POLICY)
    (line,) = [line for line in caught.value.message.splitlines() if "unexplained_moves" in line]
    assert line.strip() in {
        f"unexplained_moves of vector item_cot.fused: share of vectors that differ from the parent's though "
        f"text and encoder are the same is 0.005; at most 0 is allowed. Rows: {rows}"
        for rows in ("i007, i011", "i011, i007")
    }
    assert "rows were mixed up: encode the feature again" in caught.value.hint


def test_a_person_may_accept_a_change_and_the_manifest_says_so(store: Store) -> None:
    texts = published(store)
    use_other_encoder(store, texts)
    accepted = publish(store, gates=POLICY, accepted_gates=["embedding_space", "knn_churn"]).manifest
    (gate,) = [g for g in accepted.gates if not g.passed and g.gate == "embedding_space"]
    assert gate.accepted
    assert gate.note == "hashing (hashing-64) became other (hashing-other)"
    require_passed(accepted.gates, standing="")
    encode(store, texts, encoder=OTHER)
    link(store)
    assert publish(store, gates=POLICY).manifest.number == 3, "the new space is the parent's from now on"


def test_a_feature_that_joins_later_has_nothing_to_differ_from(store: Store) -> None:
    add_catalogue(store)
    publish(store, gates=POLICY)
    texts = good_texts()
    write_texts(store, texts)
    encode(store, texts)
    said = results(store)
    assert not {"knn_churn", "mmd", "embedding_space", "lost_texts"} & {name for name, _ in said}
