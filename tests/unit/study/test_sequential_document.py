"""What the document of sequential baselines says of records made by hand."""

import pytest
from study_world import write_record

from recommender.registry import find_model, parse_settings
from scripts.study.comparisons import Comparisons
from scripts.study.records import Records
from scripts.study.runs import Run
from scripts.study.sequential import MODELS, PAPERS_LOSSES, minimum, queue
from scripts.study.sequential_document import PUBLISHED, render

BEAUTY, TOYS = "amazon14-beauty", "amazon14-toys"
GOOD, BAD = [0] * 30 + [50] * 10, [0] * 10 + [50] * 30
DECLARED = {run.name: run for run in [*minimum(), *queue()]}


@pytest.fixture
def records(tmp_path) -> Records:
    return Records(tmp_path / "runs")


def run_of(dataset: str, model: str, label: str = "plain") -> Run:
    return DECLARED[f"{dataset}/{model}/{label}/seed-0"]


def written(records: Records) -> str:
    return render(records, Comparisons(records))


def test_every_model_is_declared_once_on_both_data_sets():
    names = [run.name for run in (*minimum(), *queue())]
    assert len(names) == len(set(names))
    least = {run.name for run in minimum()}
    for dataset in (BEAUTY, TOYS):
        assert all(run_of(dataset, *row).name in least for row in MODELS)
        assert all(run_of(dataset, name).name in least for name in ("sasrec", "counting", "popularity"))
        assert run_of(dataset, "isrf", "text-sequential").name in least


def test_models_take_the_settings_of_their_runs():
    for run in DECLARED.values():
        parse_settings(find_model(run.model).config_type, run.settings)
    run = run_of(BEAUTY, "caser", "plain-papers-loss")
    config = parse_settings(find_model("caser").config_type, run.settings)
    assert (config.objective, config.num_negatives, config.epochs) == ("bce", 3, 200)
    assert set(PAPERS_LOSSES) == {"fpmc", "caser", "hgn"}


def test_ours_stand_beside_what_was_published(records):
    write_record(records, run_of(TOYS, "hgn"), GOOD)
    write_record(records, run_of(TOYS, "hgn", "plain-papers-loss"), BAD)
    lines = written(records).splitlines()
    assert (
        "| amazon14-toys | `hgn` | 0.7500 / 0.0321 | 0.7500 / 0.0221 | 0.7500 / 0.0497 | 0.7500 / 0.0277 "
        "| 27.08 |"
    ) in lines
    assert any(
        line.startswith("| amazon14-toys | `hgn`, the paper's loss | 0.2500 / 0.0321 |") for line in lines
    )
    assert any(line.startswith("| amazon14-beauty | `bert4rec` | not run / 0.0203 |") for line in lines)
    assert {len(found) for found in PUBLISHED.values()} == {5}


def test_models_are_compared_with_counting(records):
    for model, better in (("counting", BAD), ("bert4rec", GOOD), ("popularity", BAD)):
        write_record(records, run_of(BEAUTY, model), better)
    write_record(records, run_of(BEAUTY, "fdsa", "text"), BAD)
    lines = written(records).splitlines()
    four = " | ".join(["0.7500"] * 4)
    assert f"| `bert4rec` | {four} | +0.5000 (+0.3500 to +0.6500)** |" in lines
    four = " | ".join(["0.2500"] * 4)
    assert f"| `fdsa` + text | {four} | +0.0000 (+0.0000 to +0.0000) |" in lines
    assert f"| `popularity` | {four} |  |" in lines
    assert any(line.startswith("| `bert4rec` | 10 | 5 |  | 1.0 | 2.0 |") for line in lines)


def test_records_of_earlier_code_have_neither_test_nor_ratio(records):
    write_record(records, run_of(BEAUTY, "counting"), BAD)
    write_record(records, run_of(BEAUTY, "hgn"), GOOD, key="earlier")
    lines = written(records).splitlines()
    assert f"| `hgn` | {' | '.join(['0.7500†'] * 4)} |  |" in lines
    published = next(line for line in lines if line.startswith("| amazon14-beauty | `hgn` |"))
    assert published.endswith("| not run |")


def test_what_was_searched_for_and_what_is_not_as_in_the_files_is_read_from_the_runs(records):
    lines = written(records).splitlines()
    at = lines.index("## Settings")
    rows = {line.split("|")[1].strip(): line for line in lines[at : at + 16] if line.startswith("| `")}
    assert set(rows) == {f"`{model}`" for model in ("sasrec", "isrf", *(name for name, _ in MODELS))}
    assert rows["`sasrec`"] == (
        "| `sasrec` | temperature, dropout | 0.07 | 0.5 | 0 | 0.003 | 200 (file: 40) | 25 |"
    )
    assert rows["`fdsa`"].startswith("| `fdsa` | as `sasrec` | 0.07 | 0.5 | 0 | ")
    assert rows["`isrf`"].startswith(
        "| `isrf` | tried: `learning_rate`, `init_std`, `num_layers`, `text_pace`, "
    )
    assert rows["`isrf`"].endswith("| 10 (file: 25) |")
    assert rows["`hgn`"] == "| `hgn` | nothing | none | 0.3 | 0 | 0.003 | 200 (file: 40) | 10 |"


def test_neither_head_nor_comparison_claims_equal_tuning(records):
    text = written(records)
    assert "none was searched for" not in text
    assert "For SASRec and ISRF settings were searched" in text
    assert "is the loss," not in text
    assert "are legacy figures" in text
