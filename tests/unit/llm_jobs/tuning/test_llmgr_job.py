"""LLMGR's stages on a small store: what is written, what it says of itself, and what is refused."""

import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from aligned_world import (
    ITEMS,
    add_texts,
    another_split,
    graph_spec,
    release,
    text_spec,
    train_events,
)
from gate_world import USERS
from safetensors.torch import load
from session_world import QUICK, QUICK_BEHAVIOUR, fill_sessions
from tuning_world import word_texts

from featurestore import columns as c
from featurestore.adapters import Adapter, load_adapter
from featurestore.errors import EmbeddingSpaceError, LeakError, UnknownNameError, UsageError
from featurestore.gates.policy import GatePolicy
from featurestore.reader import FeatureStore, Release
from featurestore.spec import ModelVectorSpec
from featurestore.stores.memory import MemoryStore
from llm_jobs.tuning.base_model import load_base
from llm_jobs.tuning.hybrid_input import load_hybrid_tokens
from llm_jobs.tuning.hybrid_weights import begin, resume
from llm_jobs.tuning.llmgr_config import BehaviourConfig, LlmgrConfig
from llm_jobs.tuning.llmgr_examples import newest_examples
from llm_jobs.tuning.llmgr_job import LlmgrReport, Tuned, tune_llmgr
from llm_jobs.tuning.llmgr_lists import UserLists, write_teacher
from llm_jobs.tuning.llmgr_prompts import behaviour_prompt
from llm_jobs.tuning.llmgr_sources import LlmgrSources, graph_vectors, read_llmgr
from llm_jobs.tuning.llmgr_titles import TitleEncoder, apply_titles, title_spec, title_writer
from recommender.data import Histories, load_histories, load_seen, load_training_data
from recommender.evaluation.compare import open_saved
from recommender.experiment import TrainRequest, train_models
from recommender.generative.job import write_lists
from recommender.model_vectors import write_model_vectors
from recommender.registry import parse_settings
from recommender.saved import load_model
from recommender.sequence_vectors import states_of
from recommender.session.teacher_lists import load_teacher

SOURCES = LlmgrSources("item_notes", "lightgcn")


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore("sessions")


@pytest.fixture
def entry(decoder):
    return decoder.model_copy(update={"max_tokens": 96})


@pytest.fixture
def run(store, tmp_path, entry):
    """Tune a stage on a release of the store."""

    def tune(released: Release, sources: LlmgrSources = SOURCES, **options) -> LlmgrReport:
        arguments = {
            "stage": "alignment",
            "entry": entry,
            "config": QUICK,
            "seed": 3,
            "work_folder": tmp_path,
            "then": title_writer(store, sources.name),
        }
        return tune_llmgr(store, released, sources, **(arguments | options))

    return tune


def nothing(_tuned: Tuned) -> tuple[()]:
    return ()


def test_stage_1_stores_an_adapter_and_a_vector_of_every_title(store, run, tmp_path, entry):
    released = fill_sessions(store)
    report = run(released)
    assert (report.num_examples, report.tuning.steps) == (72, 6)
    after = release(store)
    adapter = load_adapter(store.objects, report.adapter)
    found = after.embeddings("llmgr", "item")
    assert found.ids == sorted(ITEMS)
    base = load_base(entry, QUICK)
    start = resume(base, torch.zeros(len(released.id_map("item")), 6), adapter)
    tokens = load_hybrid_tokens(base.folder, base.spec)
    encoder = TitleEncoder(tokens, start.model, start.ends, spec=title_spec(base.spec, report.adapter))
    texts = after.texts("item_notes")[c.TEXT].to_list()
    np.testing.assert_allclose(found.matrix, encoder.encode(texts), atol=1e-5)
    assert found.encoder == encoder.spec
    assert found.spec.aligned_with == graph_spec("item").digest
    assert found.spec.text_digest == text_spec("item").digest
    rows = pl.DataFrame(store.read(report.stored[0].table))
    assert rows[c.EVENT_SET].unique().to_list() == [train_events(store)]
    origin = adapter.origin
    assert (origin.job, origin.release, origin.num_examples) == ("llmgr.alignment", released.number, 72)
    assert origin.settings == QUICK.result_settings | {"stage": "alignment", "start": None}
    assert not list(tmp_path.rglob("*.safetensors"))


def test_stage_2_begins_at_stage_1_and_its_lists_are_the_decoders(store, run, tmp_path, entry):
    released = fill_sessions(store)
    first = run(released)
    made: list[Tuned] = []
    teacher = tmp_path / "lists" / "teacher.safetensors"

    def then(tuned: Tuned) -> tuple[()]:
        made.append(tuned)
        write_teacher(tuned, teacher, top_k=5)
        lists = UserLists.of(tuned, released, top_k=4)
        digest = tuned.adapter.digest
        write_lists(
            store, lists, released, name="offline", model_digest=digest, top_k=4, logs=tmp_path / "logs"
        )
        return ()

    report = run(released, stage="behaviour", config=QUICK_BEHAVIOUR, start=first.adapter[:8], then=then)
    origin = load_adapter(store.objects, report.adapter).origin
    assert (origin.job, origin.settings["start"]) == ("llmgr.behaviour", first.adapter)
    assert report.num_examples == 60
    [tuned] = made
    histories = load_histories(released, c.TRAIN)
    lists = load_teacher(teacher, load_training_data(released))
    assert (lists.origin.adapter, lists.origin.release) == (report.adapter, str(released.number))
    assert lists.origin.split == train_events(store)
    _, rows = newest_examples(histories, 3)
    row = int(rows[4])
    scores = scores_by_hand(tuned, histories.of(row)[-4:-1].tolist())
    assert lists.items[row].tolist() == np.argsort(-scores)[:5].tolist()
    np.testing.assert_allclose(lists.scores[row], np.sort(scores)[::-1][:5], atol=1e-4)
    assert (lists.items[np.setdiff1d(np.arange(len(USERS)), rows)] == -1).all()

    after = release(store)  # which has other features, and the same sessions
    assert after.number != released.number
    assert load_teacher(teacher, load_training_data(after)).origin == lists.origin
    user = released.id_map("user").ids[row]
    stored = after.recommendations("offline").filter(pl.col(c.USER_ID) == user).sort(c.RANK)
    both, seen = load_histories(released, c.TRAIN, c.VALID), load_seen(released)
    scores = scores_by_hand(tuned, both.of(row)[-3:].tolist())
    scores[seen.of(row)] = -np.inf
    expected = released.id_map("item").ids_of(np.argsort(-scores)[:4])
    assert stored[c.ITEM_ID].to_list() == expected


def scores_by_hand(tuned: Tuned, clicks: list[int]) -> np.ndarray:
    """W_o h of one session whose graph is the mean of its nodes."""
    nodes = torch.from_numpy(tuned.found.nodes)
    found = tuned.tokens.input(behaviour_prompt(clicks, 0))
    mean = nodes[clicks].mean(dim=0, keepdim=True)
    ends = tuned.start.ends
    with torch.no_grad():
        state = tuned.start.model([found], ends.place([found], nodes, mean))[0]
        return (ends.output @ ((state - ends.mean) * ends.scale)).numpy()


def test_a_stage_that_was_stopped_goes_on_and_ends_the_same(store, run):
    released = fill_sessions(store)
    whole = run(released, replace(SOURCES, name="whole"))

    def stop(done: int, total: int, note: str = "") -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(released, progress=stop)
    resumed = run(released)
    assert resumed.tuning.resumed_at == 4
    assert resumed.adapter == whole.adapter


def test_controls_are_other_jobs(store, run):
    released = fill_sessions(store)
    options = {"stage": "behaviour", "then": nothing}
    quick = {"max_steps": 1}
    digests = {
        name: run(released, **(options | changed)).adapter
        for name, changed in {
            "plain": {"config": QUICK_BEHAVIOUR.model_copy(update=quick)},
            "no graph": {"config": QUICK_BEHAVIOUR.model_copy(update=quick | {"graph_token": "none"})},
            "joint": {"stage": "joint", "config": QUICK_BEHAVIOUR.model_copy(update=quick)},
            "titles": {"stage": "alignment", "config": QUICK.model_copy(update=quick)},
            "shuffled": {
                "stage": "alignment",
                "config": QUICK.model_copy(update=quick | {"texts": "shuffled"}),
            },
        }.items()
    }
    assert len(set(digests.values())) == 5


def test_graphs_are_what_the_base_reads_out_of_sessions(store, run, tmp_path):
    released = fill_sessions(store)
    folder = tmp_path / "gru"
    train_models(
        released,
        TrainRequest("gru4rec", {"epochs": "1", "embedding_dim": "6", "hidden_dim": "5"}),
        folder,
    )
    saved, opened = open_saved(folder, FeatureStore(store), None)
    written = write_model_vectors(store, saved, opened, name="gru4rec")
    assert isinstance(written["item"].spec, ModelVectorSpec)
    after = release(store)
    sources = LlmgrSources("item_notes", "gru4rec", base=load_model(folder))
    found = read_llmgr(after, sources)
    np.testing.assert_allclose(found.nodes, saved.model.arrays()["weights"]["item_vectors"], atol=1e-6)
    prefixes = Histories(np.array([0, 2, 3]), np.array([5, 9, 7]))
    config = QUICK_BEHAVIOUR.model_copy(update={"graph_token": "readout", "max_steps": 1})
    graphs = graph_vectors(found, prefixes, config)
    np.testing.assert_allclose(graphs, states_of(saved.model, prefixes))
    scores = saved.model.with_histories(prefixes).score(np.arange(2))
    np.testing.assert_allclose(graphs @ found.nodes.T, scores, atol=1e-5)
    report = run(after, sources, stage="behaviour", config=config, then=nothing)
    assert report.tuning.steps == 1

    with pytest.raises(EmbeddingSpaceError, match="the vectors 'lightgcn' are not those of the model in"):
        read_llmgr(after, replace(sources, vectors="lightgcn"))
    with pytest.raises(UsageError, match="graph_token=readout needs the model"):
        run(after, replace(sources, base=None), stage="behaviour", config=config, then=nothing)


def test_new_titles_are_encoded_by_a_stored_adapter(store, run, entry):
    released = fill_sessions(store)
    report = run(released)
    texts, _ = word_texts(len(ITEMS), seed=1)
    add_texts(store, "item", ["a new one", *[text[:20] for text in texts[1:]]])
    digest, stored = apply_titles(store, "item_notes", name="llmgr", entry=entry, adapter=report.adapter[:8])
    assert (digest, stored.num_written) == (report.adapter, 1)
    assert stored.table == report.stored[0].table
    assert release(store, GatePolicy()).embeddings("llmgr", "item").ids == sorted(ITEMS)
    after = run(
        released, stage="behaviour", config=QUICK_BEHAVIOUR.model_copy(update={"max_steps": 1}), then=nothing
    )
    with pytest.raises(UsageError, match=r"'llmgr\.v2' cannot name a feature"):
        apply_titles(store, "item_notes", name="llmgr.v2", entry=entry, adapter="ff")
    with pytest.raises(UsageError, match=r"is of 'llmgr.behaviour': it has learned no titles"):
        apply_titles(store, "item_notes", name="llmgr", entry=entry, adapter=after.adapter)
    another_split(store)
    with pytest.raises(LeakError, match=r"learned from the events .*, of release 1; the store's split is"):
        apply_titles(store, "item_notes", name="llmgr", entry=entry, adapter=report.adapter)


def test_maps_of_other_vectors_are_new_and_the_seeds_and_all_else_is_the_adapters(store, run, entry):
    """As when stage 1 is shared by the bases of stage 2."""
    released = fill_sessions(store)
    adapter = load_adapter(store.objects, run(released, then=nothing).adapter)
    other = torch.randn(len(released.id_map("item")), 9, generator=torch.Generator().manual_seed(0))
    first, second = (
        begin(
            load_base(entry, QUICK), other, QUICK, seed=seed, adapter=adapter, same_nodes=False
        ).ends.tensors()
        for seed in (1, 2)
    )
    learned, kept = load(adapter.files["ends.safetensors"]), {"output", "mean", "scale"}
    assert kept < first.keys()
    assert all(torch.equal(first[name], learned[name]) for name in kept)
    drawn = {name for name in first if not torch.equal(first[name], second[name])}
    assert drawn
    assert drawn.isdisjoint(kept)
    assert all(first[name].shape[-1] == 9 for name in drawn)


def test_what_does_not_fit_is_refused(store, run, entry):
    released = fill_sessions(store)
    for name in ("llmgr.v2", "", "../../x y"):  # before anything else, be it absent
        with pytest.raises(UsageError, match=re.escape(f"{name!r} cannot name a feature")):
            run(released, LlmgrSources("absent", "absent", name))
    for other in ({}, {"stage": "joint", "config": QUICK_BEHAVIOUR}):
        with pytest.raises(UsageError, match=r"lightgcn\.item is the name of a model's own vectors in this"):
            run(released, LlmgrSources("item_notes", "lightgcn", "lightgcn"), **other)
    with pytest.raises(UsageError, match=r"lightgcn\.item is the name of a model's own vectors in this"):
        apply_titles(store, "item_notes", name="lightgcn", entry=entry, adapter="ff")
    first = run(released, then=nothing)
    with pytest.raises(UnknownNameError, match="unknown adapter 'ff'"):
        run(released, start="ff")
    with pytest.raises(UsageError, match=r"first_output=probe would throw away the W_o"):
        run(released, start=first.adapter, config=QUICK.model_copy(update={"first_output": "probe"}))
    with pytest.raises(UsageError, match=r"was tuned with other settings: lora_rank=2, not 4"):
        run(released, start=first.adapter, config=QUICK.model_copy(update={"lora_rank": 2}))
    with pytest.raises(EmbeddingSpaceError, match=r"was tuned on 'tiny-decoder' .* 96 tokens"):
        run(released, start=first.adapter, config=QUICK.model_copy(update={"max_tokens": 90}))
    stored = load_adapter(store.objects, first.adapter)
    origin = stored.origin.model_copy(update={"event_set": "0123456789abcdef:train"})
    foreign = Adapter({**stored.files, "more": b""}, origin)
    foreign.save(store.objects)
    with pytest.raises(LeakError, match=r"read events that no split holds together: "):
        run(released, start=foreign.digest)
    with pytest.raises(UsageError, match="weights=full needs precision=float32"):
        parse_settings(LlmgrConfig, {"weights": "full", "precision": "bfloat16", "device": "cuda"})


def test_the_paper_s_epochs_are_the_defaults():
    assert (LlmgrConfig().epochs, BehaviourConfig().epochs) == (1, 3)
    assert (LlmgrConfig().weight_decay, LlmgrConfig().schedule, LlmgrConfig().batch_size) == (
        0.01,
        "cosine",
        16,
    )
