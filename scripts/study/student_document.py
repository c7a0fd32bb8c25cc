"""docs/results/students.md: students that learned a teacher's chains, alone and mixed.

All that the page says follows from the record.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from scripts.study.runs import as_lines
from scripts.study.student_record import BEFORE, RECORD, Answers, StudentsRecord
from scripts.study.tables import table

DOCUMENT: Final = RECORD.with_suffix(".md")
_HEAD: Final = """# Students

Written by `python scripts/students.py`: do not edit it by hand. The record is `students.json`; what the
command does is in [tuning.md](../tuning.md#chains-a-student-learns-its-teachers-answers).

`featurestore tune chains` end to end, on a small model and a CPU: LGHRec (arXiv 2505.12396) tunes its
language model on recommendation chains mixed with general instructions, and so does this. The shop is the
demo's, invented by template; its teacher is a rule behind an OpenAI-compatible server; the instructions are
made by template too. The page can say whether the machinery works and what mixing does here. It says nothing
of the quality that real texts and a large teacher would give.
"""


def render(record: StudentsRecord) -> str:
    """The page."""
    pure, mixed = record.students
    parts = [
        _HEAD,
        "## What was learned from\n",
        *_data(record),
        "## Before and after\n",
        *_standings(record),
        *_comparison(pure.name, mixed.name, record),
        "## Items that the teacher never saw\n",
        *_written(record),
        "## Time and machine\n",
        *_times(record),
    ]
    return "\n".join(parts).rstrip() + "\n"


def _data(record: StudentsRecord) -> Iterator[str]:
    passed = record.teacher.get("ok", 0)
    yield (
        f"{record.num_items} items, of which the teacher was asked about {record.num_taught}; {passed} of "
        "its answers passed the checks. The file of `--general` holds "
        f"{record.num_instructions} instructions.\n"
    )
    rows = [
        [
            f"`{each.name}`",
            f"{each.num_chains}",
            f"{each.num_general}",
            f"{each.num_too_long}",
            f"{each.steps}",
            f"{each.first_loss:.3f}",
            f"{each.last_loss:.3f}",
        ]
        for each in record.students
    ]
    yield from table(
        ["student", "chains", "instructions", "too long", "steps", "loss of the first step", "of the last"],
        rows,
    )
    held = record.before
    given = ", ".join(f"`{name}={value}`" for name, value in record.settings.items())
    yield (
        f"Held out: {held.num_chains} chains and {held.num_general} instructions. "
        f"Settings that differ from the defaults: {given}. Nothing was searched for on what is held out.\n"
    )


def _standings(record: StudentsRecord) -> Iterator[str]:
    pure, mixed = record.students
    models = {BEFORE: record.before, pure.name: pure.after, mixed.name: mixed.after}
    rows: list[list[str]] = []
    for name, standing in models.items():
        losses = [f"{standing.chain_loss:.3f}", f"{standing.general_loss:.3f}"]
        rows.append(
            [f"`{name}`", *_answer_cells(standing.answers), *losses, f"{mean(record.others[name]):.3f}"]
        )
    losses = ["loss of chains", "loss of general texts", "of other kinds"]
    yield from table(["model", *_ANSWER_COLUMNS, *losses], rows)
    yield (
        "Answers are greedy, and held to no grammar. *General texts* are held-out instructions of the kinds "
        f"that are mixed in; *other kinds* are {len(record.others[BEFORE])} instructions of kinds that no "
        "student saw. Losses are negative log probabilities per token. One seed.\n"
    )


_ANSWER_COLUMNS: Final = ("valid JSON", "quotes in the data", "passes all checks")


def _answer_cells(answers: Answers) -> list[str]:
    count, found = answers.num_answers, answers.quotes_found
    quotes = "none written" if found is None else f"{found:.3f} of {answers.num_quotes}"
    return [f"{answers.valid_json:.3f}", quotes, f"{answers.passed:.3f} of {count}"]


def _comparison(pure: str, mixed: str, record: StudentsRecord) -> Iterator[str]:
    """What mixing did, from the figures alone."""
    standings = {each.name: each.after for each in record.students}
    yield "### Pure and mixed\n"
    yield from _sentence(
        "General texts of the kinds mixed in",
        record.before.general_loss,
        {name: standing.general_loss for name, standing in standings.items()},
    )
    yield from _sentence(
        "General texts of other kinds",
        mean(record.others[BEFORE]),
        {name: mean(record.others[name]) for name in standings},
    )
    worse = {name: _num_worse(record.others[name], record.others[BEFORE]) for name in (pure, mixed)}
    total = len(record.others[BEFORE])
    yield f"* Of these {total}, {worse[pure]} are less likely after `{pure}`, {worse[mixed]} after `{mixed}`."
    task = {name: standings[name].answers.passed for name in (pure, mixed)}
    more = _word(task[mixed] - task[pure], "more", "fewer", "as many")
    yield (
        f"* Task: {more} answers of `{mixed}` pass all checks ({task[mixed]:.3f}, pure {task[pure]:.3f}); "
        f"the loss of chains is {standings[mixed].chain_loss:.3f}, pure {standings[pure].chain_loss:.3f}.\n"
    )


def _sentence(what: str, before: float, after: Mapping[str, float]) -> Iterator[str]:
    """How the losses of both students stand to that before, and to each other."""
    pure_loss, mixed_loss = after.values()
    moves = ", ".join(f"`{name}` {loss - before:+.3f}" for name, loss in after.items())
    verdict = _word(mixed_loss - pure_loss, "did not help", "helped", "made no difference")
    yield f"* {what}: {before:.3f} before, {moves}. Mixing {verdict} here ({mixed_loss - pure_loss:+.3f})."


def _word(difference: float, above: str, below: str, equal: str) -> str:
    return equal if abs(difference) < _SAME else above if difference > 0 else below


_SAME: Final = 0.0005
"""Differences that three digits do not show."""


def mean(values: Sequence[float]) -> float:
    """The mean."""
    return sum(values) / len(values)


def _num_worse(after: Sequence[float], before: Sequence[float]) -> int:
    return sum(now > then for now, then in zip(after, before, strict=True))


def _written(record: StudentsRecord) -> Iterator[str]:
    new = record.num_items - record.num_taught
    yield (
        f"`featurestore generate --prompt item_semantic_id --model {record.students[1].name}` for the other "
        f"{new} items, asked once each, in a copy of the project per engine.\n"
    )
    rows = [
        [
            f"`{each.model}`",
            f"`{each.engine}`",
            "yes" if each.held_to_grammar else "no",
            *_answer_cells(each.answers),
            _reasons(each.answers.reasons),
            f"{each.output_tokens / each.engine_seconds:.0f}",
        ]
        for each in record.written
    ]
    yield from table(["model", "engine", "grammar", *_ANSWER_COLUMNS, "failures", "tokens/s"], rows)
    yield "Where a grammar holds answers to the schema, valid JSON says nothing of the model.\n"


def _reasons(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(reasons.items()))


def _times(record: StudentsRecord) -> Iterator[str]:
    facts = "; ".join(f"{name}: {value}" for name, value in record.machine.items())
    versions = ", ".join(f"{name} {version}" for name, version in record.libraries.items())
    yield f"{facts}. {versions}. The machine did other work at the same time: times are no benchmark.\n"
    rows = [
        [f"`{step.command}`", f"{step.seconds:,.0f}", f"{step.processor_seconds:,.0f}", f"{step.runs}"]
        for step in record.steps
    ]
    total = [sum(s.seconds for s in record.steps), sum(s.processor_seconds for s in record.steps)]
    rows.append(["all", *(f"{each:,.0f}" for each in total), ""])
    yield from table(["step", "seconds", "processor seconds", "runs"], rows)


def write(record: StudentsRecord, path: Path = RECORD) -> None:
    """Write the record, and the page beside it."""
    path.write_text(as_lines(record), encoding="utf-8")
    path.with_suffix(".md").write_text(render(record), encoding="utf-8")
