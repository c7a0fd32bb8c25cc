"""A search draws what is declared, chooses on validation, and repeats nothing."""

import fcntl
import json

import numpy as np
import pytest
from toy_store import QUICK, fill

from featurestore.errors import LockHeldError, StoreError, UnknownNameError, UsageError
from featurestore.reader import FeatureStore
from featurestore.stores.memory import MemoryStore
from recommender.experiment import TrainRequest
from recommender.registry import find_model, model_names
from recommender.search import search
from recommender.search_space import Choice, LogUniform, draw_settings
from recommender.training.divergence import DivergedError

FIXED = QUICK | {"epochs": "3", "eval_every": "1"}


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    store = MemoryStore()
    fill(store, tmp_path_factory.mktemp("toy"))
    return FeatureStore(store).release()


def test_draws_stay_inside_and_reach_everywhere():
    space = {"a": LogUniform(1e-4, 1e-1), "b": Choice((1, 2, 3))}
    drawn = [draw_settings(space, np.random.default_rng([0, k])) for k in range(300)]
    numbers = np.log10([float(d["a"]) for d in drawn])
    assert -4.01 < numbers.min() < -3.9
    assert -1.1 < numbers.max() < -0.99
    assert abs(numbers.mean() + 2.5) < 0.2
    assert {d["b"] for d in drawn} == {"1", "2", "3"}


@pytest.mark.parametrize("name", model_names())
def test_every_space_names_settings_that_exist_and_values_that_fit(name):
    entry = find_model(name)
    for k in range(20):
        settings = draw_settings(entry.space, np.random.default_rng(k))
        entry.config_type.model_validate(settings)
    assert set(entry.space) <= set(entry.config_type.model_fields)


def test_a_search_ranks_by_validation_and_goes_on(release, tmp_path):
    log = tmp_path / "searches" / "lightgcn.jsonl"
    first = search(release, TrainRequest("lightgcn", FIXED), log, num_trials=2)
    again = search(release, TrainRequest("lightgcn", FIXED), log, num_trials=4)
    assert (first.num_known, again.num_known, again.monitor) == (0, 2, "ndcg@10")
    assert sorted(trial.number for trial in again.trials) == [0, 1, 2, 3]
    assert {t.number: t for t in first.trials}.items() <= {t.number: t for t in again.trials}.items()
    metrics = [trial.metric for trial in again.trials]
    assert metrics == sorted(metrics, reverse=True)
    assert len({json.dumps(trial.settings) for trial in again.trials}) == 4
    assert not set(again.trials[0].settings) & set(FIXED), "what is fixed is not drawn"


def test_a_trial_that_the_log_lacks_is_run_and_no_other(release, tmp_path):
    log = tmp_path / "x.jsonl"
    whole = search(release, TrainRequest("lightgcn", FIXED), log, num_trials=3)
    lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
    log.write_text("".join(lines[1:]), encoding="utf-8")
    again = search(release, TrainRequest("lightgcn", FIXED), log, num_trials=3)
    assert again.num_known == 2
    assert {t.number: t.settings for t in again.trials} == {t.number: t.settings for t in whole.trials}
    assert [json.loads(line)["number"] for line in log.read_text(encoding="utf-8").splitlines()] == [1, 2, 0]


def test_two_searches_do_not_share_a_log(release, tmp_path):
    log = tmp_path / "x.jsonl"
    with log.open("a", encoding="utf-8") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(LockHeldError, match=r"another search writes .*x\.jsonl"):
            search(release, TrainRequest("lightgcn", FIXED), log, num_trials=1)
    assert search(release, TrainRequest("lightgcn", FIXED), log, num_trials=1).num_known == 0


def test_a_log_of_another_search_is_refused(release, tmp_path):
    log = tmp_path / "x.jsonl"
    search(release, TrainRequest("lightgcn", FIXED), log, num_trials=1)
    with pytest.raises(StoreError, match="is of another search"):
        search(release, TrainRequest("lightgcn", FIXED, seeds=(1,)), log, num_trials=2)
    log.write_text("{}\n")
    with pytest.raises(StoreError, match=r"line 1 of .* is no trial"):
        search(release, TrainRequest("lightgcn", FIXED), log, num_trials=2)


def test_what_cannot_be_searched_says_so(release, tmp_path):
    log = tmp_path / "x.jsonl"
    with pytest.raises(UsageError, match="popularity declares no settings to search over"):
        search(release, TrainRequest("popularity"), log, num_trials=1)
    with pytest.raises(UnknownNameError, match="colour"):
        search(release, TrainRequest("lightgcn", {"colour": "red"}), log, num_trials=1)
    request = TrainRequest("lightgcn", FIXED, feature="item_cot", optimistic_validation=True)
    with pytest.raises(UsageError, match="cannot help to choose settings"):
        search(release, request, log, num_trials=1)
    assert not log.exists()


def test_a_draw_that_does_not_fit_what_is_fixed_is_named(release, tmp_path):
    request = TrainRequest("lghrec", {"temperature_max": "0.21"})
    with pytest.raises(UsageError, match=r"the search drew .*temperature=0\.[2-9]\d*, which does not fit"):
        search(release, request, tmp_path / "x.jsonl", num_trials=8)


def test_a_trial_that_diverges_is_noted_and_the_search_goes_on(release, tmp_path, monkeypatch):
    log, request = tmp_path / "s.jsonl", TrainRequest("lightgcn", FIXED)
    fit, asked = find_model("lightgcn").model_type.func.fit, []

    def diverge(self, *given, **named):
        asked.append(named["seed"])
        if len(asked) in diverging:
            raise DivergedError("the loss is nan")
        return fit(self, *given, **named)

    monkeypatch.setattr(find_model("lightgcn").model_type.func, "fit", diverge)
    diverging = {1}
    report = search(release, request, log, num_trials=2)
    assert [(trial.number, trial.metric is None) for trial in report.trials] == [(1, False), (0, True)]
    assert search(release, request, log, num_trials=2).num_known == len(asked) == 2
    diverging = {3}
    with pytest.raises(DivergedError, match="all 1 trials diverged"):
        search(release, request, tmp_path / "other.jsonl", num_trials=1)
