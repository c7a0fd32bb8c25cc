"""A teacher's lists: what they teach, whose sessions they are of, and which are refused."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file
from test_llmgr import ASKED, QUICK, origin_of, small_data

from featurestore.errors import InputError, StoreError, UsageError
from featurestore.progress import no_progress
from recommender.data import TrainingData, group_by_time, load_training_data, training_data
from recommender.experiment import TrainRequest, train_models
from recommender.models import llmgr
from recommender.sequence_vectors import states_of
from recommender.session.teacher_lists import (
    TeacherLists,
    load_teacher,
    teacher_divergence,
)
from recommender.testing import NUM_ITEMS, NUM_USERS, checkerboard


def test_no_list_costs_nothing(rng):
    states = torch.from_numpy(rng.normal(size=(2, 3)).astype(np.float32)).requires_grad_()
    lists = TeacherLists(np.full((2, 2), -1), np.zeros((2, 2), np.float32), origin_of(small_data()))
    loss = teacher_divergence(states, torch.ones(4, 3), lists, np.array([0, 1]))
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert not states.grad.any()


def test_a_student_comes_nearer_to_its_teacher(tmp_path, rng):
    data, _ = checkerboard()
    items = np.stack([rng.permutation(NUM_ITEMS)[:5] for _ in range(data.num_users)])
    lists = TeacherLists(items, 3 * rng.normal(size=items.shape).astype(np.float32), origin_of(data))
    lists.save(tmp_path / "lists.safetensors")
    distances = {}
    for weight in (0.0, 3.0):
        settings = QUICK | {"teacher": str(tmp_path / "lists.safetensors"), "teacher_weight": weight}
        model = llmgr.Model(llmgr.Config(**settings, base="stamp"))
        model.fit(data, features=None, seed=3, progress=no_progress)
        cut = [data.histories.of(user)[:-1] for user in range(NUM_USERS)]
        users = np.repeat(np.arange(NUM_USERS), [len(each) for each in cut])
        states = states_of(model, group_by_time(users, np.concatenate(cut), NUM_USERS))
        table = torch.from_numpy(model.arrays()["weights"]["item_vectors"])
        divergence = teacher_divergence(torch.from_numpy(states), table, lists, np.arange(NUM_USERS))
        distances[weight] = float(divergence)
    assert distances[3.0] < 0.5 * distances[0.0]


def test_lists_that_do_not_fit_are_refused(tmp_path):
    data = small_data()
    with pytest.raises(InputError, match=r"there are no lists of a teacher at .*absent"):
        load_teacher(tmp_path / "absent", data)
    (tmp_path / "broken").write_bytes(b"no lists")
    with pytest.raises(StoreError, match="holds no lists of a teacher"):
        load_teacher(tmp_path / "broken", data)
    save_file({"lists": np.zeros(1)}, tmp_path / "other")
    with pytest.raises(StoreError, match="holds no lists of a teacher"):
        load_teacher(tmp_path / "other", data)
    TeacherLists(np.array([[2]]), np.zeros((1, 1), np.float32), origin_of(data)).save(tmp_path / "one")
    with pytest.raises(UsageError, match=r"are of 1 sessions and name items up to row 2; .* 5 sessions"):
        load_teacher(tmp_path / "one", data)
    items = np.full((5, 1), 7)
    TeacherLists(items, np.zeros((5, 1), np.float32), origin_of(data)).save(tmp_path / "many")
    with pytest.raises(UsageError, match=r"name items up to row 7; the release has .* 7 items"):
        load_teacher(tmp_path / "many", data)


def with_clicks(changed: dict[int, list[int]], num_items: int = 7) -> TrainingData:
    """The small data, other clicks in some rows."""
    histories = [changed.get(row, history) for row, history in enumerate(ASKED)]
    users = np.repeat(np.arange(len(histories)), [len(history) for history in histories])
    none = np.array([], np.int64)
    return training_data(
        num_users=len(histories),
        num_items=num_items,
        train=(users, np.array([item for history in histories for item in history])),
        valid=(none, none),
    )


def test_lists_of_other_sessions_are_refused_however_alike_their_size(tmp_path):
    path = tmp_path / "lists.safetensors"
    lists = TeacherLists(np.full((5, 2), 1), np.zeros((5, 2), np.float32), origin_of(small_data()))
    lists.save(path)
    with safe_open(path, framework="numpy") as opened:
        said = opened.metadata()
    assert {name: said[name] for name in ("release", "split", "adapter")} == {
        "release": "3",
        "split": "5f3a:train",
        "adapter": "ad" * 16,
    }
    others = {
        "another order": with_clicks({4: [2, 4, 2]}),
        "another item": with_clicks({1: [5]}),
        "another user": with_clicks({1: [], 2: [6]}),
        "an event less": with_clicks({3: [0, 6, 2, 0]}),
    }
    for why, data in others.items():
        with pytest.raises(UsageError, match="are of other training sessions") as caught:
            load_teacher(path, data)
        told = str(caught.value)
        assert f"the adapter {'ad' * 8} read" in told, why
        assert "of release 3 (5f3a:train)" in told
        assert "has 5 sessions" in told
        assert "Train on a release of the same split and events" in caught.value.hint
    # What a release has beside its sessions does not matter: vectors are published after tuning.
    more_items = with_clicks({}, num_items=9)
    np.testing.assert_array_equal(load_teacher(path, more_items).items, lists.items)


def test_lists_that_do_not_say_what_they_are_of_are_refused(tmp_path):
    arrays = {"items": np.full((5, 2), 1), "scores": np.zeros((5, 2), np.float32)}
    for name, said in {"none": None, "some": {"release": "3"}}.items():
        save_file(arrays, tmp_path / name, said)
        with pytest.raises(UsageError, match="do not say which sessions they are of") as caught:
            load_teacher(tmp_path / name, small_data())
        assert "featurestore tune llmgr --stage behaviour --teacher FILE" in caught.value.hint


def test_lists_are_written_whole_or_not_at_all(tmp_path):
    lists = TeacherLists(np.full((5, 2), 1), np.zeros((5, 2), np.float32), origin_of(small_data()))
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreError, match=re.escape(f"{tmp_path / 'folder'} cannot be accessed")):
        lists.save(tmp_path / "folder")
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError, match=re.escape(f"{tmp_path / 'file' / 'lists'} cannot be accessed")):
        lists.save(tmp_path / "file" / "lists")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_training_does_not_go_on_with_lists_that_were_written_anew(toy, tmp_path):
    released = toy.release()
    data = load_training_data(released)
    path = tmp_path / "lists.safetensors"
    lists = TeacherLists(
        np.zeros((data.num_users, 1), np.int64), np.zeros((data.num_users, 1), np.float32), origin_of(data)
    )
    lists.save(path)
    settings = {"epochs": "3", "eval_every": "1", "embedding_dim": "4", "base": "stamp", "teacher": str(path)}
    request = TrainRequest("llmgr", settings)

    def stop(done: int, total: int, note: str = "") -> None:
        if done == 2:
            raise SystemExit

    for name in ("same", "anew"):
        with pytest.raises(SystemExit):
            train_models(released, request, tmp_path / name, progress=stop)
    again = replace(request, resume=True)
    done: list[int] = []
    train_models(released, again, tmp_path / "same", progress=lambda epoch, *_: done.append(epoch))
    assert done == [3]

    replace(lists, items=np.ones((data.num_users, 1), np.int64)).save(path)
    with pytest.raises(UsageError, match="belongs to another training run"):
        train_models(released, again, tmp_path / "anew")
    train_models(released, again, tmp_path / "same", progress=lambda epoch, *_: done.append(epoch))
    assert len(done) > 1, "a finished model of other lists is no answer"
