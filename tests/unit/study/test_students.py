"""The script that proves ``tune chains``: its shop, teacher, instructions, steps and page."""

import json
import math
import urllib.error
import urllib.request
from collections import Counter

import pytest

from featurestore.errors import SetupError
from llm_jobs.catalog import find_prompt
from llm_jobs.entity_fields import entity_fields
from llm_jobs.parse import ParsedAnswer, parse_answer
from llm_jobs.render import conversation, source_text
from llm_jobs.tuning.chains_config import ChainsConfig
from llm_jobs.tuning.general_set import read_instructions
from recommender.registry import parse_settings
from scripts import students
from scripts.study.command_steps import Steps, StepTime
from scripts.study.student_document import render
from scripts.study.student_instructions import mixed, others
from scripts.study.student_record import (
    BEFORE,
    Answers,
    Standing,
    Student,
    StudentsRecord,
    Written,
)
from scripts.study.student_teacher import MODEL, answer, items, teacher_server

_EVERY = 5
"""Every fifth item goes round all categories."""


def questions():
    """(question, stage, source, system) of some items."""
    prompt = find_prompt(students.PROMPT, None)
    stage = prompt.stages[0]
    for row in items(students.ITEMS_PER_CATEGORY)[::_EVERY]:
        shown = entity_fields(prompt, row).fields
        messages = conversation(prompt, stage, shown, {})
        yield messages[-1].content, stage, source_text(prompt, stage, shown, {}), prompt.system


def test_the_teacher_passes_the_checks_of_the_prompt():
    answers = []
    for question, stage, source, system in questions():
        parsed = parse_answer(json.dumps(answer(question)), stage, source_text=source, system=system)
        assert isinstance(parsed, ParsedAnswer), parsed
        answers.append(parsed.answer)
    assert len(answers) >= 50
    assert {len(each["CoT"]) for each in answers} == {4}
    assert len({each["CoT"][0]["quote"] for each in answers}) > 20
    assert len({each["CoT"][1]["characteristic"] for each in answers}) == 8


def test_the_shop_is_as_big_as_the_script_says():
    rows = items(students.ITEMS_PER_CATEGORY)
    ids = [row["item_id"] for row in rows]
    assert len(rows) == 8 * students.ITEMS_PER_CATEGORY == len({row["description"] for row in rows})
    assert sum(each <= students.LAST_TAUGHT for each in ids) == students.NUM_TAUGHT
    held_out = math.ceil(students.NUM_TAUGHT * ChainsConfig().held_out_share)
    assert students.NUM_TAUGHT - held_out >= 200
    new = Counter(row["categories"] for row in rows if row["item_id"] > students.LAST_TAUGHT)
    assert set(new.values()) == {3}


def test_the_teacher_answers_behind_a_server():
    question, *_ = next(questions())
    with teacher_server() as url:
        with urllib.request.urlopen(f"{url}/models", timeout=10) as response:
            assert json.load(response)["data"][0]["id"] == MODEL
        body = json.dumps({"messages": [{"role": "user", "content": question}]}).encode()
        with urllib.request.urlopen(f"{url}/chat/completions", body, timeout=10) as response:
            said = json.load(response)["choices"][0]["message"]["content"]
        other = json.dumps({"messages": [{"content": "<data>\ntitle: Moon\n</data>"}]}).encode()
        with pytest.raises(urllib.error.HTTPError, match="400") as refused:
            urllib.request.urlopen(f"{url}/chat/completions", other, timeout=10)
        refused.value.close()
    assert json.loads(said) == answer(question)


def test_instructions_are_enough_and_of_other_kinds_than_the_controls(tmp_path):
    file = tmp_path / "general.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in mixed()), encoding="utf-8")
    assert len(read_instructions(file)) == len(mixed())
    config = parse_settings(ChainsConfig, students.SETTINGS)
    share, held_out = config.general_share, config.held_out_share
    learned = students.NUM_TAUGHT - math.ceil(students.NUM_TAUGHT * held_out)
    there = len(mixed()) - math.ceil(len(mixed()) * held_out)
    assert there >= round(learned * share / (1 - share)), "or the share is not reached"
    starts = {" ".join(row["instruction"].split()[:2]) for row in others()}
    assert starts == {"What is", "Explain why"}
    assert len(others()) == len({row["instruction"] for row in others()}) == 24
    assert not any(row["instruction"].startswith(("What is a", "Explain")) for row in mixed())


@pytest.mark.parametrize("row", mixed()[:9], ids=lambda row: row["instruction"][:20])
def test_instructions_are_answered_rightly(row):
    words = row["input"].split(", ")
    right = {
        "Sort these words in alphabetical order.": ", ".join(sorted(words)),
        "Which of these words comes last in the alphabet?": max(words),
        "Write these words in capital letters.": row["input"].upper(),
        "Write these words in the opposite order.": ", ".join(words[::-1]),
    }
    if row["input"]:
        assert row["output"] == right[row["instruction"]]
    elif " plus " in row["instruction"]:
        first, second = (int(word) for word in row["instruction"].strip("?").split() if word.isdecimal())
        assert row["output"].endswith(f"is {first + second}.")
    else:
        assert row["output"].endswith(".")


def test_steps_are_done_once_and_go_on_after_a_stop(tmp_path):
    journal = tmp_path / "steps.json"

    def stopped():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Steps(journal).kept("tune", stopped)
    assert Steps(journal).kept("tune", lambda: {"x": 1}) == {"x": 1}
    again = Steps(journal)
    assert again.kept("tune", stopped) == {"x": 1}
    [step] = again.times
    assert (step.command, step.runs) == ("tune", 2)


def test_a_command_that_fails_is_named(tmp_path):
    with pytest.raises(SetupError, match=r'`featurestore ingest --x "a b"` ended with exit code 2'):
        Steps(tmp_path / "steps.json").command(tmp_path, ["ingest", "--x", "a b"])


def standing(chain_loss: float, general_loss: float, passed: float) -> Standing:
    answers = Answers(
        num_answers=4, valid_json=0.5, passed=passed, num_quotes=8, quotes_found=0.75, reasons={"schema": 2}
    )
    return Standing(
        answers=answers, chain_loss=chain_loss, num_chains=4, general_loss=general_loss, num_general=3
    )


def record(mixed_loss: float = 1.5, pure_loss: float = 2.5) -> StudentsRecord:
    def tuned(name: str, num_general: int, after: Standing) -> Student:
        return Student(
            name=name,
            adapter="ad",
            num_chains=9,
            num_general=num_general,
            num_too_long=0,
            steps=3,
            first_loss=2.0,
            last_loss=1.0,
            after=after,
        )

    after = standing(1.0, pure_loss, 0.5)
    return StudentsRecord(
        inputs="d",
        product="0",
        base="tiny",
        machine={"processor": "one"},
        libraries={"torch": "2"},
        num_items=20,
        num_taught=16,
        teacher={"ok": 15, "schema": 1},
        num_instructions=12,
        settings={"epochs": "1"},
        before=standing(3.0, 2.0, 0.0),
        students=(tuned("student-pure", 0, after), tuned("student", 6, standing(1.1, mixed_loss, 0.75))),
        others={BEFORE: (2.0, 2.0), "student-pure": (2.5, 1.0), "student": (2.0, 1.5)},
        written=(
            Written(
                model="student",
                engine="vllm-1-cpu",
                held_to_grammar=True,
                answers=after.answers,
                output_tokens=100,
                engine_seconds=4.0,
            ),
        ),
        steps=(StepTime(command="featurestore ingest", seconds=2.0, processor_seconds=1.0, runs=1),),
    )


def test_the_page_says_what_the_figures_say():
    page = render(record())
    assert "| `student` | 0.500 | 0.750 of 8 | 0.750 of 4 | 1.100 | 1.500 | 1.750 |" in page
    assert "2.000 before, `student-pure` +0.500, `student` -0.500. Mixing helped here (-1.000)." in page
    assert "2.000 before, `student-pure` -0.250, `student` -0.250. Mixing made no difference here" in page
    assert "Of these 2, 1 are less likely after `student-pure`, 0 after `student`" in page
    assert "more answers of `student` pass all checks (0.750, pure 0.500)" in page
    assert "| `student` | `vllm-1-cpu` | yes | 0.500 | 0.750 of 8 | 0.500 of 4 | schema 2 | 25 |" in page
    assert "15 of its answers passed the checks" in page


def test_mixing_that_does_not_help_is_said():
    assert "Mixing did not help here (+0.400)" in render(record(mixed_loss=2.9))
