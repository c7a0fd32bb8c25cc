"""The record of students that learned a teacher's chains: all that docs/results/students.md says.

``scripts/students.py`` writes it. It keeps its own forms of the command's reports, so that a record outlives
changes of these.
"""

from pathlib import Path
from typing import Final

from featurestore.spec import Frozen
from scripts.study.command_steps import StepTime
from scripts.study.datasets import ROOT

RECORD: Final = ROOT / "docs" / "results" / "students.json"
BEFORE: Final = "before"
"""Stands for the base model where students are named."""


class Answers(Frozen):
    """What answers are worth, see `llm_jobs.tuning.answer_quality.AnswerQuality`."""

    num_answers: int
    valid_json: float
    passed: float
    num_quotes: int
    quotes_found: float | None
    reasons: dict[str, int]


class Standing(Frozen):
    """What a model does with what was held out, see `llm_jobs.tuning.standing.Standing`."""

    answers: Answers
    chain_loss: float
    num_chains: int
    general_loss: float
    num_general: int


class Student(Frozen):
    """One tuning, see `llm_jobs.tuning.chains_job.ChainsReport`."""

    name: str
    adapter: str
    num_chains: int
    num_general: int
    num_too_long: int
    steps: int
    first_loss: float
    last_loss: float
    after: Standing


class Written(Frozen):
    """What a model wrote by ``featurestore generate`` about items that the teacher never saw.

    Attributes:
        model: Who wrote.
        engine: What ran it, with its version and device, as rows of the store name it.
        held_to_grammar: Whether the engine held answers to the schema.
        answers: What they are worth.
        output_tokens: Of all answers.
        engine_seconds: From the engine's readiness to its last answer.
    """

    model: str
    engine: str
    held_to_grammar: bool
    answers: Answers
    output_tokens: int
    engine_seconds: float


class StudentsRecord(Frozen):
    """Everything that the page says.

    Attributes:
        inputs: Digest of items, instructions and settings.
        product: Version.
        base: Alias of the base model.
        machine: Facts in words, by name.
        libraries: Their versions.
        num_items: Of the shop.
        num_taught: Of these, items that the teacher was asked about.
        teacher: ``ok`` or the reason of a failure → answers of the teacher.
        num_instructions: Rows of the file that is mixed in.
        settings: Those of ``tune chains`` that were given.
        before: The base model.
        students: Chains alone, then the mixture.
        others: Model → loss of each instruction of the kinds that nobody learned from.
        written: By engine and model.
        steps: In order.
    """

    inputs: str
    product: str
    base: str
    machine: dict[str, str]
    libraries: dict[str, str]
    num_items: int
    num_taught: int
    teacher: dict[str, int]
    num_instructions: int
    settings: dict[str, str]
    before: Standing
    students: tuple[Student, Student]
    others: dict[str, tuple[float, ...]]
    written: tuple[Written, ...]
    steps: tuple[StepTime, ...]


def read_record(path: Path = RECORD) -> StudentsRecord | None:
    """The record; None if there is none."""
    return StudentsRecord.model_validate_json(path.read_bytes()) if path.exists() else None
