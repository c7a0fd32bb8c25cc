"""What ``generate`` and ``plan`` have in common: their options, and how a prompt and a model are chosen."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from featurestore.errors import UsageError

if TYPE_CHECKING:
    from cli.project import Project
    from llm_jobs.entries import ModelEntry
    from llm_jobs.prompt import Prompt
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


def choose_prompt(project: "Project", name: str | None, max_field_chars: int | None) -> "Prompt":
    """The prompt that was named, here or in the configuration, with its limits applied.

    Raises:
        UsageError: If none was named.
        UnknownNameError: If there is no such prompt.
    """
    from llm_jobs.catalog import find_prompt

    config = project.config.generate
    return find_prompt(_named("prompt", name or config.prompt), project.root).with_limits(
        max_field_chars=max_field_chars or config.max_field_chars, history_size=config.history_size
    )


def choose_model(project: "Project", name: str | None, folder: Path | None) -> "ModelEntry":
    """The model that was named, here or in the configuration.

    Raises:
        UsageError: If none was named.
        UnknownNameError: If there is no such model.
    """
    from llm_jobs.models import find_model

    alias = _named("model", name or project.config.generate.model)
    return find_model(alias, project.config.models, folder=folder, root=project.root)


def choose_spending(
    project: "Project", price: float | None, max_cost: float | None, max_tokens: int | None
) -> "Spending":
    """The price, from the option or the configuration, and the ceilings.

    Raises:
        UsageError: If there is a ceiling on the cost and no price.
    """
    from llm_jobs.spending import Spending

    known = price if price is not None else project.config.generate.price_per_gpu_hour
    return Spending(known, max_cost=max_cost, max_tokens=max_tokens)


def _named(kind: str, name: str | None) -> str:
    if name is None:
        raise UsageError(
            f"no {kind} was named.",
            hint=f"Give --{kind} NAME, or set {kind} under [generate] in featurestore.toml.",
        )
    return name
