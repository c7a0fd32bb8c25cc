"""The order of jobs that read each other's texts, and who writes the texts that are read."""

from pathlib import Path

import pytest
from generation_world import PROMPTS, catalogue, item_cot, put_items, run

from featurestore.errors import UnknownNameError, UsageError
from featurestore.features import FeatureRegistry
from featurestore.spec import ImportedTextSpec
from featurestore.stores.memory import MemoryStore
from llm_jobs.entries import ModelEntry
from llm_jobs.job_graph import job_order, upstream_features, upstream_jobs
from llm_jobs.models import find_model
from llm_jobs.prompt import History, Prompt, load_prompt

USER_COT = load_prompt(PROMPTS / "user_cot.toml")
OTHER = find_model("smollm2-135m", {})


def _find_prompt(*prompts: Prompt):
    known = {prompt.name: prompt for prompt in prompts}

    def find(name: str) -> Prompt:
        if name not in known:
            raise UnknownNameError("prompt", name, known)
        return known[name]

    return find


def _find_model(alias: str) -> ModelEntry:
    return find_model(alias, {})


def _reader(name: str, item_feature: str | None) -> Prompt:
    return USER_COT.model_copy(update={"name": name, "history": History(size=3, item_feature=item_feature)})


def test_what_a_prompt_reads_and_does_not_write() -> None:
    assert upstream_features(USER_COT) == (("item_cot", "fused"),)
    assert upstream_features(item_cot()) == ()
    assert upstream_features(_reader("plain", None)) == ()


def test_items_come_before_the_users_that_read_them() -> None:
    order = job_order(USER_COT, _find_prompt(item_cot(), USER_COT))
    assert [prompt.name for prompt in order] == ["item_cot", "user_cot"]


def test_a_feature_that_no_prompt_writes_is_no_job() -> None:
    assert [prompt.name for prompt in job_order(USER_COT, _find_prompt(USER_COT))] == ["user_cot"]


def test_chains_of_prompts_are_run_from_their_source() -> None:
    first, second, third = _reader("a", None), _reader("b", "a.fused"), _reader("c", "b.fused")
    order = job_order(third, _find_prompt(first, second, third))
    assert [prompt.name for prompt in order] == ["a", "b", "c"]


def test_a_circle_is_refused_and_drawn() -> None:
    first, second = _reader("a", "b.fused"), _reader("b", "a.fused")
    with pytest.raises(UsageError, match=r"in a circle: a → b → a"):
        job_order(first, _find_prompt(first, second))
    alone = _reader("a", "a.fused")
    with pytest.raises(UsageError, match=r"in a circle: a → a"):
        job_order(alone, _find_prompt(alone))


def test_a_head_keeps_its_model_and_without_one_the_reader_s_writes(tmp_path: Path) -> None:
    store = MemoryStore()
    put_items(store, catalogue(2))
    find_prompt = _find_prompt(item_cot(), USER_COT)
    (job,) = upstream_jobs(store, USER_COT, OTHER, find_prompt, _find_model)
    assert (job.feature, job.entry.alias) == ("item_cot.fused", "smollm2-135m")
    run(store, tmp_path)
    (job,) = upstream_jobs(store, USER_COT, OTHER, find_prompt, _find_model)
    assert job.entry.alias == "echo"


def test_imported_texts_are_left_as_they_are() -> None:
    store = MemoryStore()
    spec = ImportedTextSpec(
        feature="item_cot", view="fused", entity="item", producer="test", content_digest="0" * 32
    )
    FeatureRegistry(store).register(spec)
    assert upstream_jobs(store, USER_COT, OTHER, _find_prompt(item_cot(), USER_COT), _find_model) == ()


def test_texts_of_a_forgotten_model_are_left_as_they_are(tmp_path: Path) -> None:
    store = MemoryStore()
    put_items(store, catalogue(2))
    run(store, tmp_path)

    def find_no_model(alias: str) -> ModelEntry:
        raise UnknownNameError("model", alias, ["smollm2-135m"])

    assert upstream_jobs(store, USER_COT, OTHER, _find_prompt(item_cot(), USER_COT), find_no_model) == ()
