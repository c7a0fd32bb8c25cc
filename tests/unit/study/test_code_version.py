"""What makes a run due: what its model computes, and nothing else."""

from pathlib import Path

import pytest

from scripts.study.code_version import code_version, run_version
from scripts.study.definitions import reached
from scripts.study.runs import Form, Run

FILES = {
    "toy/__init__.py": "",
    "toy/models/__init__.py": "",
    "toy/models/walk.py": '''
"""A model."""
from toy import graphs
from toy.losses import pair_loss

class Config:
    """Settings."""
    width: int = Field(default=3, description="Columns.")

class Model:
    """Trains."""
    def loss(self, x):
        """A scalar."""
        return pair_loss(graphs.spread(x))

SPACE = {"width": [1, 2]}
''',
    "toy/losses.py": """
SCALE = 2.0

def pair_loss(x):
    return SCALE * x

def other_loss(x):
    return x + 1
""",
    "toy/graphs.py": """
def spread(x):
    return _once(x)

def _once(x):
    return x * 3

def shrink(x):
    return x / 3
""",
    "toy/ranking.py": """
def rank(x):
    return sorted(x)
""",
}


@pytest.fixture
def version(tmp_path: Path):
    """The version of the toy model with one replacement in one file."""

    def compute(file: str = "", old: str = "", new: str = "", *, files=FILES) -> str:
        root = tmp_path / str(len(list(tmp_path.iterdir())))
        for name, text in files.items():
            changed = text.replace(old, new) if name == file else text
            assert name != file or changed != text
            path = root / name.replace("toy/", "recommender/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(changed.replace("toy", "recommender"), encoding="utf-8")
        return code_version("walk", root, (("recommender.ranking", "rank"),))

    return compute


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("toy/models/walk.py", '"""A scalar."""', '"""The loss of a batch."""'),
        ("toy/models/walk.py", "return pair_loss", "# Why not.\n        return pair_loss"),
        (
            "toy/models/walk.py",
            "pair_loss(graphs.spread(x))",
            "pair_loss(\n            graphs.spread(x)\n        )",
        ),
        ("toy/models/walk.py", 'description="Columns."', 'description="How wide it is."'),
        ("toy/models/walk.py", '{"width": [1, 2]}', '{"width": [1, 2, 3]}'),
        ("toy/losses.py", "return x + 1", "return x + 2"),
        ("toy/graphs.py", "x / 3", "x / 4"),
    ],
)
def test_what_computes_nothing_of_the_model_makes_no_run_due(version, file, old, new):
    assert version(file, old, new) == version()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("toy/models/walk.py", "default=3", "default=4"),
        ("toy/models/walk.py", "pair_loss(graphs", "1 + pair_loss(graphs"),
        ("toy/losses.py", "SCALE = 2.0", "SCALE = 2.5"),
        ("toy/losses.py", "SCALE * x", "SCALE + x"),
        ("toy/graphs.py", "x * 3", "x * 4"),
        ("toy/ranking.py", "sorted(x)", "sorted(x, reverse=True)"),
    ],
)
def test_a_changed_formula_makes_runs_due_wherever_it_stands(version, file, old, new):
    assert version(file, old, new) != version()


def test_a_definition_may_move_to_another_file(version):
    moved = FILES | {"toy/more/__init__.py": "", "toy/more/losses.py": FILES["toy/losses.py"]}
    del moved["toy/losses.py"]
    assert version("toy/models/walk.py", "toy.losses", "toy.more.losses", files=moved) == version()


def test_a_file_may_be_split_whatever_its_parts_say_of_themselves(version):
    split = FILES | {
        "toy/graphs.py": (
            '"""Spreads."""\nfrom toy.steps import _once\n\ndef spread(x):\n    return _once(x)\n'
        ),
        "toy/steps.py": '"""Steps."""\ndef _once(x):\n    return x * 3\n',
    }
    assert version("toy/graphs.py", "Spreads", "Spreads out", files=split) == version()


def test_a_statement_that_defines_nothing_counts(version):
    assert version("toy/losses.py", "SCALE = 2.0", "SCALE = 2.0\nregister()") != version()


def test_what_is_left_out_takes_along_what_only_it_reaches(project_root):
    start = [("recommender.text.layer_zero", "LayerZero")]
    gate = ("recommender.text.layer_zero", "_Gate")
    whole, rest = set(reached(project_root, start)), set(reached(project_root, start, without=[gate]))
    assert whole - rest == {gate}
    with pytest.raises(LookupError, match=r"there is no _Fusion in recommender\.text\.layer_zero"):
        reached(project_root, start, without=[("recommender.text.layer_zero", "_Fusion")])


def test_a_fusion_counts_for_runs_that_have_it():
    def version(model: str, form: Form = "plain", **settings: str) -> str:
        return run_version(Run(dataset="d", model=model, form=form, settings=settings))

    plain = version("lightgcn")
    assert version("lightgcn", fusion="concat") == plain, "without vectors nothing is fused"
    assert version("lightgcn", "text") == plain
    concat, gate = version("lightgcn", "text", fusion="concat"), version("lightgcn", "text", fusion="gate")
    assert len({plain, concat, gate, code_version("lightgcn")}) == 4
    assert version("lghrec", "text") == version("lghrec", "text", fusion="concat")
    assert version("lghrec", "text") != version("lghrec")


def test_all_fusions_count_for_a_model_that_cannot_be_imported(monkeypatch):
    monkeypatch.setattr("scripts.study.code_version.find_model", None)
    run = Run(dataset="d", model="simgcl", form="text", settings={"fusion": "init"})
    assert run_version(run) == code_version("simgcl")


def test_a_place_that_does_not_exist_is_named(project_root):
    with pytest.raises(LookupError, match=r"there is no rank_everything in recommender\.evaluate"):
        reached(project_root, [("recommender.evaluate", "rank_everything")])


def test_the_real_path_reaches_the_formulas_behind_it(project_root):
    found = reached(project_root, [("recommender.models.lightgcn", None)])
    assert {
        ("recommender.training.losses", "bpr_loss"),
        ("recommender.graph.propagation", "normalized_adjacency"),
        ("recommender.training.trainer", "train_step"),
        ("recommender.metrics", "_first_hit"),
    } <= set(found)
    assert ("recommender.metrics", "pair_metrics") not in found
    assert code_version("lightgcn") != code_version("popularity")
