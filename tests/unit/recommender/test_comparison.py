"""Comparisons of saved models: baselines, tasks, pages and the two commands."""

import json

import numpy as np
import polars as pl
import pytest
from toy_store import QUICK, fill

from cli.main import run
from featurestore.errors import UsageError
from featurestore.reader import FeatureStore
from featurestore.stores import connect
from recommender.data import Histories, load_histories
from recommender.evaluation.compare import Comparison, ComparisonRequest, compare_models
from recommender.evaluation.learning_curves import learning_curves
from recommender.evaluation.plots import Curve
from recommender.evaluation.report_page import render_comparison
from recommender.evaluation.sessions import next_item_examples
from recommender.evaluation.tasks import load_task, scorer
from recommender.experiment import TrainRequest, train_models


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    (folder / "featurestore.toml").write_text('[store]\nuri = "store"\n')
    store = connect(str(folder / "store"))
    fill(store, folder)
    release = FeatureStore(store).release()
    train_models(release, TrainRequest("lightgcn", QUICK, seeds=(0, 1)), folder / "plain")
    train_models(release, TrainRequest("lightgcn", QUICK | {"epochs": "1"}), folder / "short")
    train_models(release, TrainRequest("popularity"), folder / "popularity")
    return folder


@pytest.fixture(scope="module")
def store(project) -> FeatureStore:
    return FeatureStore(connect(str(project / "store")))


@pytest.fixture(scope="module")
def report(project, store) -> Comparison:
    folders = [project / "plain", project / "short", project / "popularity"]
    return compare_models(store, folders, ComparisonRequest(num_negatives=6))


def test_results_are_named_ordered_and_tested(report):
    values = [result.means["ndcg@10"] for result in report.results]
    assert values == sorted(values, reverse=True)
    names = {result.name for result in report.results}
    assert names == {"lightgcn (epochs=30)", "lightgcn (epochs=1)", "popularity", "popularity (trained)"}
    lines = {result.name: result for result in report.results}
    assert lines["popularity"].test is None
    assert lines["lightgcn (epochs=30)"].mark == "**"
    assert lines["lightgcn (epochs=30)"].seeds == (0, 1)
    same = lines["popularity (trained)"]
    assert (same.gain, same.mark) == ((0.0, 0.0), "")
    assert same.means == lines["popularity"].means


def test_sampled_ranks_stand_beside_full_ones_and_are_higher(report):
    assert report.negatives is not None
    for result in report.results:
        assert result.sampled is not None
        assert result.sampled["ndcg@5"] >= result.means["ndcg@5"]


def test_strata_add_up_to_the_whole(report):
    best = report.results[0]
    for kind in ("user degree", "user quartile"):
        parts = [s for s in best.strata if s.kind == kind]
        total = sum(s.num_users * s.means["ndcg@10"] for s in parts) / report.num_users
        assert total == pytest.approx(best.means["ndcg@10"])
    for kind in ("item degree", "item quartile"):
        parts = [s for s in best.strata if s.kind == kind]
        assert sum(s.num_pairs for s in parts) == report.num_pairs
        total = sum(s.num_pairs * s.means["ndcg@10"] for s in parts) / report.num_pairs
        assert total == pytest.approx(best.means["ndcg@10"])  # one pair a user


def test_values_of_users_are_kept(report):
    for result in report.results:
        values = report.per_user[result.name]["ndcg@10"]
        assert len(values) == len(report.user_rows) == 30
        assert values.mean() == pytest.approx(result.means["ndcg@10"])


def test_a_baseline_may_be_a_folder_that_is_not_compared(project, store):
    request = ComparisonRequest(baseline=str(project / "short"), metric="recall@5")
    report = compare_models(store, [project / "plain"], request)
    assert report.baseline == "lightgcn (epochs=1)"
    assert {r.name for r in report.results if r.test is None} == {"lightgcn (epochs=1)"}
    assert len(report.results) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metric": "ndgc@10"}, r"unknown metric 'ndgc@10'\. Did you mean 'ndcg@10'\?"),
        (
            {"baseline": "best"},
            r"the baseline 'best' is neither popularity nor a folder of a trained model\.",
        ),
    ],
)
def test_wrong_requests_are_refused_before_any_work(project, store, changes, message):
    with pytest.raises(UsageError, match=message):
        compare_models(store, [project / "plain"], ComparisonRequest(**changes))


def test_no_folder_is_refused(store):
    with pytest.raises(UsageError, match="name at least one folder of a trained model"):
        compare_models(store, [])


class NextOfHistory:
    """Scores the item after the newest one of a history highest."""

    def __init__(self, histories: Histories | None = None) -> None:
        self._histories = histories

    def with_histories(self, histories: Histories) -> "NextOfHistory":
        return NextOfHistory(histories)

    def score(self, users):
        scores = np.zeros((len(users), 16), np.float32)
        if self._histories is not None:
            newest = self._histories.newest(users, 1)[:, 0]
            scores[np.arange(len(users)), (newest + 1) % 16] = 1.0
        return scores


def test_a_model_of_sequences_is_asked_about_train_and_validation(store):
    release = store.release()
    task = load_task(release)
    asked = scorer(NextOfHistory(), task)(np.array([4]))
    newest = load_histories(release, "train", "valid").of(4)[-1]
    assert asked[0].argmax() == (newest + 1) % 16


def test_a_model_without_histories_scores_the_owner_of_a_prefix(store):
    release = store.release()
    task = load_task(release)
    prefixes, held_out = next_item_examples(load_histories(release, "train"), 16)
    rows = np.repeat(np.arange(31), np.maximum(load_histories(release, "train").lengths - 1, 0))
    sessions = type(task)(
        name="sessions",
        held_out=held_out,
        histories=prefixes,
        profiles=task.profiles,
        owners=rows,
        item_degrees=task.item_degrees,
        num_train_users=task.num_train_users,
    )

    class Owner:
        def score(self, users):
            return np.repeat(users[:, None], 16, axis=1).astype(np.float32)

    asked = scorer(Owner(), sessions)(np.arange(len(rows)))
    assert asked[:, 0].tolist() == rows.tolist()
    assert sessions.units(np.array([0, len(rows) - 1])).tolist() == [rows[0], rows[-1]]
    assert task.units(np.array([0])) is None


def test_the_page_needs_no_other_file_and_shows_curves(report):
    curves = {"ndcg@10": [Curve("<b>plain</b>, seed 0", 0, ((10, 0.2), (20, 0.3)))]}
    page = render_comparison(report, curves)
    assert "default-src 'none'" in page
    assert "http" not in page.replace("http-equiv", "")
    assert page.count("<polyline") == 1
    assert "&lt;b&gt;plain&lt;/b&gt;, seed 0, epoch 20: 0.3000" in page
    assert "ndcg@10 by user degree" in page
    assert "lightgcn (epochs=30), 1-9: " in page
    assert "Learning curves" not in render_comparison(report)


def test_evaluate_writes_numbers_a_page_and_the_values_of_users(project, capsys):
    words = ["evaluate", str(project / "plain"), "-C", str(project), "--negatives", "6"]
    out = project / "report"
    assert run([*words, "-o", str(out), "--json"]) == 0
    captured = capsys.readouterr()
    stated = json.loads(captured.out)
    assert json.loads((out / "evaluation.json").read_text()) == stated
    assert "Test NDCG among sampled negatives" in captured.err
    assert "Learning curves" in (out / "evaluation.html").read_text()
    users = pl.read_parquet(out / "per_user.parquet")
    assert users.columns[:3] == ["model", "user_id", "hr@5"]
    means = dict(users.group_by("model").agg(pl.col("ndcg@10").mean()).iter_rows())
    assert means == pytest.approx({r["name"]: r["means"]["ndcg@10"] for r in stated["results"]})


def test_a_report_is_not_written_into_a_model(project, capsys):
    words = ["evaluate", str(project / "short"), "-C", str(project)]
    assert run([*words, "-o", str(project / "short")]) == 2
    assert "holds a trained model; a report is not written into it" in capsys.readouterr().err


def test_leaderboard_marks_what_is_no_luck(project, capsys):
    page = project / "board.html"
    words = ["leaderboard", str(project / "plain"), str(project / "short"), "-C", str(project)]
    assert run([*words, "-m", "recall@5", "-o", str(page)]) == 0
    shown = capsys.readouterr().out
    first = next(line for line in shown.splitlines() if "lightgcn (epochs=30)" in line)
    assert first.split()[0] == "1"
    assert "**" in first
    assert "(baseline)" in shown
    assert "recall@5 against popularity: paired bootstrap over users" in shown
    assert "Leaderboard" in page.read_text()
    assert run([*words, "--task", "session"]) == 2
    assert "unknown task 'session'. Did you mean 'sessions'?" in capsys.readouterr().err


def test_the_trainer_reaches_no_test_data(project_root):
    package = project_root / "recommender"
    paths = [package / f"{name}.py" for name in ("experiment", "search", "vector_model", "two_phase_model")]
    for room in ("models", "training", "graph", "text", "sequence", "session", "interests", "hgpo"):
        paths += sorted((package / room).glob("*.py"))
    assert len(paths) > 90
    for path in paths:
        text = path.read_text(encoding="utf-8")
        assert "load_test_data" not in text, path
        assert "recommender.evaluation.tasks" not in text, path


def test_curves_are_read_from_saved_models(report):
    curves = learning_curves(report)["ndcg@10"]
    assert {curve.name for curve in curves} == {
        "lightgcn (epochs=30), seed 0",
        "lightgcn (epochs=30), seed 1",
        "lightgcn (epochs=1), seed 0",
    }
    for curve in curves:
        assert curve.points[0][0] == (1 if "epochs=1)" in curve.name else 10)
