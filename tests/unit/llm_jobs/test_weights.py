"""From alias to folder: own folder, package, hub; what is absent is named with what to do."""

import json
import shutil
import time
from pathlib import Path

import pytest
from tiny_models import write_tiny_reasoner

from featurestore.errors import SetupError
from llm_jobs.machine import Gpu, Machine, hub_reachable
from llm_jobs.model_folder import chat_template, folder_digest
from llm_jobs.models import find_model, model_spec
from llm_jobs.weights import alternatives, locate_model, memory_needed_gib, readiness, require_memory

_LAPTOP = Machine(memory_gib=16.0, free_memory_gib=12.0, free_disk_gib=100.0)


@pytest.fixture(scope="module")
def complete_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers")
    return write_tiny_reasoner(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def model_folder(complete_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(complete_folder, tmp_path / "model"))


def test_an_own_folder_is_used_and_named_by_its_content(model_folder: Path) -> None:
    entry = find_model("deepseek-r1-14b", {}, folder=model_folder)
    assert locate_model(entry) == model_folder
    spec = model_spec(entry)
    assert spec.repo == f"folder:{folder_digest(model_folder)}"
    assert (spec.reasoning_open, spec.reasoning_close) == ("<think>", "</think>")


def test_other_weights_are_another_model(model_folder: Path) -> None:
    before = folder_digest(model_folder)
    weights = model_folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    assert folder_digest(model_folder) != before


def test_another_chat_template_is_another_spec(model_folder: Path) -> None:
    entry = find_model("deepseek-r1-14b", {}, folder=model_folder)
    before = model_spec(entry).chat_template_digest
    assert "<think>" in chat_template(model_folder)
    (model_folder / "chat_template.jinja").write_text("{{ messages }}")
    assert model_spec(entry).chat_template_digest != before


@pytest.mark.parametrize(
    ("absent", "message"),
    [
        ("config.json", r"lacks config\.json\."),
        ("tokenizer.json", r"lacks a tokenizer \(tokenizer.json or"),
        ("chat_template.jinja", r"lacks a chat template"),
        ("model.safetensors", r"lacks weights \(\*\.safetensors\)"),
    ],
)
def test_an_incomplete_folder_says_what_it_lacks(model_folder: Path, absent: str, message: str) -> None:
    (model_folder / absent).unlink()
    entry = find_model("deepseek-r1-14b", {}, folder=model_folder)
    with pytest.raises(SetupError, match=message) as caught:
        locate_model(entry)
    assert "the folder of model 'deepseek-r1-14b' is not complete" in caught.value.message
    assert caught.value.hint


def test_a_missing_shard_counts_as_missing_weights(model_folder: Path) -> None:
    index = {"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}
    (model_folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(SetupError, match="lacks weights"):
        locate_model(find_model("deepseek-r1-14b", {}, folder=model_folder))


def test_a_folder_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="the folder of model 'echo-like' does not exist"):
        locate_model(
            find_model(
                "echo-like",
                {"echo-like": {"repo": "x/y", "context": 99, "memory_gib": 1.0, "disk_gib": 1.0}},
                folder=tmp_path / "nothing",
            )
        )


def test_without_weights_or_hub_the_need_and_the_ways_out_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    started = time.monotonic()
    with pytest.raises(SetupError) as caught:
        model_spec(find_model("deepseek-r1-14b", {}))
    assert time.monotonic() - started < 20
    text = str(caught.value)
    assert "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B" in text
    assert "It needs 34.0 GiB of memory and 27.6 GiB of disk; this machine has" in text
    assert "--model-folder PATH" in text
    assert '[models.deepseek-r1-14b] folder = "PATH"' in text
    assert "Ready on this machine: " in text
    assert "echo" in text.split("Ready on this machine: ")[1]


def test_an_unreachable_hub_is_given_up_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    started = time.monotonic()
    assert not hub_reachable(2.0)
    assert time.monotonic() - started < 3.0


def test_a_model_too_large_for_the_machine_is_refused_before_anything_is_fetched() -> None:
    entry = find_model("deepseek-r1-14b", {})
    with pytest.raises(
        SetupError, match=r"needs 34.0 GiB of memory and 27.6 GiB of disk; this machine has 16.0"
    ) as e:
        require_memory(entry, None, _LAPTOP)
    assert "smaller model" in e.value.hint
    small_gpu = Machine(64.0, 60.0, 500.0, gpus=(Gpu("NVIDIA T4", 15.0, 14.0),))
    with pytest.raises(SetupError, match=r"34.0 GiB of GPU memory.*a NVIDIA T4 with 15 GiB \(14 free\)"):
        require_memory(entry, None, small_gpu)
    require_memory(entry, None, Machine(64.0, 60.0, 500.0))


def test_memory_of_an_own_folder_is_reckoned_from_its_weights(model_folder: Path) -> None:
    entry = find_model("deepseek-r1-14b", {}, folder=model_folder)
    assert memory_needed_gib(entry, model_folder, 2.0) == pytest.approx(3.0, abs=0.1)
    require_memory(entry, model_folder, _LAPTOP)


def test_readiness_and_alternatives_depend_on_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert readiness(find_model("echo", {}), _LAPTOP) == "built in"
    assert readiness(find_model("deepseek-r1-32b", {}), _LAPTOP) == "too large"
    assert readiness(find_model("qwen3-0.6b", {}), _LAPTOP) in {"on the hub", "downloaded"}
    assert "echo" in alternatives(find_model("deepseek-r1-32b", {}), _LAPTOP)
