"""RSL as a setting of LLMGR's second stage: sessions in words alone, and lists of the tuned decoder."""

import numpy as np
import pytest
from session_world import QUICK_BEHAVIOUR, fill_sessions

from featurestore.stores.memory import MemoryStore
from llm_jobs.tuning.hybrid_input import Title
from llm_jobs.tuning.llmgr_job import Tuned, tune_llmgr
from llm_jobs.tuning.llmgr_lists import write_teacher
from llm_jobs.tuning.llmgr_prompts import words_prompt
from llm_jobs.tuning.llmgr_sources import LlmgrSources, graph_vectors, read_llmgr
from recommender.data import Histories, load_training_data
from recommender.session.teacher_lists import load_teacher

IN_WORDS = QUICK_BEHAVIOUR.model_copy(update={"sessions": "titles", "graph_token": "readout"})
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


def test_a_decoder_learns_sessions_in_words_without_any_vector(tmp_path, entry):
    store = MemoryStore("words")
    release = fill_sessions(store)
    read: list[tuple[str, tuple[str, ...]]] = []

    def then(tuned: Tuned) -> tuple[()]:
        found = read_llmgr(release, SOURCES)
        titles = dict(zip(found.item_rows.tolist(), found.titles, strict=True))
        assert found.all_titles == tuple(titles.get(row, "") for row in range(len(found.nodes)))
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
        config=IN_WORDS,
        seed=0,
        work_folder=tmp_path,
        then=then,
    )
    assert report.num_examples == 60
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
