"""Aliases: the packaged ones are complete, a project's own come first, unknown ones list the known."""

from pathlib import Path

import pytest
from tiny_models import write_tiny_reasoner

from featurestore.errors import ConfigError, SetupError, UnknownNameError
from featurestore.spec import ModelSpec
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
        ({"adapter": "lora"}, 'adapter needs engine = "vllm"'),
        ({"quantization": "awq"}, "quantization is for vllm and openai"),
        ({"base_url": "http://here/v1"}, 'base_url belongs to engine = "openai"'),
        ({"engine": "openai"}, 'base_url belongs to engine = "openai", and that engine needs it'),
        ({"served_model": "x"}, "served_model and api_key_env belong to"),
        ({"engine": "openai", "base_url": "here:8000"}, "must begin with http:// or https://"),
        (
            {"engine": "openai", "base_url": "http://me:secret@here/v1"},
            "must hold no user, password or query",
        ),
    ],
)
def test_a_wrong_project_entry_is_named(keys: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_models({"echo": keys})
    assert "secret" not in str(caught.value)
    assert "Keys of an entry: adapter, api_key_env, base_url, context, disk_gib" in caught.value.hint


def test_the_spec_of_echo_needs_no_files() -> None:
    spec = model_spec(find_model("echo", {}))
    assert (spec.alias, spec.repo, spec.reasoning_close) == ("echo", "echo", None)


def _served(**keys: object) -> ModelSpec:
    base = {"engine": "openai", "base_url": "http://127.0.0.1:8000/v1"}
    return model_spec(find_model("qwen3-8b", {"qwen3-8b": {**base, **keys}}))


def test_a_served_model_is_what_it_is_called_not_where_it_runs() -> None:
    spec = _served()
    assert (spec.repo, spec.revision) == ("Qwen/Qwen3-8B", "served:Qwen/Qwen3-8B")
    assert _served(base_url="https://elsewhere/v1", api_key_env="OUR_KEY") == spec
    others = [
        _served(served_model="ours"),
        _served(revision="abc"),
        _served(quantization="fp8"),
        _served(template_options={"enable_thinking": True, "more": "so"}),
    ]
    assert len({str(other) for other in [spec, *others]}) == 5


def test_adapter_and_quantisation_are_part_of_a_model(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    folder = write_tiny_reasoner(tmp_path / "weights")
    adapter = tmp_path / "adapter"
    adapter.mkdir()

    def spec(**keys: object) -> ModelSpec:
        own = {"folder": str(folder), **keys}
        return model_spec(find_model("deepseek-r1-7b", {"deepseek-r1-7b": own}, root=tmp_path))

    with pytest.raises(SetupError, match=r"lacks adapter_config\.json and adapter_model"):
        spec(adapter="adapter")
    (adapter / "adapter_config.json").write_text('{"r": 8}')
    (adapter / "adapter_model.safetensors").write_bytes(b"one")
    first = spec(adapter="adapter")
    assert first.adapter is not None
    assert first.model_copy(update={"adapter": None}) == spec()
    (adapter / "adapter_model.safetensors").write_bytes(b"two")
    assert spec(adapter="adapter").adapter not in {first.adapter, None}
    assert spec(quantization="fp8").quantization == "fp8"
