"""Aliases: the packaged ones are complete, a project's own come first, unknown ones list the known."""

from pathlib import Path

import pytest

from featurestore.errors import ConfigError, UnknownNameError
from llm_jobs.models import find_encoder, find_model, load_encoders, load_models, model_spec

_WANTED = {
    *(f"deepseek-r1-{size}" for size in ("1.5b", "7b", "14b", "32b")),
    *(f"qwen3-{size}" for size in ("0.6b", "1.7b", "4b", "8b", "14b", "32b")),
    "qwen2.5-32b-instruct",
    "llama-3.1-8b-instruct",
    "smollm2-135m",
    "echo",
}


def test_the_promised_aliases_are_there() -> None:
    models = load_models({})
    assert set(models) >= _WANTED
    assert all(models[a].reasoning for a in models if a.startswith(("deepseek-r1", "qwen3")))
    assert models["deepseek-r1-14b"].repo == "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B"
    assert {"hashing", "minilm", "easyrec-roberta-large"} <= set(load_encoders({}))


def test_memory_covers_the_weights() -> None:
    for entry in load_models({}).values():
        assert entry.memory_gib >= entry.disk_gib


def test_reasoning_tokens_come_on_top_of_the_answer() -> None:
    sampling = find_model("deepseek-r1-14b", {}).stage_sampling(300, seed=7)
    assert (sampling.max_tokens, sampling.seed, sampling.temperature) == (300 + 2048, 7, 0.6)
    assert find_model("smollm2-135m", {}).stage_sampling(300).max_tokens == 300


def test_a_project_changes_single_keys_and_adds_aliases() -> None:
    project = {
        "deepseek-r1-14b": {"folder": "weights/r1"},
        "ours": {"repo": "us/ours", "context": 2048, "memory_gib": 3.0, "disk_gib": 1.0},
    }
    entry = find_model("deepseek-r1-14b", project, root=Path("/project"))
    assert (entry.folder, entry.reasoning is not None) == ("/project/weights/r1", True)
    assert find_model("ours", project).repo == "us/ours"
    given = find_model("deepseek-r1-14b", project, folder=Path("/elsewhere"), root=Path("/project"))
    assert given.folder == "/elsewhere"


def test_an_unknown_alias_lists_the_known_ones() -> None:
    with pytest.raises(
        UnknownNameError, match=r"unknown model 'deepseek-r1-41b'\. Did you mean 'deepseek-r1-"
    ):
        find_model("deepseek-r1-41b", {})
    with pytest.raises(
        UnknownNameError, match=r"unknown encoder 'mimilm'\. Did you mean 'minilm'\? Known: bert"
    ):
        find_encoder("mimilm", {})


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"contxt": 5}, r"\[models.echo\] in featurestore.toml cannot be used: contxt: Extra inputs"),
        ({"context": "long"}, r"context: Input should be a valid integer"),
        (
            {"template_options": {"enable_thinking": False}, "reasoning": {"open": "<t>", "close": "</t>"}},
            "must not",
        ),
        ({"reasoning_tokens": 5}, "reasoning_tokens needs reasoning tags"),
    ],
)
def test_a_wrong_project_entry_is_named(keys: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_models({"echo": keys})
    assert "Keys of an entry: adapter, api_key_env, base_url, context, disk_gib" in caught.value.hint


def test_the_spec_of_echo_needs_no_files() -> None:
    spec = model_spec(find_model("echo", {}))
    assert (spec.alias, spec.repo, spec.reasoning_close) == ("echo", "echo", None)
