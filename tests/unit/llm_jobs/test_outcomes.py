import json

import pyarrow as pa
from generation_world import item_cot

from featurestore.schema import TEXTS
from llm_jobs.engine import Completion
from llm_jobs.outcomes import Answer, Failure, Tally, judge, outcome_row

_STAGE = item_cot().stages[0]
_GOOD = json.dumps({"reasoning": "It boils.", "summarization": "Tea drinkers."})
_BASE = {"id": "i1", "fingerprint": "f", "attempts": 1, "run_id": "r"}


def _completion(text: str | None, finish: str = "stop", failure: str | None = None) -> Completion:
    return Completion("k", text, finish, 10, 5, 7, failure, "words of the engine")


def test_a_valid_answer_is_kept_without_its_thoughts() -> None:
    verdict = judge(
        _completion(f"Hm, tea.</think>{_GOOD}"), _STAGE, ("<think>", "</think>"), source_text="", system=""
    )
    assert isinstance(verdict, Answer)
    assert verdict.text == "Tea drinkers."
    assert "Hm" not in verdict.canonical


def test_a_rejected_answer_is_shown_without_the_thoughts_before_it() -> None:
    output = 'Where does </think> go?</think>{"reasoning": "x"}'
    verdict = judge(_completion(output), _STAGE, ("<think>", "</think>"), source_text="", system="")
    assert isinstance(verdict, Failure)
    assert verdict.answer == '{"reasoning": "x"}'
    assert verdict.raw == output


def test_a_cut_off_output_is_named_so_whatever_is_wrong_with_it() -> None:
    verdict = judge(_completion("I was about to", "length"), _STAGE, None, source_text="", system="")
    assert verdict == Failure("cut_off", "I was about to", may_pass=True)


def test_engine_failures_keep_their_reason_and_words() -> None:
    too_long = judge(_completion(None, "failed", "prompt_too_long"), _STAGE, None, source_text="", system="")
    assert too_long == Failure("prompt_too_long", "words of the engine", may_pass=False)
    broken = judge(_completion(None, "failed", "engine_error"), _STAGE, None, source_text="", system="")
    assert broken == Failure("engine_error", "words of the engine", may_pass=True)


def test_rows_fit_the_schema() -> None:
    ok = outcome_row(_BASE, Answer("t", "{}"), _completion(_GOOD))
    failed = outcome_row(_BASE, Failure("schema", "raw"), _completion("raw"))
    unasked = outcome_row(_BASE, Failure("upstream_failed"), None)
    rows = [{**row, "id": str(n)} for n, row in enumerate([ok, failed, unasked])]
    table = pa.Table.from_pylist(rows, schema=TEXTS)
    table.validate(full=True)
    assert set(ok) | set(failed) | set(unasked) <= set(TEXTS.names)
    assert table["status"].to_pylist() == ["ok", "failed", "failed"]
    assert table["output_tokens"].to_pylist() == [7, 7, None]


def test_a_budget_counts_answers_of_the_engine_only() -> None:
    tally = Tally()
    for _ in range(15):
        tally.add_row("forward", Failure("schema"), asked=True, replaces=False)
        tally.add_row("fused", Failure("upstream_failed"), asked=False, replaces=False)
    assert not tally.is_over(0.2)
    for _ in range(5):
        tally.add_row("forward", Answer("t", "{}"), asked=True, replaces=True)
    assert tally.is_over(0.2)
    assert not tally.is_over(0.75)
    assert tally.recomputed == 5
    error = tally.budget_error(0.2)
    assert error.message.startswith("15 of 20 answers failed (schema 15): more than the skip budget of 20%")
