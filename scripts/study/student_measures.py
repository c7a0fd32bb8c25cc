"""What scripts/students.py measures itself: answers in a store, and what a student forgot.

The command ``tune chains`` measures the loss of held-out instructions of the kinds that it mixes in. Whether
a student lost what it never practised is another question, asked here of instructions of other kinds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cli.generation import choose_prompt
from cli.project import open_project
from featurestore import columns as c
from featurestore.adapters import load_adapter
from featurestore.errors import UsageError
from featurestore.features import FeatureRegistry
from featurestore.spec import TextSpec
from featurestore.store import Store
from llm_jobs.engine import Message
from llm_jobs.entity_fields import entity_fields
from llm_jobs.inputs import load_inputs
from llm_jobs.models import find_model
from llm_jobs.prompt import Prompt
from llm_jobs.render import source_text
from llm_jobs.tuning.answer_loss import mean_loss
from llm_jobs.tuning.answer_quality import judge_answers
from llm_jobs.tuning.chain_examples import ChainExample
from llm_jobs.tuning.chains_config import ChainsConfig
from llm_jobs.tuning.lora import attach_adapter, attach_stored
from llm_jobs.tuning.writer import AdaptedWriter, load_writer
from scripts.study import student_instructions


def judge_written(folder: Path, prompt_name: str, model: str, after: str) -> dict[str, Any]:
    """What the stored answers of a model are worth, failed ones by what it wrote.

    Args:
        folder: Of the project.
        prompt_name: A prompt of one stage.
        model: Who wrote them; the last that did.
        after: Only items whose id comes after this one.

    Raises:
        UsageError: If another model wrote the newest texts.
    """
    project = open_project(folder)
    prompt = choose_prompt(project, prompt_name, None)
    head = FeatureRegistry(project.store).head("text", prompt.name, prompt.stages[0].name)
    if not isinstance(head.spec, TextSpec) or head.spec.model.alias != model:
        raise UsageError(f"the newest texts of {prompt.name} are not by {model!r}.")
    asked = list(_questions(project.store, prompt, after))
    ids = [each.entity_id for each in asked]
    rows = {row[c.ID]: row for row in project.store.read(head.table, ids=ids, key=c.ID).to_pylist()}
    texts = [rows[each][c.ANSWER] or rows[each][c.RAW] or "" for each in ids]
    engines = {str(row[c.ENGINE]) for row in rows.values()}
    return {"engine": ", ".join(sorted(engines)), "answers": asdict(judge_answers(prompt, asked, texts))}


def _questions(store: Store, prompt: Prompt, after: str) -> Iterator[ChainExample]:
    """What was asked about items, as far as answers are judged by it."""
    stage, inputs = prompt.stages[0], load_inputs(store, prompt)
    for position, entity_id in enumerate(inputs.ids):
        if entity_id > after:
            shown = entity_fields(prompt, inputs.fields(position)).fields
            yield ChainExample(entity_id, stage, (), "", source_text(prompt, stage, shown, {}))


def losses_of_others(folder: Path, base: str, adapters: Sequence[str]) -> list[list[float]]:
    """The loss of each instruction of other kinds: by the base model, then with each adapter.

    Args:
        folder: Of the project.
        base: Alias of the base model.
        adapters: Digests of adapters in its store.
    """
    project = open_project(folder)
    entry, config = find_model(base, project.config.models), ChainsConfig()
    found: list[list[float]] = []
    for adapter in (None, *adapters):
        writer = load_writer(entry, config)
        if adapter is None:
            network = attach_adapter(writer.network, config, seed=0)  # a new one changes nothing
        else:
            network = attach_stored(writer.network, load_adapter(project.store.objects, adapter).files)
        model = AdaptedWriter(network)
        examples = [
            writer.example((Message("user", row["instruction"]),), row["output"])
            for row in student_instructions.others()
        ]
        found.append([mean_loss(model, [each], batch_size=1) for each in examples])
    return found
