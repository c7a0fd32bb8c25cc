"""docs/gates.md says of every gate what the product does."""

import re
from pathlib import Path

from featurestore.gates.catalog import GATES
from featurestore.gates.policy import GatePolicy


def test_every_gate_stands_in_the_table_with_its_threshold(project_root: Path) -> None:
    text = (project_root / "docs/gates.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \| [^|]+ \| [^|]+ \| ([^|]+) \|$", text, re.MULTILINE)
    told = {name: threshold for names, threshold in rows for name in re.findall(r"`(\w+)`", names)}
    assert set(told) == set(GATES)
    said = {
        key: float(value) for cell in told.values() for key, value in re.findall(r"`(\w+)` ([\d.]+)", cell)
    }
    policy = GatePolicy()
    assert said == {key: getattr(policy, key) for key in said}
    others = {"strata", "min_compared", "required_features", "probe"}
    assert set(GatePolicy.model_fields) == said.keys() | others
    assert all(f"`{key}`" in text or f"{key} = " in text for key in others)


def test_it_names_the_gates_that_nobody_may_accept(project_root: Path) -> None:
    text = (project_root / "docs/gates.md").read_text(encoding="utf-8")
    (listed,) = re.findall(r"rather than different \(([^)]+)\)", text)
    assert set(re.findall(r"`(\w+)`", listed)) == {
        name for name, gate in GATES.items() if not gate.acceptable
    }


def test_remedies_name_keys_that_there_are() -> None:
    keys = {key for gate in GATES.values() for key in re.findall(r"gates\.(\w+)", gate.remedy)}
    assert keys <= set(GatePolicy.model_fields)
    for name, gate in GATES.items():
        for accepted in re.findall(r"--accept (\w+)", gate.remedy):
            assert accepted == name
            assert gate.acceptable
