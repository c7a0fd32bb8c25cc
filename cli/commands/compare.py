"""``featurestore compare``: two prompts or two models on the same sample, side by side."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.generation import FieldCharsOption, ModelFolderOption, ModelOption, choose_model, choose_prompt
from cli.options import JsonOption, ProjectOption, SeedOption
from cli.report import Reporter

if TYPE_CHECKING:
    from cli.project import Project
    from llm_jobs.compare_result import Comparison
    from llm_jobs.prompt import Prompt


def compare(
    *,
    prompt: Annotated[
        str | None,
        typer.Option(
            "--prompt", "-p", help="Prompt of side A: a name, or a TOML file such as an old version."
        ),
    ] = None,
    model: ModelOption = None,
    prompt_b: Annotated[
        str | None, typer.Option("--prompt-b", help="Prompt of side B; by default that of side A.")
    ] = None,
    model_b: Annotated[
        str | None, typer.Option("--model-b", help="Model alias of side B; by default that of side A.")
    ] = None,
    model_folder: ModelFolderOption = None,
    model_folder_b: Annotated[
        Path | None, typer.Option("--model-folder-b", help="Folder with the weights of side B's model.")
    ] = None,
    sample: Annotated[int, typer.Option("--sample", "-n", min=1, help="Entities at most.")] = 50,
    seed: SeedOption = 0,
    encoder: Annotated[
        str | None,
        typer.Option("--encoder", "-e", help="Encoder of the neighbours; by default the project's."),
    ] = None,
    neighbours: Annotated[
        int, typer.Option("--neighbours", "-k", min=1, help="Neighbours of each entity to compare.")
    ] = 5,
    max_field_chars: FieldCharsOption = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Page to write, replaced if it exists.")] = Path(
        "compare.html"
    ),
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Run two prompts or two models on a seeded sample, and write a page that shows them side by side.

    The store is read and not written. Each side starts its own engine, one after the other.
    """
    from contextlib import closing
    from functools import partial

    from cli.pages import check_page
    from cli.project import open_project
    from llm_jobs.compare import compare as run_compare
    from llm_jobs.compare_page import render_page
    from llm_jobs.compare_result import Contender
    from llm_jobs.encoders import open_encoder
    from llm_jobs.engines import open_model
    from llm_jobs.models import find_encoder

    check_page(out)
    report = Reporter(as_json=as_json)
    opened = open_project(project)
    config = opened.config

    sides = (
        Contender(_choose_prompt(opened, prompt, max_field_chars), choose_model(opened, model, model_folder)),
        Contender(
            _choose_prompt(opened, prompt_b or prompt, max_field_chars),
            choose_model(opened, model_b or model, model_folder_b or (None if model_b else model_folder)),
        ),
    )
    encoder_entry = find_encoder(encoder or config.encode.encoder, config.encoders, root=opened.root)
    with (
        closing(open_encoder(encoder_entry, batch_size=config.encode.batch_size)) as opened_encoder,
        report.run_progress() as progress,
    ):
        done = run_compare(
            opened.store,
            sides,
            open_engine=partial(open_model, options=config.engine),
            encoder=opened_encoder,
            sample=sample,
            seed=seed,
            num_neighbours=neighbours,
            max_attempts=config.generate.max_attempts,
            progress=progress,
        )
    out.write_text(render_page(done), encoding="utf-8")
    _print(report, done)
    report.say(f"the texts side by side: {out}")
    report.result({**done.as_dict(), "page": str(out)})


def _choose_prompt(project: "Project", name: str | None, max_field_chars: int | None) -> "Prompt":
    """The prompt of a name, or of a file."""
    from llm_jobs.prompt import load_prompt

    if name is None or not name.endswith(".toml"):
        return choose_prompt(project, name, max_field_chars)
    config = project.config.generate
    return load_prompt(Path(name)).with_limits(
        max_field_chars=max_field_chars or config.max_field_chars, history_size=config.history_size
    )


def _print(report: Reporter, done: "Comparison") -> None:
    from llm_jobs.compare_result import number_rows

    report.say(f"A: {done.a.contender.name}\nB: {done.b.contender.name}")
    report.table(
        f"{len(done.titles):,} {done.entity}s, sample seed {done.seed}",
        [{"": row.name, "A": row.a, "B": row.b} for row in number_rows(done.a, done.b)],
    )
    report.say(f"equal last texts: {done.num_equal:,}")
    if done.neighbours:
        report.say(
            f"shared among the {done.neighbours.k} nearest neighbours ({done.neighbours.encoder}): "
            f"{done.neighbours.overlap:.0%}"
        )
