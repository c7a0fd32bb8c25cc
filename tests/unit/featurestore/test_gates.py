import pytest
from store_samples import (
    ENCODER,
    ITEM_IDS,
    add_graph,
    add_sources,
    add_texts,
    add_vectors,
    fill_store,
)

from featurestore.errors import GateFailedError
from featurestore.gates.catalog import GATES
from featurestore.gates.policy import GatePolicy
from featurestore.gates.rules import require_passed, run_gates
from featurestore.reader import FeatureStore
from featurestore.release import ReleaseCatalog
from featurestore.releases.publish import publish
from featurestore.spec import PlainTextSpec, VectorSpec
from featurestore.store import Store
from featurestore.stores import connect
from featurestore.stores.memory import MemoryStore
from featurestore.table_facts import TableFacts

POLICY = GatePolicy()


@pytest.fixture(params=["memory", "lance"])
def store(request, tmp_path) -> Store:
    return MemoryStore() if request.param == "memory" else connect(str(tmp_path / "store"))


def refusal(store: Store, policy: GatePolicy = POLICY) -> str:
    """Publish, expect a refusal, check that nothing moved, and return the message."""
    catalog = ReleaseCatalog(store)
    before = catalog.aliases(), catalog.numbers(), store.objects.list("snapshots/")
    with pytest.raises(GateFailedError) as caught:
        publish(store, gates=policy)
    assert before == (catalog.aliases(), catalog.numbers(), store.objects.list("snapshots/"))
    return str(caught.value)


def test_low_coverage_is_refused(store):
    fill_store(store)
    message = refusal(store, GatePolicy(min_coverage=0.9))
    assert message.startswith("1 gate refuses this release; alias 'production' still names no release.")
    assert "share of entities with a good text is 0.8333; at least 0.9 is needed" in message
    assert "lower gates.min_coverage" in message


def test_too_many_failures_are_refused_and_the_alias_stays(store):
    fill_store(store)
    publish(store, gates=POLICY)
    add_texts(store, {"i3": None, "i4": None})
    message = refusal(store)
    assert "alias 'production' still names release 1" in message
    assert (
        "failure_rate of text item_text.text: share of failed rows is 0.5; at most 0.2 is allowed" in message
    )
    assert FeatureStore(store).release().number == 1


def test_a_collapsed_model_is_refused(store):
    add_sources(store)
    add_texts(store, dict.fromkeys(ITEM_IDS, "This is a great product."))
    message = refusal(store)
    assert "duplicate_texts of text item_text.text: " in message
    assert "is 0.8333; at most 0.5 is allowed" in message


def test_vectors_whose_text_moved_on_are_refused(store):
    fill_store(store)
    publish(store, gates=POLICY)
    add_texts(store, {i: f"Another wording about {i}." for i in ITEM_IDS}, wording="1")
    message = refusal(store)
    assert "lineage of vector item_text.text: upstream versions that are not in this release is 1" in message
    assert "lineage of graph" not in message
    assert "run `featurestore embed`, `graph` or `semantic-ids` again" in message


def test_a_text_that_changed_after_it_was_encoded_is_refused(store):
    fill_store(store)
    publish(store, gates=POLICY)
    add_texts(store, {"i1": "Another text about i1."})
    assert "made of another text than this release's is 1; at most 0 is allowed" in refusal(store)


def test_a_vector_whose_text_failed_since_is_refused(store):
    fill_store(store)
    add_texts(store, {"i2": None})
    assert "current_texts of vector item_text.text" in refusal(store)


def test_a_graph_whose_vectors_moved_on_is_refused(store):
    fill_store(store)
    text = add_texts(store, {i: f"A good text about {i}." for i in ITEM_IDS})
    wider = ENCODER.model_copy(update={"name": "wider", "embedding_dim": 8})
    add_vectors(store, text, ITEM_IDS, encoder=wider)
    assert "lineage of graph item_text.text" in refusal(store)


def test_texts_of_another_split_are_refused(store):
    fill_store(store)
    add_sources(store, shift=1)
    message = refusal(store)
    for feature in ("text user_cot.forward", "text user_cot.fused", "vector user_cot.fused"):
        assert f"event_set of {feature}: event sets of another split than the current one is 1" in message
    assert "Texts were made from events of an earlier split" in message


def test_a_graph_of_another_split_is_refused(store):
    add_sources(store)
    text = add_texts(store, {i: f"About {i}." for i in ITEM_IDS})
    vectors = add_vectors(store, text, ITEM_IDS)
    add_graph(store, vectors, ITEM_IDS, event_set="0123456789abcdef:train")
    assert "event_set of graph item_text.text" in refusal(store)


def test_event_sets_without_any_split_are_refused(store):
    add_texts(store, {"u1": "likes"}, entity="user", event_set="0123456789abcdef:train")
    assert "event_set of text item_text.text" in refusal(store)


def test_a_feature_without_rows_is_refused(store):
    from featurestore.features import FeatureRegistry

    add_sources(store)
    spec = PlainTextSpec(
        feature="item_text", view="text", entity="item", fields=("title",), template_digest="0" * 32
    )
    FeatureRegistry(store).register(spec)
    assert "rows of text item_text.text: rows is 0; at least 1 is needed" in refusal(store)


def test_unsound_vectors_and_repeated_ids_are_refused():
    text = PlainTextSpec(feature="f", view="v", entity=None, fields=(), template_digest="0" * 32)
    spec = VectorSpec(feature="f", view="v", entity=None, text_digest=text.digest, encoder=ENCODER)
    sound = TableFacts(table="t", version=1, num_rows=9, checksum="0" * 32)
    broken = sound.model_copy(update={"num_not_finite": 2, "num_zero": 3, "num_repeated_ids": 4})
    with pytest.raises(GateFailedError) as caught:
        require_passed(
            run_gates([(text, sound), (spec, broken)], policy=POLICY, split=None), standing="all is as it was"
        )
    message = caught.value.message
    assert message.startswith("3 gates refuse this release; all is as it was.")
    assert "finite of vector f.v: vectors with NaN or infinity is 2; at most 0 is allowed" in message
    assert "zero_norm of vector f.v: vectors of length zero is 3" in message
    assert "unique_ids of vector f.v: rows that repeat an id is 4" in message


def test_zero_vectors_are_measured_in_the_table(store):
    import numpy as np
    from store_samples import vector_rows

    from featurestore.spec import table_name

    text = add_texts(store, {i: f"About {i}." for i in ITEM_IDS})
    spec = add_vectors(store, text, ITEM_IDS)
    store.upsert(table_name(spec), vector_rows(["i3"], np.zeros((1, 4), np.float32)), key="id")
    assert "zero_norm of vector item_text.text: vectors of length zero is 1" in refusal(store)


def test_what_to_do_about_a_refused_release_can_be_done() -> None:
    """No release was made, so there is none to compare until one is accepted."""
    for name in ("centroid_cosine", "mmd", "knn_churn", "code_churn", "probe"):
        assert "publish it with --no-promote and --accept, then run `featurestore diff`" in GATES[name].remedy
