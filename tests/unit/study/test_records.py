"""Records keep what was measured, and refuse ranks that are not theirs."""

import numpy as np
import pytest
from study_world import FACTS, write_record

from featurestore.errors import StoreError
from scripts.study.records import Records
from scripts.study.runs import Run

RUN = Run(dataset="colakg-lastfm", model="lightgcn", form="text", variant="gate", seed=2)


def test_nothing_is_found_in_an_empty_folder(tmp_path):
    assert Records(tmp_path).find(RUN) is None
    assert Records(tmp_path).facts("colakg-lastfm") is None


def test_metrics_of_users_come_back_from_ranks(tmp_path):
    records = Records(tmp_path)
    record = write_record(records, RUN, [0, 1, 9, 10, 70_000])
    assert records.path(RUN) == tmp_path / "colakg-lastfm" / "lightgcn.text-gate.2.json"
    assert records.facts("colakg-lastfm") == FACTS
    found = records.per_user(record)
    assert found["ndcg@10"] == pytest.approx(
        [1 / np.log2(b + 2) if b < 10 else 0 for b in (0, 1, 9, 10, 70_000)]
    )
    assert found["hr@20"].tolist() == [1, 1, 1, 1, 0]


def test_small_ranks_take_two_bytes(tmp_path):
    records = Records(tmp_path)
    write_record(records, RUN, [0, 65_535])
    with np.load(records.path(RUN).with_suffix(".npz"), allow_pickle=False) as arrays:
        assert {name: arrays[name].dtype.name for name in arrays.files} == {
            "better": "uint16",
            "tied": "uint16",
        }


def test_a_second_run_takes_the_place_of_the_first(tmp_path):
    records = Records(tmp_path)
    first = write_record(records, RUN, [0, 1])
    second = write_record(records, RUN, [3, 1], key="new")
    found = records.find(RUN)
    assert found == second
    with pytest.raises(
        StoreError, match=r"lightgcn\.text-gate\.2\.npz does not hold the ranks of colakg-lastfm/"
    ):
        records.per_user(first)


def test_no_scratch_file_is_left(tmp_path):
    write_record(Records(tmp_path), RUN, [0, 1])
    assert sorted(path.name for path in (tmp_path / "colakg-lastfm").iterdir()) == [
        "dataset.json",
        "lightgcn.text-gate.2.json",
        "lightgcn.text-gate.2.npz",
        "pairs.npz",
    ]
