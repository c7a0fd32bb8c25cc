"""``featurestore tune llmgr``: a decoder as the semantic engine of session graphs, stage by stage."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cli.adapter_option import check_beside_adapter
from cli.options import JsonOption, ProjectOption, ReleaseOption, SeedOption
from cli.pages import check_page
from cli.report import Reporter
from cli.settings import ListSettingsOption, SetOption, parse_pairs, show_settings
from featurestore.errors import UsageError, missing_extra

if TYPE_CHECKING:
    from cli.project import Project
    from featurestore.progress import Progress
    from featurestore.reader import Release
    from llm_jobs.tuning.llmgr_config import LlmgrConfig, Stage
    from llm_jobs.tuning.llmgr_job import LlmgrReport, Tuned
    from llm_jobs.tuning.recmind_adapters import StoredSide


_OF_TUNING: Final = ("stage", "start", "base", "vectors", "teacher", "lists", "top_k", "seed", "release")
"""What `--adapter` does not read."""


@dataclass(frozen=True, slots=True)
class _Lists:
    """Lists that are wanted of a stage with sessions."""

    teacher: Path | None
    stored: str | None
    top_k: int

    @property
    def is_none(self) -> bool:
        return self.teacher is None and self.stored is None


def llmgr(
    context: typer.Context,
    *,
    items: Annotated[
        str | None, typer.Option("--items", help="Text feature of items that holds their titles.")
    ] = None,
    vectors: Annotated[
        str,
        typer.Option("--vectors", help="Vector feature of items, as `featurestore vectors` stored it."),
    ] = "gcsan",
    stage: Annotated[
        str,
        typer.Option(
            "--stage",
            help="alignment (which node is a title of; then vectors of all titles), behaviour (what comes "
            "next in a session), or joint (both at once).",
        ),
    ] = "alignment",
    start: Annotated[
        str | None,
        typer.Option("--start", help="First characters of the adapter to begin at, such as alignment's."),
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option("--base", help="Folder of the model that the vectors are of, for graphs of sessions."),
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option("--teacher", help="After a stage with sessions: file for its lists, to learn from."),
    ] = None,
    lists: Annotated[
        str | None,
        typer.Option("--lists", help="After a stage with sessions: store lists of all users by this name."),
    ] = None,
    top_k: Annotated[int, typer.Option("--top-k", "-k", min=1, help="Items of a list.")] = 50,
    encoder: Annotated[
        str | None,
        typer.Option("--encoder", "-e", help="Alias of the decoder to tune; by default the project's."),
    ] = None,
    encoder_folder: Annotated[
        Path | None, typer.Option("--encoder-folder", help="Folder with the decoder's weights.")
    ] = None,
    name: Annotated[str, typer.Option("--name", help="Vector feature to write.")] = "llmgr",
    adapter: Annotated[
        str | None,
        typer.Option(
            "--adapter",
            help="First characters of a stored adapter: tune nothing, and encode the newest titles that have "
            "no vector by it.",
        ),
    ] = None,
    settings: SetOption = None,
    seed: SeedOption = 0,
    list_settings: ListSettingsOption = False,
    release: ReleaseOption = "production",
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Teach a decoder which node a title is of, then what comes next in sessions of nodes.

    Reads titles, vectors and training sessions of a release. A tuning that was stopped goes on when the
    command is run again. What it writes is read without any language model.
    """
    reporter = Reporter(as_json=as_json)
    values = parse_pairs(settings or [])
    chosen, config = _settings(stage, values)
    if list_settings:
        show_settings(reporter, f"llmgr, stage {stage}", type(config))
        return
    wanted = _Lists(teacher, lists, top_k)
    check_beside_adapter(context, adapter, settings=values, without_effect=_OF_TUNING)
    _check(items, chosen, name, wanted)
    from cli.project import open_project
    from featurestore.reader import FeatureStore
    from llm_jobs.models import find_encoder
    from llm_jobs.tuning.llmgr_job import tune_llmgr
    from llm_jobs.tuning.llmgr_sources import LlmgrSources
    from llm_jobs.tuning.llmgr_titles import apply_titles
    from recommender.saved import load_model

    opened = open_project(project)
    entry = find_encoder(
        encoder or opened.config.encode.encoder,
        opened.config.encoders,
        folder=encoder_folder,
        root=opened.root,
    )
    assert items is not None
    with reporter.progress(f"tune {name}") as progress:
        if adapter is not None:
            digest, stored = apply_titles(
                opened.store,
                items,
                name=name,
                entry=entry,
                adapter=adapter,
                device=config.device,
                progress=progress,
            )
            report = _nothing_tuned(chosen, digest, stored)
        else:
            titles = None if chosen == "behaviour" else name
            opened_release = FeatureStore(opened.store).release(release)
            report = tune_llmgr(
                opened.store,
                opened_release,
                LlmgrSources(items, vectors, name, None if base is None else load_model(base)),
                stage=chosen,
                entry=entry,
                config=config,
                seed=seed,
                work_folder=opened.work_folder,
                then=_afterwards(opened, opened_release, wanted, titles=titles, progress=progress),
                start=start,
                progress=progress,
            )
    _print(reporter, report, wanted)
    reporter.result(_data(report, wanted))


def _settings(stage: str, values: dict[str, str]) -> "tuple[Stage, LlmgrConfig]":
    try:
        from llm_jobs.tuning.llmgr_config import CONFIGS, LlmgrConfig, find_stage
        from recommender.registry import parse_settings
    except ModuleNotFoundError as error:
        raise missing_extra(error.name or "torch", "train") from error
    found = find_stage(stage)
    config = parse_settings(CONFIGS[found], values)
    assert isinstance(config, LlmgrConfig)
    return found, config


def _check(items: str | None, stage: str, name: str, wanted: _Lists) -> None:
    """Refuse what would be refused when tuning has ended."""
    from featurestore.names import require_name

    if items is None:
        raise UsageError(
            "--items must name the text feature that holds titles.",
            hint="Such as --items item_text. List what the store holds with: featurestore ls",
        )
    if stage == "alignment" and not wanted.is_none:
        raise UsageError(
            "--teacher and --lists are of sessions, which the stage alignment does not read.",
            hint="Take --stage behaviour, with --start and the digest of alignment's adapter.",
        )
    require_name(name, "a feature")
    if wanted.stored is not None:
        require_name(wanted.stored, "a feature")
    if wanted.teacher is not None:
        check_page(wanted.teacher)


def _afterwards(
    project: "Project",
    release: "Release",
    wanted: _Lists,
    *,
    titles: str | None,
    progress: "Progress",
) -> "Callable[[Tuned], tuple[StoredSide, ...]]":
    """What is made of a tuned decoder: vectors of titles by a name, or none, and lists."""
    from llm_jobs.tuning.llmgr_lists import UserLists, write_teacher
    from llm_jobs.tuning.llmgr_titles import title_writer
    from recommender.generative.job import write_lists

    def then(tuned: "Tuned") -> "tuple[StoredSide, ...]":
        stored = () if titles is None else title_writer(project.store, titles, progress)(tuned)
        if wanted.teacher is not None:
            write_teacher(tuned, wanted.teacher, top_k=wanted.top_k, progress=progress)
        if wanted.stored is not None:
            write_lists(
                project.store,
                UserLists.of(tuned, release, top_k=wanted.top_k),
                release,
                name=wanted.stored,
                model_digest=tuned.adapter.digest,
                top_k=wanted.top_k,
                logs=project.work_folder / "logs",
                progress=progress,
            )
        return stored

    return then


def _nothing_tuned(stage: "Stage", digest: str, stored: "StoredSide") -> "LlmgrReport":
    from llm_jobs.tuning.llmgr_job import LlmgrReport

    return LlmgrReport(stage, digest, None, 0, (stored,))


def _print(reporter: Reporter, report: "LlmgrReport", wanted: _Lists) -> None:
    tuning = report.tuning
    if tuning is not None:
        resumed = f", {tuning.resumed_at} of them by an earlier run" if tuning.resumed_at else ""
        reporter.say(
            f"{report.stage}: {report.num_examples:,} examples in {tuning.steps:,} steps{resumed}; "
            f"loss {tuning.losses[0]:.4f} to {tuning.losses[-1]:.4f}"
        )
    reporter.say(f"adapter {report.adapter[:16]}")
    for side in report.stored:
        reporter.say(
            f"{side.spec.feature}.{side.spec.view}: {side.num_texts:,} vectors in {side.table}, "
            f"{side.num_written:,} of them new"
        )
    if wanted.teacher is not None:
        reporter.say(f"lists of a teacher in {wanted.teacher}")
    if wanted.stored is not None:
        reporter.say(f"lists of all users as {wanted.stored}")
    reporter.say("`featurestore publish` releases what is in the store.")


def _data(report: "LlmgrReport", wanted: _Lists) -> dict[str, object]:
    return {
        "stage": report.stage,
        "adapter": report.adapter,
        "tuning": report.tuning and asdict(report.tuning),
        "num_examples": report.num_examples,
        "teacher": None if wanted.teacher is None else str(wanted.teacher),
        "lists": wanted.stored,
        "stored": [
            {
                "feature": side.spec.feature,
                "view": side.spec.view,
                "table": side.table,
                "digest": side.spec.digest,
                "num_texts": side.num_texts,
                "num_written": side.num_written,
            }
            for side in report.stored
        ],
    }
