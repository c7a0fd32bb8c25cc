"""Semantic ids from stored vectors: which codebooks code them, and what is written."""

from typing import Any

import polars as pl
import pytest
from coded_vectors import ENCODER, ITEMS, OPTIONS, build, put_vectors, stored

from featurestore import columns as c
from featurestore import schema
from featurestore.codes.codebooks import load_codebooks
from featurestore.codes.collision_digits import issued_table
from featurestore.codes.generations import SemanticIdOptions
from featurestore.codes.quality import read_code_quality
from featurestore.errors import (
    EmbeddingSpaceError,
    InputError,
    LockHeldError,
    UnknownNameError,
    UsageError,
)
from featurestore.features import FeatureRegistry
from featurestore.jobs.lock import FeatureLock
from featurestore.spec import CodesSpec
from featurestore.store import Store
from featurestore.stores import connect
from featurestore.stores.memory import MemoryStore


@pytest.fixture(params=["memory", "lance"])
def store(request: pytest.FixtureRequest, tmp_path: Any) -> Store:
    return MemoryStore() if request.param == "memory" else connect(str(tmp_path / "store"))


def test_first_codes_train_codebooks_and_say_so(store: Store) -> None:
    vectors = put_vectors(store, ITEMS)
    notes: list[str] = []
    report = build(store, progress=lambda done, total, note="": notes.append(f"{done}/{total} {note}"))
    assert report.spec == CodesSpec(
        feature="sid",
        view="text",
        entity="item",
        vector_digest=vectors.digest,
        codebook=report.spec.codebook,
        num_levels=2,
        codebook_size=4,
        beam_size=1,
    )
    assert (report.trained, report.warm_start, report.changed, report.churn) == (True, None, True, None)
    assert (report.num_new, report.num_coded, report.num_gone) == (40, 40, 0)
    assert FeatureRegistry(store).head("codes", "sid", "text").spec == report.spec
    codes = stored(store, report)
    assert codes.keys() == ITEMS.keys()
    assert len(set(codes.values())) == 40
    assert report.quality.num_entities == 40
    assert read_code_quality(store, report.table.table, report.table.version) == report.quality
    origin = load_codebooks(store.objects, report.spec.codebook).origin
    assert (origin.encoder, origin.num_vectors, origin.warm_start) == (ENCODER, 40, None)
    assert (notes[0][:3], notes[-1][:3]) == ("0/4", "4/4")


def test_nothing_changed_writes_nothing() -> None:
    store = MemoryStore()
    put_vectors(store, ITEMS)
    first, again = build(store), build(store)
    assert (again.changed, again.trained, again.num_coded, again.table) == (False, False, 0, first.table)
    assert again.churn is not None
    assert (again.churn.num_common, again.churn.num_moved) == (40, 0)
    assert again.quality == first.quality


def test_new_changed_and_gone_items_are_told_apart(store: Store) -> None:
    put_vectors(store, ITEMS)
    before = stored(store, build(store))
    tonight = {item: text for item, text in ITEMS.items() if item != "i00"}
    tonight |= {"i01": "Another text.", "new": "A new text.", "twin": ITEMS["i02"]}
    put_vectors(store, tonight)
    report = build(store)
    after = stored(store, report)
    assert (report.num_new, report.num_gone, report.num_coded) == (2, 1, 3)
    assert report.churn is not None
    assert report.churn.num_moved == int(after["i01"] != before["i01"])
    assert {i: after[i] for i in tonight if i in before and i != "i01"} == {
        i: code for i, code in before.items() if i not in {"i00", "i01"}
    }
    assert after["twin"][:-1] == after["i02"][:-1]
    assert after["twin"] not in before.values(), "i02's digit and those of its neighbours stay theirs"
    put_vectors(store, ITEMS)
    assert stored(store, build(store)) == before, "whoever returns finds its id as it was"


def test_events_of_another_split_are_noted_without_coding_again() -> None:
    store = MemoryStore()
    put_vectors(store, ITEMS, event_set="abc:train")
    first = build(store)
    put_vectors(store, ITEMS, event_set="def:train")
    report = build(store)
    assert (report.changed, report.num_coded) == (True, 0)
    assert stored(store, report) == stored(store, first)
    rows = store.read(report.table.table, version=report.table.version)
    assert set(rows[c.EVENT_SET].to_pylist()) == {"def:train"}
    assert report.spec.event_set == "abc:train", "what the codebooks learned from does not change"


def test_new_codebooks_stand_beside_the_old_ones_and_start_from_them(store: Store) -> None:
    put_vectors(store, ITEMS)
    first = build(store)
    put_vectors(store, ITEMS | {f"n{number:02}": f"New {number}." for number in range(40)})
    second = build(store)
    report = build(store, codebook="new")
    assert (report.trained, report.warm_start) == (True, first.spec.codebook)
    assert report.table.table != second.table.table
    assert (report.num_coded, report.num_new) == (80, 0)
    assert report.churn is not None
    assert (report.churn.against, report.churn.num_common) == (second.spec.digest, 80)
    assert 0 < report.churn.moved_share < 1
    assert load_codebooks(store.objects, report.spec.codebook).origin.iterations == OPTIONS.warm_iterations
    assert stored(store, second).keys() == stored(store, report).keys(), "the old table is as it was"
    back = build(store, codebook=first.spec.codebook[:8])
    assert (back.spec, back.table, back.trained, back.changed) == (second.spec, second.table, False, True)
    assert FeatureRegistry(store).head("codes", "sid", "text").spec == second.spec
    assert build(store).spec == second.spec


def test_items_whose_codes_new_codebooks_leave_alone_keep_their_digits() -> None:
    store = MemoryStore()
    put_vectors(store, ITEMS)
    build(store)
    put_vectors(store, ITEMS | {"a twin": ITEMS["i07"]})
    second = build(store)
    before = stored(store, second)
    assert before["a twin"][-1] > before["i07"][-1], "it came later, though its name comes first"
    report = build(store, codebook="new")
    after = stored(store, report)
    assert report.spec.codebook != second.spec.codebook
    assert report.churn is not None
    assert report.churn.moved_share == report.churn.moved_by_level[-1], "no digit moved alone"
    same_codes = [item for item in before if before[item][:-1] == after[item][:-1]]
    assert {"a twin", "i07"} <= set(same_codes)
    assert [after[item] for item in same_codes] == [before[item] for item in same_codes]


def test_going_back_keeps_ids_though_the_vectors_have_a_new_spec() -> None:
    store = MemoryStore()
    put_vectors(store, ITEMS)
    first = build(store)
    build(store, codebook="new", options=OPTIONS.model_copy(update={"codebook_size": 8}))
    put_vectors(store, ITEMS | {"i00": "Rewritten."}, text_digest="1" * 32)
    back = build(store, codebook=first.spec.codebook)
    assert back.spec.vector_digest != first.spec.vector_digest
    assert back.num_coded == 1
    before, after = stored(store, first), stored(store, back)
    assert {item for item in before if before[item] != after[item]} <= {"i00"}


@pytest.mark.parametrize(
    "change", [{"num_levels": 3}, {"codebook_size": 8}], ids=["other levels", "other size"]
)
def test_codebooks_of_another_shape_start_from_the_vectors(change: dict[str, int]) -> None:
    store = MemoryStore()
    put_vectors(store, ITEMS)
    build(store)
    report = build(store, codebook="new", options=OPTIONS.model_copy(update=change))
    assert (report.trained, report.warm_start) == (True, None)


def test_codebooks_do_not_hand_on_what_they_learned_from_an_earlier_split() -> None:
    store = MemoryStore()
    put_vectors(store, ITEMS, event_set="abc:train")
    first = build(store)
    assert build(store, codebook="new").warm_start == first.spec.codebook
    put_vectors(store, ITEMS, event_set="def:train")
    report = build(store, codebook="new")
    assert (report.warm_start, report.spec.event_set) == (None, "def:train")


def test_options_that_contradict_the_current_codebooks_are_refused() -> None:
    store = MemoryStore()
    put_vectors(store, ITEMS)
    build(store)
    wider = OPTIONS.model_copy(update={"codebook_size": 8, "beam_size": 5})
    message = r"codebooks of sid\.text have codebook_size 4 \(asked for: 8\), beam_size 1 \(asked for: 5\)\."
    with pytest.raises(UsageError, match=message) as caught:
        build(store, options=wider)
    assert "or train new codebooks with --codebook new" in caught.value.hint
    assert build(store, options=wider, codebook="new").spec.beam_size == 5
    assert not build(store, options=wider).changed
    assert build(store, options=wider.model_copy(update={"warm_iterations": 9})).spec.beam_size == 5


def test_vectors_of_another_encoder_are_not_coded_with_these_codebooks() -> None:
    store = MemoryStore()
    put_vectors(store, ITEMS)
    build(store)
    other = ENCODER.model_copy(update={"name": "other", "embedding_dim": 6})
    put_vectors(store, ITEMS, encoder=other)
    message = (
        r"trained on vectors of 'hashing' \(hashing, 4 columns\); sid\.text now holds vectors of 'other'"
    )
    with pytest.raises(EmbeddingSpaceError, match=message):
        build(store)
    report = build(store, codebook="new")
    assert (report.trained, report.warm_start) == (True, None)


def test_what_cannot_be_coded_says_why() -> None:
    store = MemoryStore()
    with pytest.raises(UnknownNameError, match=r"unknown vector feature 'sid\.text'"):
        build(store)
    put_vectors(store, {})
    with pytest.raises(InputError, match=r"sid\.text holds no vectors\."):
        build(store)
    put_vectors(store, {"a": "x", "b": "y"})
    with pytest.raises(InputError, match="4 codes a level need as many vectors at least, there are 2"):
        build(store)
    put_vectors(store, ITEMS)
    with pytest.raises(UnknownNameError, match=r"unknown codebook 'abc'\. .*Known: current, new\."):
        build(store, codebook="abc")
    codebook = build(store).spec.codebook
    with pytest.raises(UnknownNameError, match=r"unknown codebook 'zzz'\.") as caught:
        build(store, codebook="zzz")
    assert set(caught.value.known) == {"current", "new", codebook[:16]}
    with (
        FeatureLock(store.objects, "codes.sid.text"),
        pytest.raises(LockHeldError, match=r"codes\.sid\.text"),
    ):
        build(store)


@pytest.mark.parametrize("size", [0, 3, 100, 2**17])
def test_a_codebook_size_that_is_no_power_of_two_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="codebook_size"):
        SemanticIdOptions(codebook_size=size)


def test_semantic_ids_of_forgotten_entities_stay_taken(store: Store) -> None:
    put_vectors(store, {"a": "same", "b": "same", "c": "1", "d": "2", "e": "3"})
    report = build(store)
    before = stored(store, report)
    table = issued_table(report.spec)
    issued = pl.DataFrame(store.read(table))
    nameless = issued.filter(pl.col(c.ID) == "a").with_columns(pl.lit(None, pl.String).alias(c.ID))
    store.upsert(table, nameless.to_arrow().cast(schema.ISSUED_CODES), key=c.SEMANTIC_ID)
    put_vectors(store, {"b": "same", "c": "1", "d": "2", "e": "3", "f": "same"})
    after = stored(store, build(store))
    assert after["f"] not in before.values()
    assert after["b"] == before["b"]
