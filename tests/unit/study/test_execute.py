"""One run from release to record, stopped and gone on with."""

import json

import numpy as np
import pytest

from featurestore.progress import no_progress
from recommender.data import load_training_data
from recommender.evaluate import evaluate_ranking
from recommender.evaluation.tasks import load_task
from recommender.models import lightgcn, popularity
from scripts.study.datasets import Dataset
from scripts.study.execute import Prepared, Stopped, Watch, execute, features_of
from scripts.study.records import Records
from scripts.study.runs import Run

DATASET = Dataset(
    name="small",
    steps=(),
    item_feature="item_text",
    user_feature=None,
    texts="titles",
    cutoff=10,
    monitor="ndcg@10",
)
SETTINGS = {
    "epochs": "6",
    "eval_every": "2",
    "batch_size": "64",
    "embedding_dim": "8",
    "learning_rate": "0.02",
}


@pytest.fixture
def compute(release, tmp_path):
    """Execute a run on the small release."""
    prepared, records = Prepared(DATASET, "d" * 32, release), Records(tmp_path / "records")

    def run_it(run: Run, **limits):
        return records, execute(
            run, prepared, records, key="key", code="code", threads=1, checkpoints=tmp_path / "c", **limits
        )

    return run_it


def test_popularity_is_recorded_with_the_metrics_of_an_evaluation(compute, release):
    records, record = compute(Run(dataset="small", model="popularity"))
    model = popularity.Model(popularity.Config())
    model.fit(load_training_data(release), features=None, seed=0, progress=no_progress)
    expected = evaluate_ranking(model.score, load_task(release).held_out)
    assert record.test == expected.means()
    stored = records.find(record.run)
    assert stored == record
    again = records.per_user(stored)
    assert all(np.array_equal(again[name], values) for name, values in expected.per_user.items())
    facts = records.facts("small")
    assert facts is not None
    assert (facts.num_users, facts.num_items, facts.num_train, facts.num_valid, facts.num_test) == (
        40,
        20,
        160,
        40,
        40,
    )


def test_a_record_is_json_with_a_line_for_each_attribute(compute):
    records, record = compute(Run(dataset="small", model="popularity"))
    path = records.path(record.run)
    assert path.name == "popularity.plain.0.json"
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(json.loads(path.read_bytes())) + 2
    assert record.strata[0].kind == "item degree"


def test_text_and_its_controls_give_a_model_other_vectors(release):
    prepared = Prepared(DATASET, "d" * 32, release)
    assert features_of(Run(dataset="small", model="lightgcn"), prepared) is None
    text, shuffled, random = (
        features_of(Run(dataset="small", model="lightgcn", form=form), prepared)
        for form in ("text", "shuffled", "random")
    )
    assert text is not None
    assert shuffled is not None
    assert random is not None
    assert [f.items.control for f in (text, shuffled, random)] == ["none", "shuffled", "random"]
    rows = sorted(map(tuple, text.items.matrix.tolist()))
    assert sorted(map(tuple, shuffled.items.matrix.tolist())) == rows
    assert sorted(map(tuple, random.items.matrix.tolist())) != rows


def test_a_stopped_run_goes_on_and_ends_as_if_it_had_not_been_stopped(compute, monkeypatch):
    run = Run(dataset="small", model="lightgcn", form="text", settings=SETTINGS)
    _, whole = compute(run)
    real, epochs = Watch.__call__, []

    def stop_after_three(self, done, total, note=""):
        epochs.append(done)
        if len(epochs) == 3:
            self.deadline = 0.0
        real(self, done, total, note)

    monkeypatch.setattr(Watch, "__call__", stop_after_three)
    with pytest.raises(Stopped, match="small/lightgcn/text/seed-0: stopped after 3 epochs, goes on from its"):
        compute(run)
    _, resumed = compute(run)
    assert epochs == [1, 2, 3, 3, 4, 5, 6]
    assert resumed.test == whole.test
    assert resumed.ranks == whole.ranks
    assert [e.loss for e in resumed.fit.history] == [e.loss for e in whole.fit.history]


def test_a_run_whose_minutes_are_over_is_measured_and_says_so(compute):
    run = Run(dataset="small", model="lightgcn", settings=SETTINGS | {"eval_every": "1"}, max_minutes=1e-9)
    _, record = compute(run)
    assert record.fit.epochs == 1
    assert record.stopped_minutes == 1e-9


def test_a_deadline_before_the_first_validation_leaves_no_record(compute):
    with pytest.raises(Stopped, match="the deadline ended before the first validation"):
        compute(Run(dataset="small", model="lightgcn", settings=SETTINGS), deadline=0.0)


def test_a_run_that_a_person_stops_ends_the_work_and_leaves_no_record(compute, monkeypatch):
    def interrupt(self, done, total, note=""):
        if done == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Watch, "__call__", interrupt)
    run = Run(dataset="small", model="lightgcn", settings=SETTINGS)
    with pytest.raises(KeyboardInterrupt):
        compute(run)


def test_time_spent_before_a_stop_counts():
    watch = Watch(deadline=None, budget=100.0, spent=99.9, started=0.0)
    with pytest.raises(KeyboardInterrupt):
        watch(1, 2)
    assert watch.reason == "budget"
    Watch(deadline=None, budget=None, spent=99.9)(1, 2)


def test_settings_are_recorded_with_their_defaults(compute):
    _, record = compute(Run(dataset="small", model="lightgcn", settings=SETTINGS))
    assert record.config == json.loads(
        lightgcn.Config(**{k: float(v) for k, v in SETTINGS.items()}).model_dump_json()
    )
