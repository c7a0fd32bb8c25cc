"""Prove ``featurestore tune chains`` end to end on the small model: teacher, students, both engines.

    python scripts/students.py
    python scripts/students.py --render-only

It makes a project of an invented shop, lets a rule behind a server answer ``item_semantic_id`` for most
items, tunes a student on chains alone and one on chains mixed with general instructions, and lets the second
write about the other items by transformers and by vLLM. The record goes to docs/results/students.json, the
page beside it. A stopped run goes on where it stopped when it is called again: what is done is kept in
--work, under a digest of all inputs. About 45 minutes of one core; nothing but loopback
is reached.
"""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from featurestore.errors import SetupError
from featurestore.ids import digest
from featurestore.jobs.runcard import library_versions
from featurestore.version import product_version
from scripts.study import student_instructions, student_measures
from scripts.study.command_line import exit_code, new_parser
from scripts.study.command_steps import Steps
from scripts.study.datasets import ROOT
from scripts.study.machine_facts import machine_facts
from scripts.study.student_document import DOCUMENT, render, write
from scripts.study.student_record import (
    BEFORE,
    Standing,
    Student,
    StudentsRecord,
    Written,
    read_record,
)
from scripts.study.student_teacher import MODEL, items, teacher_server
from scripts.study.work import end_on_signals

CACHE: Final = ROOT / ".cache" / "students"
BASE: Final = "smollm2-135m"
NAME: Final = "student"
PROMPT: Final = "item_semantic_id"
ITEMS_PER_CATEGORY: Final = 32
NUM_TAUGHT: Final = 232
LAST_TAUGHT: Final = f"P{NUM_TAUGHT:04}"
SETTINGS: Final = {
    "general_share": "0.4",
    "epochs": "1",
    "batch_size": "1",
    "accumulation": "8",
    "learning_rate": "1e-3",
    "warmup_steps": "3",
    "checkpoint_steps": "5",
}
"""Of ``tune chains``, fixed beforehand; one example at a time takes 4 GB."""
ENGINES: Final = ("transformers", "vllm")
_CONFIG: Final = """\
[ingest]
items = "items.jsonl"

[generate]
# Every first answer counts, and none ends the job.
max_attempts = 1
skip_budget = 1.0

[engine]
max_model_len = 2048
max_num_seqs = 8

[models.{base}]
engine = "{engine}"

[models.teacher]
engine = "openai"
repo = "{teacher}"
base_url = "{url}"
context = 8192
memory_gib = 0.0
disk_gib = 0.0
"""


def configure(project: Path, engine: str, url: str = "http://127.0.0.1:9/v1") -> None:
    """Write a project's configuration: what runs the base model, and where the teacher answers."""
    text = _CONFIG.format(base=BASE, engine=engine, teacher=MODEL, url=url)
    (project / "featurestore.toml").write_text(text, encoding="utf-8")


def write_inputs(project: Path) -> str:
    """Write items and instructions; gives the digest of these and of the settings."""
    rows, general = items(ITEMS_PER_CATEGORY), student_instructions.mixed()
    project.mkdir(parents=True, exist_ok=True)
    for name, lines in (("items.jsonl", rows), ("general.jsonl", general)):
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (project / name).write_text(text, encoding="utf-8")
    return digest([rows, general, student_instructions.others(), SETTINGS, NUM_TAUGHT, BASE])


def teach(steps: Steps, project: Path) -> dict[str, int]:
    """Fill the project's store with the teacher's answers and publish them; gives their outcomes."""
    configure(project, ENGINES[0])
    steps.command(project, ["ingest"])
    with teacher_server() as url:
        configure(project, ENGINES[0], url)
        where = ["--where", f"item_id <= '{LAST_TAUGHT}'"]
        done = steps.command(project, ["generate", "--prompt", PROMPT, "--model", "teacher", *where])
    steps.command(project, ["publish"])
    return done["outcomes"]["text"]


def tune(steps: Steps, project: Path) -> list[dict[str, Any]]:
    """Tune both students; gives what the command reports of each."""
    configure(project, ENGINES[0])
    words = ["tune", "chains", "--texts", PROMPT, "--general", "general.jsonl", "--model", BASE]
    words += ["--name", NAME, "--against-pure"]
    words += [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]
    return steps.command(project, words)["models"]


def write_with(steps: Steps, project: Path, engine: str, model: str) -> Written:
    """Let a model write about the items that the teacher never saw, in the engine's copy of the project."""
    copy = project.with_name(f"{project.name}-{engine}")
    if not copy.exists():
        with tempfile.TemporaryDirectory(dir=project.parent) as scratch:
            shutil.copytree(project, Path(scratch) / copy.name)
            (Path(scratch) / copy.name).replace(copy)
    configure(copy, engine)
    words = ["generate", "--prompt", PROMPT, "--model", model, "--where", f"item_id > '{LAST_TAUGHT}'"]
    done = steps.command(copy, words, note=engine)
    found = steps.kept(
        f"judge {engine} {model}", lambda: student_measures.judge_written(copy, PROMPT, model, LAST_TAUGHT)
    )
    return Written(
        model=model,
        engine=found["engine"],
        held_to_grammar=engine == "vllm",
        answers=found["answers"],
        output_tokens=done["output_tokens"],
        engine_seconds=done["engine_seconds"],
    )


def student_of(report: dict[str, Any]) -> Student:
    """What the record keeps of the command's report."""
    losses = report["tuning"]["losses"]
    return Student(
        name=report["name"],
        adapter=report["adapter"],
        num_chains=report["num_chains"],
        num_general=report["num_general"],
        num_too_long=report["num_too_long"],
        steps=report["tuning"]["steps"],
        first_loss=losses[0],
        last_loss=losses[-1],
        after=Standing.model_validate(report["after"]),
    )


def work(options: argparse.Namespace) -> None:
    """Do what is not done yet, then write the record and the page."""
    if options.render_only:
        if (record := read_record()) is None:
            raise SetupError("there is no record of students.", hint="Run python scripts/students.py first.")
        DOCUMENT.write_text(render(record), encoding="utf-8")
        return
    with tempfile.TemporaryDirectory() as scratch:
        inputs = write_inputs(Path(scratch))
    folder: Path = options.work.resolve() / inputs[:12]
    project = folder / "shop"
    write_inputs(project)
    steps = Steps(folder / "steps.json")
    teacher = teach(steps, project)
    reports = tune(steps, project)
    students = [student_of(report) for report in reports]
    others = steps.kept(
        "loss of instructions of other kinds",
        lambda: student_measures.losses_of_others(project, BASE, [each.adapter for each in students]),
    )
    written = [write_with(steps, project, engine, NAME) for engine in ENGINES]
    written.append(write_with(steps, project, "vllm", BASE))
    record = StudentsRecord(
        inputs=inputs,
        product=product_version(),
        base=BASE,
        machine=machine_facts(),
        libraries=library_versions(),
        num_items=8 * ITEMS_PER_CATEGORY,
        num_taught=NUM_TAUGHT,
        teacher=teacher,
        num_instructions=len(student_instructions.mixed()),
        settings=SETTINGS,
        before=Standing.model_validate(reports[0]["before"]),
        students=(students[0], students[1]),
        others=dict(zip([BEFORE, *(each.name for each in students)], others, strict=True)),
        written=tuple(written),
        steps=steps.times,
    )
    write(record)
    print(f"wrote {DOCUMENT}")


def main() -> int:
    """Parse options, run."""
    parser = new_parser(__doc__)
    parser.add_argument("--work", type=Path, default=CACHE, help="folder of what is done")
    parser.add_argument("--render-only", action="store_true", help="write the page from the record")
    options = parser.parse_args()
    end_on_signals()
    return exit_code(lambda: work(options))


if __name__ == "__main__":
    sys.exit(main())
