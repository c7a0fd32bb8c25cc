"""What small models learn from a tuned decoder: where it lies, what refuses it, and what is said of it."""

import argparse

import numpy as np
import pytest
from study_world import NUM_ITEMS, NUM_USERS

from featurestore.errors import SetupError, UnknownNameError
from llm_jobs.tuning.llmgr_config import check_stage
from recommender.data import load_training_data
from recommender.features import EntityFeatures, entity_features
from recommender.models.llmgr import Config
from recommender.registry import parse_settings
from recommender.session.teacher_lists import TeacherLists, TeacherOrigin, load_teacher, sessions_digest
from scripts import llmgr_tuning
from scripts.study import execute, llmgr, llmgr_tunings
from scripts.study.datasets import find_dataset
from scripts.study.execute import Prepared, features_of
from scripts.study.llmgr_stages import hit_rate, settings_of
from scripts.study.llmgr_tunings import (
    MAIN,
    TUNINGS,
    StageRecord,
    TuningRecord,
    read_tuning,
    teacher_of,
    tuned_items,
    write_export,
    write_tuning,
)

STAGE = StageRecord(
    stage="alignment", adapter="a", num_examples=5, steps=2, first_loss=2.0, last_loss=1.0, seconds=3.0
)
RECORD = TuningRecord(
    tuning=TUNINGS[0],
    dataset="amazon14-beauty",
    data="d",
    digest="abc",
    decoder="tiny",
    seed=0,
    settings={},
    stages=(STAGE,),
    num_vectors=5,
    num_taught=4,
    top_k=3,
    hit_rate=0.5,
)


@pytest.fixture
def vectors(rng) -> EntityFeatures:
    matrix = rng.normal(size=(NUM_ITEMS, 4)).astype(np.float32)
    matrix[3] = 0.0
    return EntityFeatures(matrix, matrix.any(axis=1), ("spec",))


@pytest.fixture
def lists(rng, release) -> TeacherLists:
    items = np.stack([rng.permutation(NUM_ITEMS)[:3] for _ in range(NUM_USERS)])
    sessions = sessions_digest(load_training_data(release).histories)
    origin = TeacherOrigin(sessions, release="9", split="5f3a:train", adapter="ad")
    return TeacherLists(items, rng.normal(size=items.shape).astype(np.float32), origin)


def test_what_was_exported_is_read_by_the_run_that_names_it(vectors, lists, release, tmp_path, monkeypatch):
    digest = write_export(vectors, lists, release, tmp_path / "exports")
    assert write_export(vectors, lists, release, tmp_path / "exports") == digest
    monkeypatch.setattr(llmgr_tunings, "ROOT", tmp_path)
    monkeypatch.setattr(llmgr_tunings, "EXPORTS", tmp_path / "exports")
    write_tuning(RECORD.model_copy(update={"digest": digest}), tmp_path)
    teacher = teacher_of(MAIN, tmp_path)
    run = llmgr.tuned("amazon14-beauty").model_copy(update={"settings": {"teacher": teacher}})
    monkeypatch.setattr(execute, "tuned_items", lambda path, found: tuned_items(path, found, tmp_path))
    features = features_of(run, Prepared(find_dataset(run.dataset), "d", release))
    np.testing.assert_array_equal(features.items.matrix, vectors.matrix)
    assert np.flatnonzero(~features.items.has_vector).tolist() == [3]
    assert features.spec_digests == ("spec",)
    loaded = load_teacher(tmp_path / teacher, load_training_data(release))
    assert loaded.origin == lists.origin  # of the store that was tuned on
    np.testing.assert_array_equal(loaded.items, lists.items)


def test_other_content_is_another_export(vectors, lists, release, tmp_path):
    other = TeacherLists(lists.items, lists.scores + 1, lists.origin)
    assert write_export(vectors, lists, release, tmp_path) != write_export(vectors, other, release, tmp_path)


def test_what_is_absent_or_of_other_rows_is_refused(vectors, lists, release, tmp_path, monkeypatch):
    with pytest.raises(SetupError, match=r"there are no tuned vectors at .*vectors.safetensors"):
        tuned_items("none/teacher.safetensors", release, tmp_path)
    digest = write_export(vectors, lists, release, tmp_path)
    monkeypatch.setattr(llmgr_tunings, "_rows_of", lambda _release: {"item_ids": "others"})
    with pytest.raises(SetupError, match="are of the rows of another release"):
        tuned_items(f"{digest}/teacher.safetensors", release, tmp_path)


def test_a_tuning_anew_makes_its_runs_due(tmp_path):
    write_tuning(RECORD, tmp_path)
    assert read_tuning(MAIN, tmp_path) == RECORD
    before = teacher_of(MAIN, tmp_path)
    write_tuning(RECORD.model_copy(update={"digest": "xyz"}), tmp_path)
    assert (before, teacher_of(MAIN, tmp_path)) == tuple(
        f".cache/llmgr/exports/{name}/teacher.safetensors" for name in ("abc", "xyz")
    )
    assert read_tuning("joint", tmp_path) is None
    assert "no-joint" in teacher_of("joint", tmp_path)


def test_settings_of_all_tunings_and_runs_fit():
    for tuning in TUNINGS:
        if tuning.first is not None:
            first = settings_of("alignment", tuning.first)
            check_stage("alignment", first)
            assert first.epochs == 1
        is_begun = tuning.first is not None
        second = settings_of(tuning.second, tuning.settings, is_begun=is_begun)
        check_stage(tuning.second, second, is_begun=is_begun)
        assert second.epochs == 3
        assert is_begun <= (second.first_output == "random"), "what W_o learned is gone on with"
    assert settings_of("behaviour", {}).max_tokens == 64
    bases = [parse_settings(Config, llmgr.tuned("amazon14-beauty", v).settings) for v in llmgr.ON_OTHER_BASES]
    assert {config.base for config in bases} == {"gru4rec", "stamp", "niser", "srgnn", "narm"}
    teachers = {llmgr.tuned("amazon14-beauty", name).settings["teacher"] for name in ("", *llmgr.CONTROLS)}
    assert len(teachers) == len(TUNINGS)


def test_rsl_is_the_last_tuning_and_reads_words_alone():
    rsl = TUNINGS[-1]
    assert rsl.name == "rsl"
    assert rsl.first is None  # an adapter of stage 1 has learned from nodes
    config = settings_of(rsl.second, rsl.settings)
    assert (config.sessions, config.graph_token, config.first_output) == ("titles", "none", "random")
    assert [tuning.name for tuning in TUNINGS if tuning.settings.get("sessions") == "titles"] == ["rsl"]
    assert len({tuning.feature for tuning in TUNINGS if tuning.first is None}) == 3
    assert "no-rsl" in llmgr.tuned("amazon14-beauty", "rsl").settings["teacher"]


def test_hits_are_counted_by_session(lists):
    rows = np.array([0, 5, 7])
    targets = np.array([lists.items[0, 2], -5, lists.items[7, 0]])
    assert hit_rate(lists, rows, targets) == pytest.approx(2 / 3)
    assert hit_rate(lists, rows[:0], targets[:0]) == 0.0


def test_the_script_lists_tunings_and_knows_their_names(tmp_path, capsys, monkeypatch):
    (tmp_path / "amazon14-beauty").mkdir()
    (tmp_path / "amazon14-beauty" / "items.parquet").write_bytes(b"x")
    monkeypatch.setattr(llmgr_tuning, "read_tuning", lambda name: RECORD if name == MAIN else None)
    monkeypatch.setattr(llmgr_tuning, "data_digest", lambda *_: "d")
    options = argparse.Namespace(
        only=[], list=True, data=tmp_path, minutes=1.0, prefixes=2, taught=3, seed=0, again=False
    )
    llmgr_tuning.work(options)
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in said] == [
        ["current" if tuning.name == MAIN else "due", tuning.name] for tuning in TUNINGS
    ]
    options.only = ["two-stage"]
    with pytest.raises(UnknownNameError, match=r"unknown tuning 'two-stage'. Did you mean 'two-stages'"):
        llmgr_tuning.work(options)


def test_vectors_of_the_store_can_be_exported(release, lists, tmp_path):
    found = entity_features(release, "item", "item_text")
    digest = write_export(found, lists, release, tmp_path)
    again = tuned_items(f"{digest}/teacher.safetensors", release, tmp_path)
    np.testing.assert_array_equal(again.matrix, found.matrix)
