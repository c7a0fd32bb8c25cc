"""Two prompts, or two models, on the same sample of entities, before anyone pays for a full run."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from featurestore import columns as c
from featurestore.errors import UsageError
from featurestore.graphs.exact import ExactGraphBuilder
from featurestore.progress import RunProgress, no_run_progress
from featurestore.spec import table_name
from featurestore.store import Store
from llm_jobs.chain import ChainLimits
from llm_jobs.compare_result import Comparison, Contender, Neighbours, Side, StageOutcome
from llm_jobs.compare_sample import copy_entities, draw_ids, entity_titles
from llm_jobs.encoder import TextEncoder
from llm_jobs.engines import OpenModel
from llm_jobs.generate import GenerateOptions, generate
from llm_jobs.models import ModelEntry
from llm_jobs.specs import stage_specs

OpenEngine = Callable[[ModelEntry], AbstractContextManager[OpenModel]]
"""Opens a model for as long as the block lasts."""


def compare(
    store: Store,
    contenders: tuple[Contender, Contender],
    *,
    open_engine: OpenEngine,
    encoder: TextEncoder,
    sample: int,
    seed: int,
    num_neighbours: int = 5,
    max_attempts: int = 1,
    progress: RunProgress = no_run_progress,
) -> Comparison:
    """Run both contenders on the same sample. Reads the store, and writes nothing to it.

    Each side gets an engine of its own, one after the other: neither finds the other's prefixes in its cache.

    Args:
        store: The project's.
        contenders: Who; both over items or both over users.
        open_engine: See `llm_jobs.engines.open_model`.
        encoder: Makes the vectors whose neighbours are compared.
        sample: Entities at most.
        seed: Which entities.
        num_neighbours: Neighbours of each entity that are compared.
        max_attempts: Requests for one answer, the first included.
        progress: Told where each of the two runs stands.

    Raises:
        UsageError: If the contenders are the same, or over different entities.
        InputError: If nothing was ingested.
        SetupError: If an engine cannot start.
    """
    first, second = contenders
    _check(first, second)
    entity = first.prompt.entity
    ids = draw_ids(store, entity, sample, seed)
    limits = ChainLimits(max_attempts=max_attempts, skip_budget=1.0)
    sides: list[Side] = []
    for contender in contenders:
        with open_engine(contender.entry) as model:
            sides.append(_run(store, contender, model, ids, limits=limits, progress=progress))
    return Comparison(
        entity=entity,
        seed=seed,
        titles=entity_titles(store, entity, ids),
        a=sides[0],
        b=sides[1],
        neighbours=_neighbours(sides[0], sides[1], ids, encoder, num_neighbours),
    )


def _check(first: Contender, second: Contender) -> None:
    if first.prompt.entity != second.prompt.entity:
        raise UsageError(
            f"prompt {first.prompt.name!r} describes {first.prompt.entity}s and {second.prompt.name!r} "
            f"{second.prompt.entity}s: they have no entity in common.",
            hint="Compare two prompts over items, or two over users.",
        )
    if first.prompt.digest == second.prompt.digest and first.entry == second.entry:
        raise UsageError(
            f"both sides are {first.name}: there is nothing to compare.",
            hint="Name another prompt with --prompt-b (a file will do) or another model with --model-b.",
        )


def _run(
    store: Store,
    contender: Contender,
    model: OpenModel,
    ids: Sequence[str],
    *,
    limits: ChainLimits,
    progress: RunProgress,
) -> Side:
    prompt = contender.prompt
    copy = copy_entities(store, prompt, ids)
    with tempfile.TemporaryDirectory() as folder:
        report = generate(
            copy,
            prompt,
            model,
            options=GenerateOptions(limits=limits),
            work_folder=Path(folder),
            progress=progress,
        )
    outcomes: dict[str, list[StageOutcome]] = {entity_id: [] for entity_id in ids}
    for spec in stage_specs(prompt, model.entry, model.spec):
        for row in copy.read(table_name(spec)).to_pylist():
            outcomes[row[c.ID]].append(_outcome(spec.view, row))
    return Side(
        contender,
        model.engine.info.engine_class,
        report,
        {entity_id: tuple(rows) for entity_id, rows in outcomes.items()},
    )


def _outcome(stage: str, row: Mapping[str, Any]) -> StageOutcome:
    return StageOutcome(
        stage=stage,
        text=row[c.TEXT],
        reason=row[c.REASON],
        raw=row[c.RAW],
        prompt_tokens=row[c.PROMPT_TOKENS] or 0,
        cached_tokens=row[c.CACHED_TOKENS] or 0,
        output_tokens=row[c.OUTPUT_TOKENS] or 0,
        flags=tuple(row[c.FLAGS] or ()),
    )


def _neighbours(
    a: Side, b: Side, ids: Sequence[str], encoder: TextEncoder, num_neighbours: int
) -> Neighbours | None:
    common = [i for i in ids if a.text(i) is not None and b.text(i) is not None]
    k = min(num_neighbours, len(common) - 1)
    if k < 1:
        return None
    by_a, by_b = (_nearest(common, [side.text(i) or "" for i in common], encoder, k) for side in (a, b))
    shared = sum(len(set(by_a[i]) & set(by_b[i])) for i in common)
    return Neighbours(encoder.spec.name, k, (by_a, by_b), shared / (k * len(common)))


def _nearest(
    ids: list[str], texts: Sequence[str], encoder: TextEncoder, k: int
) -> dict[str, tuple[str, ...]]:
    lists = ExactGraphBuilder().build(encoder.encode(texts), k).neighbors
    return {
        entity_id: tuple(ids[n] for n in row if n >= 0) for entity_id, row in zip(ids, lists, strict=True)
    }
