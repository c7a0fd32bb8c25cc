"""RecMind's adapters on a small store: what is learned, what is written, what it says of itself."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from aligned_world import (
    ITEMS,
    USERS,
    add_graph_vectors,
    add_texts,
    another_split,
    fill,
    graph_spec,
    graph_vectors,
    release,
    text_spec,
    train_events,
)
from safetensors.torch import load_file, save_file
from tuning_world import word_texts

from featurestore import columns as c
from featurestore.adapters import adapter_paths, load_adapter
from featurestore.errors import (
    EmbeddingSpaceError,
    InputError,
    LeakError,
    LockHeldError,
    UnknownNameError,
    UsageError,
)
from featurestore.gates.policy import GatePolicy
from featurestore.jobs.lock import FeatureLock
from featurestore.reader import Release
from featurestore.releases.garbage import find_garbage
from featurestore.releases.gc import gc
from featurestore.releases.publish import publish
from featurestore.releases.retention import GcPolicy
from featurestore.stores.memory import MemoryStore
from llm_jobs.model_folder import weight_files
from llm_jobs.tuning.alignment import AlignmentConfig
from llm_jobs.tuning.base_model import load_base
from llm_jobs.tuning.recmind_adapters import RecmindReport, RecmindSources, apply_recmind, tune_recmind
from llm_jobs.tuning.tuned_encoder import open_tuned

CONFIG = AlignmentConfig(
    lora_rank=4,
    learning_rate=5e-3,
    head_learning_rate=2e-2,
    epochs=6,
    batch_size=16,
    held_out_share=0.25,
    num_hard=4,
    queue_size=32,
    momentum=0.5,
    checkpoint_steps=3,
)
BOTH = RecmindSources(texts={"item": "item_notes", "user": "user_notes"}, vectors="lightgcn")


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore("aligned")


@pytest.fixture
def run(store, tmp_path, decoder):
    """Tune the tiny decoder on a release of the store."""

    def tune(released: Release, sources: RecmindSources = BOTH, **options) -> RecmindReport:
        arguments = {"entry": decoder, "config": CONFIG, "seed": 3, "work_folder": tmp_path} | options
        return tune_recmind(store, released, sources, **arguments)

    return tune


def stop(run, released: Release, *, at: int) -> None:
    """Begin a job, and stop it after so many steps."""

    def interrupt(done: int, total: int, note: str = "") -> None:
        if done == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(released, progress=interrupt)


def test_held_out_nodes_align_better_and_every_text_gets_its_vector(store, run, tmp_path, entry):
    report = run(fill(store), entry=entry)
    assert report.num_examples == 54 + 18
    for entity in ("item", "user"):
        assert report.before[entity].num_nodes == {"item": 18, "user": 6}[entity]
        assert report.after[entity].loss < report.before[entity].loss
    after = release(store)
    adapter = load_adapter(store.objects, report.adapter)
    encoder = open_tuned(load_base(entry, CONFIG), adapter)
    for side, ids in zip(report.stored, (ITEMS, USERS), strict=True):
        assert (side.num_texts, side.num_written) == (len(ids), len(ids))
        found = after.embeddings("recmind", side.spec.view)
        assert found.ids == sorted(ids)
        texts = after.texts(f"{side.spec.entity}_notes")[c.TEXT].to_list()
        np.testing.assert_allclose(found.matrix, encoder.encode(texts), atol=1e-5)
        assert found.encoder == encoder.spec
    assert not list(tmp_path.rglob("*.safetensors"))


def test_the_spec_names_texts_graph_and_adapter_and_rows_name_the_events(store, run):
    released = fill(store)
    report = run(released)
    graphs = ",".join(sorted(graph_spec(entity).digest for entity in ("item", "user")))
    for side in report.stored:
        assert side.spec.text_digest == text_spec(side.spec.entity).digest
        assert side.spec.aligned_with == graphs
        assert side.spec.encoder.adapter == report.adapter
        assert (side.spec.encoder.name, side.spec.encoder.embedding_dim) == ("tiny-decoder+recmind", 6)
        rows = pl.DataFrame(store.read(side.table))
        assert rows[c.EVENT_SET].unique().to_list() == [train_events(store)]
    origin = load_adapter(store.objects, report.adapter).origin
    assert origin.texts == {entity: text_spec(entity).digest for entity in ("item", "user")}
    assert origin.vectors == {entity: graph_spec(entity).digest for entity in ("item", "user")}
    assert (origin.release, origin.num_examples, origin.seed) == (released.number, 72, 3)
    assert origin.event_set == train_events(store)
    assert origin.settings == CONFIG.result_settings
    assert len(adapter_paths(store.objects, report.adapter)) == 4


def test_seeds_decide_the_adapter(store, run):
    released = fill(store)
    quick = CONFIG.model_copy(update={"max_steps": 2})
    digests = [
        run(released, replace(BOTH, name=name), config=quick, seed=seed).adapter
        for name, seed in (("a", 3), ("b", 3), ("c", 4))
    ]
    assert digests[0] == digests[1] != digests[2]


def test_a_job_that_was_stopped_goes_on_and_ends_the_same(store, run, tmp_path):
    released = fill(store)
    whole = run(released, replace(BOTH, name="whole"))
    stop(run, released, at=10)
    (kept,) = (tmp_path / "tuning").iterdir()
    assert kept.name.startswith("recmind-")
    resumed = run(released)
    assert resumed.tuning.resumed_at == 9
    assert (resumed.adapter, resumed.after) == (whole.adapter, whole.after)
    assert not kept.exists()


def test_a_checkpoint_of_other_settings_is_not_taken_up(store, run):
    released = fill(store)
    stop(run, released, at=4)
    other = run(released, config=CONFIG.model_copy(update={"temperature": 0.3}))
    assert other.tuning.resumed_at == 0


def test_a_checkpoint_of_other_weights_is_not_taken_up(store, run, decoder):
    """In the same folder, which has no revision."""
    released = fill(store)
    stop(run, released, at=4)
    (file,) = weight_files(Path(decoder.folder))
    weights = {name: 1.01 * tensor for name, tensor in load_file(file).items()}
    kept = file.read_bytes()
    try:
        save_file(weights, file, metadata={"format": "pt"})
        assert run(released).tuning.resumed_at == 0
    finally:
        file.write_bytes(kept)


def test_a_stored_adapter_encodes_new_texts_without_tuning(store, run, decoder, encoder):
    report = run(fill(store), replace(BOTH, texts={"item": "item_notes"}))
    texts: list[str | None] = list(word_texts(len(ITEMS), seed=1)[0])
    texts[0], texts[1] = "kettle of another kind", None
    add_texts(store, "item", texts)
    applied = apply_recmind(store, BOTH, entry=decoder, adapter=report.adapter[:10])
    assert applied.tuning is None
    assert applied.adapter == report.adapter
    assert [(side.num_texts, side.num_written) for side in applied.stored] == [(71, 1), (24, 24)]
    assert applied.stored[0].spec == report.stored[0].spec
    found = release(store).embeddings("recmind", "item")
    assert ITEMS[1] not in found.ids
    with pytest.raises(EmbeddingSpaceError, match=r"was tuned on another base: .*pooling 'last_token', not"):
        apply_recmind(store, BOTH, entry=encoder, adapter=report.adapter)
    with pytest.raises(UnknownNameError, match="unknown adapter 'ffff'"):
        apply_recmind(store, BOTH, entry=decoder, adapter="ffff")
    with pytest.raises(UsageError, match=r"lightgcn\.item is the name of a model's own vectors"):
        apply_recmind(store, replace(BOTH, name="lightgcn"), entry=decoder, adapter=report.adapter)


def test_under_another_split_an_adapter_encodes_nothing_and_its_vectors_are_left_out(store, run, decoder):
    """Texts of items read no events: only the adapter did."""
    items = replace(BOTH, texts={"item": "item_notes"})
    adapter = run(fill(store), items, config=CONFIG.model_copy(update={"max_steps": 2})).adapter
    learned = train_events(store)
    release(store)
    another_split(store)
    now = train_events(store).partition(":")[0]
    said = f"{adapter[:16]} learned from the events {learned}, of release 1; the store's split is {now}"
    with pytest.raises(LeakError, match=said) as caught:
        apply_recmind(store, items, entry=decoder, adapter=adapter)
    assert "tune a new adapter" in caught.value.hint
    add_texts(store, "user", word_texts(len(USERS), seed=2)[0])
    report = publish(store, gates=GatePolicy())
    assert set(report.left_out) == {"lightgcn.item", "lightgcn.user", "recmind.item"}
    assert report.left_out_tuned == ("recmind.item",)


def test_nodes_without_a_graph_vector_are_encoded_but_not_learned_from(store, run):
    fill(store)
    add_graph_vectors(store, "item", graph_vectors(word_texts(len(ITEMS), seed=1)[1], seed=1)[:40])
    released = release(store)
    sources = replace(BOTH, texts={"item": "item_notes"})
    report = run(released, sources, config=CONFIG.model_copy(update={"held_out_share": 0.0}))
    assert report.num_examples == 40
    assert report.after == {}
    assert report.stored[0].num_texts == len(ITEMS)


def test_what_cannot_be_aligned_says_why(store, run):
    released = fill(store)
    cases = [
        (replace(BOTH, texts={"item": "nothing"}), UnknownNameError, "unknown text feature 'nothing'"),
        (replace(BOTH, vectors="lightgnc"), UnknownNameError, "Did you mean 'lightgcn'"),
        (replace(BOTH, texts={}), UsageError, "alignment needs texts of items, of users, or of both"),
        (
            replace(BOTH, texts={"item": "user_notes"}),
            UsageError,
            "text feature 'user_notes' describes users; items were expected",
        ),
        (
            replace(BOTH, texts={"item": "item_notes"}, vectors="lightgcn.user"),
            UsageError,
            "vector feature 'lightgcn.user' describes users; items were expected",
        ),
        (replace(BOTH, name="z L"), UsageError, "'z L' cannot name a feature"),
        (
            replace(BOTH, name="lightgcn"),
            UsageError,
            r"lightgcn\.item is the name of a model's own vectors .*.* --name lightgcn-texts",
        ),
    ]
    for sources, kind, message in cases:
        with pytest.raises(kind, match=f"(?s){message}"):
            run(released, sources)


def test_wrong_target_modules_and_held_locks_are_refused(store, run):
    released = fill(store)
    wrong = CONFIG.model_copy(update={"target_modules": "attention"})
    with pytest.raises(UnknownNameError, match="unknown target module 'attention'"):
        run(released, config=wrong)
    with FeatureLock(store.objects, "tuning.recmind"), pytest.raises(LockHeldError):
        run(released)


def test_vectors_of_two_models_are_not_mixed(store, run):
    fill(store)
    add_graph_vectors(store, "user", graph_vectors(word_texts(24, seed=2)[1], seed=2), model="b")
    with pytest.raises(EmbeddingSpaceError, match="lie in different spaces: model 'recommender:a'"):
        run(release(store))


def test_vectors_that_read_held_out_events_are_refused(store, run):
    fill(store)
    labels = word_texts(len(ITEMS), seed=1)[1]
    add_graph_vectors(store, "item", graph_vectors(labels, seed=1), part=f"{c.TRAIN}+{c.VALID}")
    with pytest.raises(LeakError, match=r"read events of .*train\+valid"):
        run(release(store))


def test_a_side_without_good_texts_is_refused(store, run):
    fill(store)
    add_texts(store, "item", ["only one text", *[None] * 71])
    sources = replace(BOTH, texts={"item": "item_notes"})
    released = release(store, GatePolicy(max_failure_rate=1.0, max_lost_texts=1.0))
    with pytest.raises(InputError, match="alignment tells at least two nodes apart"):
        run(released, sources)


def test_a_release_pins_the_adapter_and_gc_removes_one_that_nothing_was_made_with(store, run):
    quick = CONFIG.model_copy(update={"max_steps": 2})
    released = fill(store)
    earlier = run(released, config=quick).adapter
    later = run(released, config=quick, seed=4).adapter
    pins = {pin.name: pin for pin in release(store).features("vector")}
    paths = [artefact.path for artefact in pins["recmind.item"].artefacts]
    assert paths == adapter_paths(store.objects, later)
    assert pins["lightgcn.item"].artefacts == ()
    patient = find_garbage(store, GcPolicy(abandoned_days=1))
    assert not any(path.startswith("adapters/") for path in patient.objects)
    garbage = find_garbage(store, GcPolicy(abandoned_days=0))
    gone = sorted(path for path in garbage.objects if path.startswith("adapters/"))
    assert gone == adapter_paths(store.objects, earlier)
    gc(store, GcPolicy(abandoned_days=0))
    assert adapter_paths(store.objects, earlier) == []
    assert load_adapter(store.objects, later).digest == later
