"""``featurestore graph`` on a project on disk, from imported vectors."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from cli.main import run


@pytest.fixture
def project(tmp_path: Path, rng: np.random.Generator, capsys: pytest.CaptureFixture[str]) -> str:
    """Twenty items with vectors, thirty users with four events each."""
    items = [f"i{number:02}" for number in range(20)]
    pl.DataFrame({"item_id": items, "title": [f"Item {name}" for name in items]}).write_csv(
        tmp_path / "items.csv"
    )
    events = [
        {"user_id": f"u{user:02}", "item_id": items[item], "timestamp": when}
        for user in range(30)
        for when, item in enumerate(rng.choice(20, 4, replace=False))
    ]
    pl.DataFrame(events).write_csv(tmp_path / "events.csv")
    vectors = rng.normal(size=(20, 8)).astype(np.float32)
    pl.DataFrame({"item_id": items, "v": vectors.tolist()}).write_parquet(tmp_path / "vectors.parquet")
    folder = str(tmp_path)
    assert run(["init", folder]) == 0
    files = ["--items", str(tmp_path / "items.csv"), "--interactions", str(tmp_path / "events.csv")]
    assert run(["ingest", "-C", folder, *files]) == 0
    table = ["--table", str(tmp_path / "vectors.parquet"), "--key", "item_id", "--vector", "v"]
    assert run(["import", "-C", folder, "-f", "made", *table, "--producer", "a test", "--encoder", "x"]) == 0
    capsys.readouterr()
    return folder


def test_users_are_pooled_by_default_and_a_second_run_changes_nothing(
    project: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["graph", "-C", project, "-f", "made", "-k", "3", "--json"]
    assert run(command) == 0
    first = json.loads(capsys.readouterr().out)
    assert (first["view"], first["version"], first["changed"]) == ("text-users", 1, True)
    assert first["quality"]["recall"] == 1.0
    assert first["quality"]["degrees"]["num_nodes"] == 30
    assert first["quality"]["degrees"]["num_edges"] == 90
    assert run(command) == 0
    second = json.loads(capsys.readouterr().out)
    assert (second["version"], second["changed"]) == (1, False)


def test_items_can_be_the_nodes_and_both_builders_agree(
    project: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shared = ["graph", "-C", project, "-f", "made", "--users", "own", "-k", "4"]
    assert run([*shared, "--builder", "exact"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("made.text: k = 4, version 1\nGraph\n")
    assert "recall against exact, 20 nodes" in printed
    assert run([*shared, "--builder", "faiss_knn"]) == 0
    assert capsys.readouterr().out.startswith("made.text: k = 4, unchanged\n")


def test_options_of_the_project_and_of_the_command_shape_the_graph(
    project: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = Path(project) / "featurestore.toml"
    shape = 'shape = { weights = "binary", self_loops = true }'
    config.write_text(config.read_text().replace("[graph]\n", f"[graph]\n{shape}\n"))
    shared = ["graph", "-C", project, "-f", "made", "--users", "own", "-k", "3", "--json"]
    assert run(shared) == 0
    binary = json.loads(capsys.readouterr().out)
    assert (binary["search"], binary["work"]["num_changed"]) == ({"method": "exact"}, 20)
    assert run([*shared, "--weights", "cosine", "--symmetry", "mutual", "--no-self-loops"]) == 0
    mutual = json.loads(capsys.readouterr().out)
    assert mutual["table"] != binary["table"]
    assert mutual["quality"]["degrees"]["mutual_share"] == 1.0
    assert mutual["work"]["gemm_flops"] == 0


def test_a_search_may_be_chosen_by_its_cost(project: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["graph", "-C", project, "-f", "made", "--users", "own", "--search", "auto"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Searches, tried on a sample\n")
    assert "method=hnsw num_links=32 build_effort=80 search_effort=64" in printed
    assert printed.count("chosen") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-f", "mad"], "unknown vector feature 'mad'. Did you mean 'made'? Known: made."),
        (["-f", "made", "--view", "fused"], "unknown view of vector feature 'made' 'fused'. Known: text."),
        (
            ["-f", "made", "--users", "mean"],
            "unknown value of --users 'mean'. Known: mean_of_train_items, own.",
        ),
        (["-f", "made", "--builder", "hnsw"], "unknown graph builder 'hnsw'."),
        (["-f", "made", "--weights", "cosin"], "unknown value of --weights 'cosin'. Did you mean 'cosine'?"),
        (["-f", "made", "--symmetry", "both"], "unknown value of --symmetry 'both'."),
        (["-f", "made", "--search", "ivf"], "unknown value of --search 'ivf'. Known: auto, exact."),
        (
            ["-f", "made", "--search", "auto", "--builder", "exact"],
            "chooses the builder and the device itself, so that --builder exact would be ignored.",
        ),
        (
            ["-f", "made", "--search", "auto", "--device", "gpu"],
            "--device gpu would be ignored.\n  Leave out --device gpu, or --search auto.",
        ),
    ],
)
def test_wrong_options_are_refused(
    project: str, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert run(["graph", "-C", project, *words]) == 2
    assert message in capsys.readouterr().err
