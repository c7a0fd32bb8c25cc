"""Environments of peers that cannot live beside this project's own packages.

Each is made once, under ``.cache/peers`` of the checkout, from pinned packages of the registry. RecBole 1.2.1
needs NumPy 1 and SciPy 1.11; it is installed without its own requirements, which pin an old Ray that only its
tuning imports.
"""

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / ".cache" / "peers"
RECBOLE = (
    "recbole==1.2.1",
    "torch==2.13.0",
    "numpy==1.26.4",
    "scipy==1.11.4",
    "pandas==2.2.3",
    "pyarrow==23.0.0",
    "scikit-learn==1.5.2",
    "colorama==0.4.4",
    "colorlog==4.7.2",
    "psutil==7.2.2",
    "PyYAML==6.0.4",
    "setuptools==80.9.0",
    "tabulate==0.10.0",
    "tensorboard==2.21.0",
    "texttable==1.7.2",
    "thop==0.1.1.post2209072238",
    "tqdm==4.70.1",
)


def recbole_python() -> Path:
    """The interpreter of RecBole's environment, which is made first if it is not there: minutes, 1.5 GB."""
    return _environment("recbole", RECBOLE)


def _environment(name: str, requirements: tuple[str, ...]) -> Path:
    folder = FOLDER / name
    python = folder / "bin" / "python"
    pinned = "\n".join(requirements)
    ready = folder / "ready.txt"
    if ready.exists() and ready.read_text(encoding="utf-8") == pinned:
        return python
    print(f"==> making the environment of {name} in {folder}, once", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    peer, *others = requirements
    subprocess.run([*install, *others], check=True)
    subprocess.run([*install, "--no-deps", peer], check=True)
    ready.write_text(pinned, encoding="utf-8")
    return python
