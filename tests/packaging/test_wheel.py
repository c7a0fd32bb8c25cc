"""The wheel holds every file of the five packages, nothing else, and nobody's junk."""

import subprocess
import sys
import tomllib
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

pytestmark = pytest.mark.packaging

PACKAGES = ("featurestore", "llm_jobs", "prompts", "recommender", "cli")


@pytest.fixture
def wheel(project_root: Path, tmp_path: Path) -> zipfile.ZipFile:
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path)]
    subprocess.run(command, cwd=project_root, check=True, capture_output=True, timeout=300)
    (built,) = tmp_path.glob("*.whl")
    assert built.name.startswith("cot_featurestore-")
    return zipfile.ZipFile(built)


def test_it_holds_what_git_holds(wheel: zipfile.ZipFile, project_root: Path) -> None:
    """Files that git tracks, or would track if they were added."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--deduplicate", *PACKAGES]
    listed = subprocess.run(command, cwd=project_root, check=True, capture_output=True, text=True, timeout=60)
    expected = {name for name in listed.stdout.splitlines() if (project_root / name).exists()}
    found = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert len(expected) > 80
    assert {name.partition("/")[0] for name in expected} == set(PACKAGES)
    assert sorted(found - expected) == []
    assert sorted(expected - found) == []
    assert {"recommender/models/lightgcn.py", "prompts/item_cot.toml", "llm_jobs/models.toml"} <= found


def test_its_metadata_says_what_pyproject_says(wheel: zipfile.ZipFile, project_root: Path) -> None:
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    metadata = HeaderParser().parsestr(wheel.read(name).decode())
    project = tomllib.loads((project_root / "pyproject.toml").read_text())["project"]
    assert metadata["Name"] == "cot-featurestore"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert set(metadata.get_all("Provides-Extra", [])) == set(project["optional-dependencies"])
    core = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert len(core) == len(project["dependencies"])
    assert not [line for line in core if line.startswith(("torch", "vllm", "transformers", "sentence"))]
    (entry_points,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    assert "featurestore = cli.main:main" in wheel.read(entry_points).decode()
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())
