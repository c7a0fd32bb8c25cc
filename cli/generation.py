"""What ``generate`` and ``plan`` have in common: their options, and how a prompt and a model are chosen."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from featurestore.errors import UsageError

if TYPE_CHECKING:
    from cli.project import Project
    from llm_jobs.entries import ModelEntry
    from llm_jobs.job_graph import UpstreamJob
    from llm_jobs.prompt import Prompt
    from llm_jobs.runner import Runner
    from llm_jobs.spending import Spending

PromptOption: TypeAlias = Annotated[
    str | None, typer.Option("--prompt", "-p", help="Prompt to run; see `featurestore prompts ls`.")
]
ModelOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--model", "-m", help="Model alias; `echo` answers at once, without a model."),
]
ModelFolderOption: TypeAlias = Annotated[
    Path | None, typer.Option("--model-folder", help="Folder with the model's weights and tokenizer.")
]
LimitOption: TypeAlias = Annotated[
    int | None, typer.Option("--limit", "-n", min=1, help="Entities at most, the first in id order.")
]
WhereOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--where", help="Only entities that meet this SQL condition on their columns and `degree`."),
]
OnlyFailedOption: TypeAlias = Annotated[bool, typer.Option("--only-failed", help="Retry failed rows only.")]
EventsOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--events",
        help="Events that a prompt over users reads: train+valid, or log:2014-07-01 for all before that day. "
        "The texts are a feature of their own; by default train, and the prompt's name.",
    ),
]
FieldCharsOption: TypeAlias = Annotated[
    int | None,
    typer.Option("--max-field-chars", min=16, help="Characters of each written field at most."),
]
PriceOption: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--price-per-gpu-hour",
        min=0.0,
        help="Price of one GPU, or of a machine without one, for an hour, in any currency.",
    ),
]
MaxCostOption: TypeAlias = Annotated[
    float | None,
    typer.Option("--max-cost", min=0.0, help="Refuse a plan that costs more (exit code 11); needs a price."),
]
MaxTokensOption: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--max-tokens", min=0, help="Refuse a plan of more prompt and output tokens (exit code 11)."
    ),
]
RunnerOption: TypeAlias = Annotated[
    Literal["local", "ray"],
    typer.Option("--runner", help="Where the engines run: in this process, or on a Ray cluster."),
]
NumEnginesOption: TypeAlias = Annotated[
    int, typer.Option("--num-engines", min=1, help="Engines that share the work, with --runner ray.")
]
GpusPerEngineOption: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--gpus-per-engine",
        min=0,
        help="GPUs of each engine, with --runner ray; by default 1 if the cluster has any.",
    ),
]
ShardSizeOption: TypeAlias = Annotated[
    int | None,
    typer.Option("--shard-size", min=1, help="Entities that an engine gets at a time, with --runner ray."),
]


def choose_prompt(project: "Project", name: str | None, max_field_chars: int | None) -> "Prompt":
    """The prompt that was named, here or in the configuration, with its limits applied.

    Raises:
        UsageError: If none was named.
        UnknownNameError: If there is no such prompt.
    """
    from llm_jobs.catalog import find_prompt

    config = project.config.generate
    prompt = find_prompt(_named("prompt", name or config.prompt), project.root)
    return prompt.with_user_written(project.config.privacy.user_written).with_limits(
        max_field_chars=max_field_chars or config.max_field_chars, history_size=config.history_size
    )


def choose_events(project: "Project", prompt: "Prompt", events: str | None) -> "Prompt":
    """The prompt over the events that were named, see `EventsOption`.

    Raises:
        UsageError: If the words name no events, or the prompt reads none.
    """
    from featurestore.point_in_time import wanted_event_set
    from featurestore.splits import current_split

    return (
        prompt
        if events is None
        else prompt.with_events(wanted_event_set(events, current_split(project.store)))
    )


def choose_model(project: "Project", name: str | None, folder: Path | None) -> "ModelEntry":
    """The model that was named, here or in the configuration.

    Raises:
        UsageError: If none was named.
        UnknownNameError: If there is no such model.
    """
    return _find_model(project, _named("model", name or project.config.generate.model), folder)


def choose_upstream(
    project: "Project", prompt: "Prompt", entry: "ModelEntry", max_field_chars: int | None
) -> "tuple[UpstreamJob, ...]":
    """The jobs whose texts the prompt reads, those first that others build on.

    Raises:
        UsageError: If prompts read each other in a circle.
    """
    from llm_jobs.job_graph import upstream_jobs

    def find_known(alias: str) -> "ModelEntry":
        return entry if alias == entry.alias else _find_model(project, alias, None)

    def find_shortened(name: str) -> "Prompt":
        return choose_prompt(project, name, max_field_chars)

    return upstream_jobs(project.store, prompt, entry, find_shortened, find_known)


def choose_runner(
    project: "Project",
    entry: "ModelEntry",
    name: Literal["local", "ray"],
    *,
    num_engines: int,
    gpus_per_engine: int | None,
    shard_size: int | None,
) -> "Runner | None":
    """The runner that was named; None stands for this process.

    Args:
        project: The project.
        entry: Who writes.
        name: ``local`` or ``ray``.
        num_engines: See `NumEnginesOption`.
        gpus_per_engine: See `GpusPerEngineOption`.
        shard_size: See `ShardSizeOption`.

    Raises:
        UsageError: If the store cannot be reached from elsewhere, or options for many engines go to one.
    """
    if name == "local":
        if num_engines > 1:
            raise UsageError(
                f"{num_engines} engines do not run in one process.",
                hint="Add --runner ray, or leave out --num-engines.",
            )
        if gpus_per_engine is not None or shard_size is not None:
            raise UsageError(
                "--gpus-per-engine and --shard-size are for many engines.",
                hint="Add --runner ray, or leave them out; [engine] in featurestore.toml is for one engine.",
            )
        return None
    from llm_jobs.engines import open_model
    from llm_jobs.runners.ray_data import RayOptions, RayRunner
    from llm_jobs.shards import DEFAULT_SHARD_SIZE

    return RayRunner(
        project.store_uri,
        partial(open_model, entry, options=project.config.engine),
        RayOptions(
            num_engines=num_engines,
            shard_size=shard_size or DEFAULT_SHARD_SIZE,
            gpus_per_engine=0 if entry.engine in {"echo", "openai"} else gpus_per_engine,
        ),
    )


def choose_spending(
    project: "Project",
    price: float | None,
    max_cost: float | None,
    max_tokens: int | None,
    *,
    num_engines: int = 1,
    gpus_per_engine: int | None = None,
) -> "Spending":
    """The price, from the option or the configuration, and the ceilings.

    Args:
        project: The project; its ``[engine]`` section says how many GPUs an engine takes.
        price: See `PriceOption`.
        max_cost: See `MaxCostOption`.
        max_tokens: See `MaxTokensOption`.
        num_engines: See `NumEnginesOption`.
        gpus_per_engine: See `GpusPerEngineOption`.

    Raises:
        UsageError: If there is a ceiling on the cost and no price.
    """
    from llm_jobs.spending import Spending

    known = price if price is not None else project.config.generate.price_per_gpu_hour
    engine = project.config.engine
    own = engine.tensor_parallel_size * engine.data_parallel_size
    num_gpus = num_engines * max(1, gpus_per_engine or own)
    return Spending(known, num_gpus, max_cost=max_cost, max_tokens=max_tokens)


def _find_model(project: "Project", alias: str, folder: Path | None) -> "ModelEntry":
    """The model of an alias; where there is none, the one that this store's own tuning gave that name."""
    from featurestore.tuned_models import find_tuned
    from llm_jobs.models import find_model, load_models
    from llm_jobs.tuned_models import tuned_entry

    own = project.config.models
    tuned = None if alias in load_models(own) else find_tuned(project.store.objects, alias)
    if tuned is None:
        return find_model(alias, own, folder=folder, root=project.root)
    return tuned_entry(
        project.store.objects,
        alias,
        tuned,
        project=own,
        folder=folder,
        root=project.root,
        adapters=project.work_folder / "adapters",
    )


def _named(kind: str, name: str | None) -> str:
    if name is None:
        raise UsageError(
            f"no {kind} was named.",
            hint=f"Give --{kind} NAME, or set {kind} under [generate] in featurestore.toml.",
        )
    return name
