"""RSL as a setting of LLMGR's second stage: sessions in words alone, and lists of the tuned decoder."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from session_world import QUICK, QUICK_BEHAVIOUR, fill_sessions

from featurestore.errors import UsageError
from featurestore.stores.memory import MemoryStore
from llm_jobs.tuning.base_model import load_base
from llm_jobs.tuning.hybrid_input import Title, load_hybrid_tokens
from llm_jobs.tuning.hybrid_weights import begin
from llm_jobs.tuning.llmgr_config import BehaviourConfig
from llm_jobs.tuning.llmgr_examples import session_examples
from llm_jobs.tuning.llmgr_job import Tuned, tune_llmgr
from llm_jobs.tuning.llmgr_lists import SessionScores, write_teacher
from llm_jobs.tuning.llmgr_objective import Reading, SessionStage, measure_states
from llm_jobs.tuning.llmgr_prompts import words_prompt
from llm_jobs.tuning.llmgr_sources import LlmgrSources, graph_vectors, read_llmgr, reading_of
from recommender.data import Histories, load_training_data
from recommender.session.teacher_lists import load_teacher

_SET = QUICK_BEHAVIOUR.model_dump(exclude={"graph_token"}) | {"sessions": "titles"}
IN_WORDS = BehaviourConfig.model_validate(_SET)
SHUFFLED = IN_WORDS.model_copy(update={"texts": "shuffled"})
SOURCES = LlmgrSources("item_notes", "lightgcn", "rsl")


@pytest.fixture
def entry(decoder):
    return decoder.model_copy(update={"max_tokens": 96})


def test_the_newest_title_comes_first_and_the_oldest_is_cut():
    assert words_prompt(["soap", "a red lamp"]) == [
        "Items, newest first: ",
        Title("soap"),
        "; ",
        Title("a red lamp"),
        ". Recommend the next item.",
    ]


def test_the_first_scores_say_nothing_of_the_vectors(entry):
    titles = ("rose", "drum 1", "kettle", "a lamp", "oil", "soap", "toy", "hat")
    histories = Histories(np.array([0, 5, 8]), np.array([0, 3, 0, 5, 2, 6, 1, 2]))
    rng = np.random.default_rng(3)

    def first_scores(nodes: np.ndarray, config: BehaviourConfig) -> np.ndarray:
        base, vectors = load_base(entry, config), torch.from_numpy(nodes.astype(np.float32))
        start = begin(base, vectors, config, seed=2)
        tokens = load_hybrid_tokens(base.folder, base.spec)
        reading = Reading(tokens, vectors, torch.zeros(0, vectors.shape[1]), titles)
        stage = SessionStage(session_examples(histories, 3), reading, start.ends)
        measure_states(start.model, stage, config, vectors)
        with torch.no_grad():
            states = stage.states(start.model, np.arange(stage.num_examples))
            output = start.ends.output
            assert float(output.std()) == pytest.approx(0.02, rel=0.1)
            return (start.ends.standard(states) @ output.T).numpy()

    some, others = rng.normal(size=(8, 5)), 9 * rng.normal(size=(8, 7))
    np.testing.assert_array_equal(first_scores(some, IN_WORDS), first_scores(others, IN_WORDS))
    # The same prompts with the W_o that prompts of nodes have.
    mapped = [first_scores(nodes, QUICK_BEHAVIOUR) for nodes in (some, others)]
    assert np.abs(mapped[0] - mapped[1]).max() > 0.01


def test_shuffled_titles_are_those_of_other_items_in_training_and_in_lists(tmp_path, entry):
    store = MemoryStore("shuffled")
    release = fill_sessions(store)
    found = read_llmgr(release, SOURCES)
    base = load_base(entry, IN_WORDS)
    tokens = load_hybrid_tokens(base.folder, base.spec)
    own, moved, again, other = (
        reading_of(found, None, tokens, config, seed=seed).titles
        for config, seed in ((IN_WORDS, 3), (SHUFFLED, 3), (SHUFFLED, 3), (SHUFFLED, 4))
    )
    rows = found.item_rows
    assert own is not None
    assert moved is not None
    assert [own[row] for row in rows] == list(found.titles)
    assert sorted(moved) == sorted(own)
    owner = {title: row for row, title in enumerate(own) if title}
    assert len(owner) == len(rows)  # all titles are different
    assert all(owner[moved[row]] != row for row in rows)
    assert again == moved
    assert other != moved

    asked: list[list[str]] = []

    def then(tuned: Tuned) -> tuple[()]:
        examples = session_examples(tuned.found.training.histories, 3, max_examples=2, seed=1)
        prompts = [words_prompt([moved[item] for item in examples.clicks(n)[::-1]]) for n in range(2)]
        inputs = [tuned.tokens.input(prompt) for prompt in prompts]
        with torch.no_grad():
            states = tuned.start.model.eval()(inputs, torch.zeros(0, tuned.start.model.words.shape[1]))
            scores = (tuned.start.ends.standard(states) @ tuned.start.ends.output.T).numpy()
        _, best = SessionScores(tuned).top(examples, 2)
        np.testing.assert_allclose(best, -np.sort(-scores, axis=1)[:, :2], atol=1e-4)
        asked.append([tuned.adapter.origin.settings["texts"]])
        return ()

    tune_llmgr(
        store,
        release,
        SOURCES,
        stage="behaviour",
        entry=entry,
        config=SHUFFLED.model_copy(update={"max_steps": 1}),
        seed=3,
        work_folder=tmp_path,
        then=then,
    )
    assert asked == [["shuffled"]]


@pytest.mark.parametrize("graph", ["readout", "mean"])
def test_words_have_no_graph_and_no_probe(graph):
    assert IN_WORDS.graph_token == "none"
    assert BehaviourConfig.model_validate(IN_WORDS.model_dump(mode="json")) == IN_WORDS
    with pytest.raises(ValidationError, match=f"graph_token={graph} would have no effect"):
        BehaviourConfig.model_validate(_SET | {"graph_token": graph})
    with pytest.raises(ValidationError, match="sessions=titles needs first_output=random: a probe fits W_o"):
        BehaviourConfig.model_validate(_SET | {"first_output": "probe"})


@pytest.mark.parametrize(
    ("stage", "config", "message"),
    [
        (
            "alignment",
            IN_WORDS,
            "sessions=titles would have no effect: the stage alignment reads no sessions",
        ),
        (
            "behaviour",
            QUICK.model_copy(update={"texts": "shuffled"}),
            "texts=shuffled would have no effect: the stage behaviour reads no titles",
        ),
    ],
)
def test_settings_of_what_a_stage_does_not_read_are_refused(tmp_path, entry, stage, config, message):
    store = MemoryStore("refused")
    with pytest.raises(UsageError, match=message):
        tune_llmgr(
            store,
            fill_sessions(store),
            SOURCES,
            stage=stage,
            entry=entry,
            config=config,
            seed=0,
            work_folder=tmp_path,
            then=lambda _: (),
        )


def test_a_decoder_learns_sessions_in_words_and_gives_lists(tmp_path, entry):
    store = MemoryStore("words")
    release = fill_sessions(store)
    read: list[tuple[str, tuple[str, ...]]] = []

    def then(tuned: Tuned) -> tuple[()]:
        found = read_llmgr(release, SOURCES)
        titles = dict(zip(found.item_rows.tolist(), found.titles, strict=True))
        assert found.all_titles(IN_WORDS, seed=0) == tuple(
            titles.get(row, "") for row in range(len(found.nodes))
        )
        histories = found.training.histories
        assert len(graph_vectors(found, Histories(histories.indptr, histories.items), IN_WORDS)) == 0
        write_teacher(tuned, tmp_path / "lists.safetensors", top_k=4, max_sessions=5)
        read.append((tuned.adapter.origin.job, tuple(sorted(tuned.adapter.origin.settings))))
        return ()

    report = tune_llmgr(
        store,
        release,
        SOURCES,
        stage="behaviour",
        entry=entry,
        config=IN_WORDS.model_copy(update={"epochs": 8, "head_learning_rate": 0.1}),
        seed=0,
        work_folder=tmp_path,
        then=then,
    )
    assert report.num_examples == 60
    losses = report.tuning.losses
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])  # epochs of the same sessions
    lists = load_teacher(tmp_path / "lists.safetensors", load_training_data(release))
    asked = np.flatnonzero((lists.items >= 0).any(axis=1))
    assert len(asked) == 5
    assert all(len(set(row.tolist())) == 4 for row in lists.items[asked])
    ((job, settings),) = read
    assert job == "llmgr.behaviour"
    assert "sessions" in settings


def test_words_and_nodes_are_different_jobs(tmp_path, entry):
    store = MemoryStore("both")
    release = fill_sessions(store)
    adapters = {
        config.sessions: tune_llmgr(
            store,
            release,
            SOURCES,
            stage="behaviour",
            entry=entry,
            config=config,
            seed=0,
            work_folder=tmp_path,
            then=lambda _: (),
        ).adapter
        for config in (IN_WORDS, QUICK_BEHAVIOUR)
    }
    assert len(set(adapters.values())) == 2
