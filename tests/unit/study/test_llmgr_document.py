"""What the document of LLMGR says of records made by hand."""

import numpy as np
import pytest
from study_world import write_record

from recommender.registry import find_model, parse_settings
from scripts.study.beside import Sources
from scripts.study.comparisons import Comparisons
from scripts.study.groups import Study
from scripts.study.llmgr import BASES, MODEL, OTHERS, THRESHOLDS, minimum, queue, rare
from scripts.study.llmgr_document import render
from scripts.study.llmgr_plugged import COLD, WARM, Plugged
from scripts.study.llmgr_tunings import TUNINGS, StageRecord, TuningRecord, write_tuning
from scripts.study.rank_metrics import RankMetrics
from scripts.study.records import Records
from scripts.study.runs import Run

BEAUTY = "amazon14-beauty"
DECLARED = {run.name: run for run in [*minimum(), *queue()]}
GOOD, BAD = [0] * 30 + [50] * 10, [0] * 10 + [50] * 30


@pytest.fixture
def records(tmp_path) -> Records:
    return Records(tmp_path / "runs")


def run_of(model: str, label: str = "plain", dataset: str = BEAUTY) -> Run:
    return DECLARED[f"{dataset}/{model}/{label}/seed-0"]


def written(records: Records) -> str:
    return render(records, Comparisons(records))


def test_settings_of_every_run_fit_their_models():
    for run in DECLARED.values():
        parse_settings(find_model(run.model).config_type, run.settings)
    config = parse_settings(find_model(MODEL).config_type, run_of(MODEL, f"text-{rare(5)}").settings)
    assert (config.base, config.semantic_max_degree) == ("gcsan", 5)
    names = [run.name for run in minimum()]
    assert len(set(names)) == len(names)


def test_without_records_everything_is_not_run(records):
    text = written(records)
    assert "on at least 4 of 6 bases | not run | not run |" in text
    assert "without the auxiliary stage, beyond chance | not run | not run |" in text
    assert "## session-diginetica-slice\n\nTexts: none. Nothing has been run." in text
    assert "| `two-stages` | as the paper: titles, then sessions | not run |" in text
    assert "| `rsl` | RSL: sessions in words alone | not run |" in text
    assert f"| {BEAUTY} | `{MODEL}` | tuned 0, tuned-on-gru4rec 0" in text
    assert "| ml-100k | `gcsan` | plain 0 |" in text


def test_data_that_the_paper_has_and_we_have_not_are_named(records):
    text = " ".join(written(records).split())
    assert "Amazon's Music, Beauty and Pantry; Music and Pantry are not in ours." in text


def test_gains_and_tests_are_of_the_records(records):
    for model, label, better in (
        (MODEL, "tuned", GOOD),
        (MODEL, "text", BAD),
        ("gcsan", "plain", BAD),
        (MODEL, "tuned-no-alignment", GOOD),
        ("gcsan", "text-concat", BAD),
    ):
        write_record(records, run_of(model, label), better)
    text = written(records)
    assert "at least 4 of 6 bases | 1 of 1 that were run | not run |" in text
    assert "more than frozen vectors, beyond chance | +0.5000 (+0.3500 to +0.6500)** | reached |" in text
    assert (
        "without the auxiliary stage, beyond chance | +0.0000 (+0.0000 to +0.0000) | **not reached** |"
        in text
    )
    # Test items have five training users each: cold ones, and none of fifty.
    assert "| `gcsan` | 0.2500 to 0.7500 (+200.0%) |  |" in text
    assert "| + LLMGR | 0.7500 | 0.7500 | 0.7500 | +0.5000" in text
    assert "| `gcsan` + text, concat | " in text


def test_models_are_compared_with_counting(records):
    for model, better in (("counting", GOOD), ("gcsan", BAD), ("popularity", BAD)):
        write_record(records, run_of(model), better)
    write_record(records, run_of(MODEL, "text"), GOOD)
    lines = written(records).splitlines()
    assert (
        "| model | HR@20 | NDCG@20 | MRR@20 | NDCG@20: `llmgr`, frozen vectors, minus it "
        "| NDCG@20: minus `counting` |"
    ) in lines
    more, less = "+0.5000 (+0.3500 to +0.6500)**", "-0.5000 (-0.6500 to -0.3500)**"
    same = "+0.0000 (+0.0000 to +0.0000)"
    assert f"| `llmgr`, frozen vectors | 0.7500 | 0.7500 | 0.7500 |  | {same} |" in lines
    assert f"| `gcsan` | 0.2500 | 0.2500 | 0.2500 | {more} | {less} |" in lines
    assert f"| `counting` | 0.7500 | 0.7500 | 0.7500 | {same} |  |" in lines
    assert f"| `popularity` | 0.2500 | 0.2500 | 0.2500 | {more} |  |" in lines


def test_questions_and_tables_have_one_family(records, monkeypatch):
    families: list[tuple[str, ...]] = []
    family = Comparisons.family

    def noted(self, sides, metric, part=None):
        families.append(tuple(sides))
        return family(self, sides, metric, part)

    monkeypatch.setattr(Comparisons, "family", noted)
    write_record(records, run_of(MODEL, "tuned"), GOOD)
    for label in ("text", "tuned-no-alignment", "tuned-shuffled-texts"):
        write_record(records, run_of(MODEL, label), BAD)
    text = written(records)
    every = ("llmgr text", "llmgr tuned-no-alignment", "llmgr tuned-shuffled-texts")
    assert sum(set(names) == set(every) for names in families) == 2
    assert not any(set(names) < set(every) and "llmgr tuned-no-alignment" in names for names in families)
    difference = "+0.5000 (+0.3500 to +0.6500)**"
    assert f"without the auxiliary stage, beyond chance | {difference} | reached |" in text
    assert f"| `llmgr`, tuned, no-alignment | 0.2500 | 0.2500 | 0.2500 | {difference} |" in text


def test_records_of_earlier_code_decide_nothing(records):
    write_record(records, run_of("gcsan"), BAD)
    write_record(records, run_of(MODEL, "tuned"), GOOD, key="earlier")
    write_record(records, run_of(MODEL, "text"), BAD)
    text = written(records)
    assert "at least 4 of 6 bases | not run | not run |" in text
    assert "more than frozen vectors, beyond chance | not run | not run |" in text
    assert "| + LLMGR | 0.7500† | 0.7500† | 0.7500† |  |" in text


@pytest.mark.parametrize(("worse", "said"), [(2, "4 of 6 | reached"), (3, "3 of 6 | **not reached**")])
def test_four_bases_of_six_must_gain(records, worse, said):
    for number, base in enumerate((*BASES, *OTHERS)):
        plugged = "tuned" if base == "gcsan" else f"tuned-on-{base}"
        sides = (GOOD, BAD) if number < worse else (BAD, GOOD)
        for run, better in zip((run_of(base), run_of(MODEL, plugged)), sides, strict=True):
            write_record(records, run, better)
    assert f"on at least 4 of 6 bases | {said}" in written(records)


@pytest.mark.parametrize(
    ("cold", "warm", "said"),
    [
        ((1.0, 1.5), (1.0, 1.2), "6 of 6 (medians +50.0% and +20.0%) | reached"),
        ((1.0, 0.8), (1.0, 0.7), "0 of 6 (medians -20.0% and -30.0%) | **not reached**"),
        ((0.0, 0.1), (1.0, 1.2), "not run | not run"),
    ],
)
def test_larger_gains_on_cold_items_are_gains_of_all_bases(records, monkeypatch, cold, warm, said):
    """A loss that is smaller is no gain, and nothing is gained over nothing."""
    monkeypatch.setattr(Plugged, "part", lambda _self, _base, part: cold if part is COLD else warm)
    for base in (*BASES, *OTHERS):
        plugged = "tuned" if base == "gcsan" else f"tuned-on-{base}"
        for run in (run_of(base), run_of(MODEL, plugged)):
            write_record(records, run, GOOD)
    assert f"on most bases | {said} |" in written(records)


def test_some_bases_decide_nothing_of_cold_items(records, monkeypatch):
    monkeypatch.setattr(
        Plugged, "part", lambda _self, _base, part: (1.0, 1.5) if part is COLD else (1.0, 1.2)
    )
    for run in (run_of("stamp"), run_of(MODEL, "tuned-on-stamp")):
        write_record(records, run, GOOD)
    assert "on most bases | 1 of 1 (medians +50.0% and +20.0%) | not run |" in written(records)


def test_parts_are_of_items_by_their_training_users(records):
    for run, better in ((run_of("stamp"), [1] * 40), (run_of(MODEL, "tuned-on-stamp"), [0] * 40)):
        write_record(records, run, better)
    study = Study.read([*minimum(), *queue()], records)
    side = Plugged(Sources(study, RankMetrics(records), Comparisons(records)), BEAUTY, "tuned")
    assert side.were_run() == ["stamp"]
    assert side.part("stamp", COLD) == pytest.approx((1 / np.log2(3), 1.0))
    assert side.part("stamp", WARM) is None


def test_tunings_are_shown_with_how_much_they_learned_from(records):
    stages = tuple(
        StageRecord(
            stage=stage, adapter="a", num_examples=n, steps=9, first_loss=2.3, last_loss=1.9, seconds=1.0
        )
        for stage, n in (("alignment", 1_500), ("behaviour", 1_000))
    )
    record = TuningRecord(
        tuning=TUNINGS[0],
        dataset=BEAUTY,
        data="d",
        digest="x",
        decoder="small",
        seed=0,
        settings={},
        stages=stages,
        num_vectors=12_101,
        num_taught=4_000,
        top_k=50,
        hit_rate=0.125,
    )
    write_tuning(record, records.folder.parent / "llmgr")
    row = "small | alignment 1,500; behaviour 1,000 | 2.30 to 1.90; 2.30 to 1.90 | 4,000 | 12.5% of 50 |"
    assert row in written(records)


def test_the_threshold_is_chosen_by_validation_once_all_were_run(records):
    labels = ["text", *(f"text-{rare(most)}" for most in THRESHOLDS)]

    def record(label: str, better: list[int], validation: float) -> None:
        made = write_record(records, run_of(MODEL, label), better)
        validated = made.model_copy(update={"validation": {"ndcg@10": validation}})
        records.save(validated, np.array(better), np.ones(len(better), np.int64))

    for label in labels[:-1]:
        record(label, GOOD, 0.1)
    text = written(records)
    assert "4 of 5 thresholds were run: none is chosen." in text
    assert "**at most" not in text
    record(labels[-1], BAD, 0.2)  # best by validation, not by the test
    text = written(records)
    assert "none is chosen" not in text
    assert f"| **at most {THRESHOLDS[-1]} sessions** | 0.2000 | 0.2500 |" in text


def test_clicks_stand_beside_what_was_published(records):
    run = run_of("gcsan", dataset="session-diginetica-slice")
    write_record(records, run, GOOD)
    text = written(records)
    assert "0.4127 / 0.1881 / 0.2408 |" in text
    assert "| `narm` | not run | not run | not run | not run | not run | not run | 0.3801" in text
