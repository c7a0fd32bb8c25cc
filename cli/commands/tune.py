"""``featurestore tune``: adapt language models and encoders to what recommenders know."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.adapter_option import check_beside_adapter
from cli.options import JsonOption, ProjectOption, ReleaseOption, SeedOption
from cli.report import Reporter
from cli.settings import ListSettingsOption, SetOption, parse_pairs, show_settings
from cli.tune_chains import chains
from cli.tune_llmgr import llmgr
from featurestore.errors import UsageError, missing_extra

if TYPE_CHECKING:
    from featurestore.spec import Entity
    from llm_jobs.tuning.recmind_adapters import RecmindReport

group = typer.Typer(
    help="Tune adapters of language models and encoders.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


group.command("chains")(chains)
group.command("llmgr")(llmgr)


@group.command("recmind")
def recmind(
    context: typer.Context,
    *,
    items: Annotated[
        str | None,
        typer.Option("--items", help="Text feature of items, such as item_text or item_cot.fused."),
    ] = None,
    users: Annotated[
        str | None, typer.Option("--users", help="Text feature of users, such as user_cot.fused.")
    ] = None,
    vectors: Annotated[
        str,
        typer.Option("--vectors", help="Vector feature to agree with, as `featurestore vectors` stored it."),
    ] = "lightgcn",
    encoder: Annotated[
        str | None,
        typer.Option("--encoder", "-e", help="Alias of the encoder to tune; by default the project's."),
    ] = None,
    encoder_folder: Annotated[
        Path | None, typer.Option("--encoder-folder", help="Folder with the encoder's weights.")
    ] = None,
    name: Annotated[str, typer.Option("--name", help="Vector feature to write.")] = "recmind",
    adapter: Annotated[
        str | None,
        typer.Option(
            "--adapter",
            help="First characters of a stored adapter: tune nothing, and encode the newest texts that have "
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
    """Align texts with a graph's vectors: a LoRA adapter and a projection, then vectors of all texts.

    Reads texts and vectors of a release. A tuning that was stopped goes on when the command is run again.
    """
    reporter = Reporter(as_json=as_json)
    try:
        from llm_jobs.tuning.alignment import AlignmentConfig
        from llm_jobs.tuning.recmind_adapters import RecmindSources, apply_recmind, tune_recmind
        from recommender.registry import parse_settings
    except ModuleNotFoundError as error:
        raise missing_extra(error.name or "torch", "train") from error
    if list_settings:
        show_settings(reporter, "recmind", AlignmentConfig)
        return
    from cli.project import open_project
    from featurestore.reader import FeatureStore
    from llm_jobs.models import find_encoder

    values = parse_pairs(settings or [])
    config = parse_settings(AlignmentConfig, values)
    assert isinstance(config, AlignmentConfig)
    check_beside_adapter(context, adapter, settings=values, without_effect=("vectors", "seed", "release"))
    opened = open_project(project)
    entry = find_encoder(
        encoder or opened.config.encode.encoder,
        opened.config.encoders,
        folder=encoder_folder,
        root=opened.root,
    )
    sources = RecmindSources(_texts(items, users), vectors, name)
    with reporter.progress(f"tune {name}") as progress:
        if adapter is not None:
            report = apply_recmind(
                opened.store, sources, entry=entry, adapter=adapter, device=config.device, progress=progress
            )
        else:
            report = tune_recmind(
                opened.store,
                FeatureStore(opened.store).release(release),
                sources,
                entry=entry,
                config=config,
                seed=seed,
                work_folder=opened.work_folder,
                progress=progress,
            )
    _print(reporter, report)
    reporter.result(_data(report))


def _texts(items: str | None, users: str | None) -> "dict[Entity, str]":
    named: dict[Entity, str] = {}
    if items is not None:
        named["item"] = items
    if users is not None:
        named["user"] = users
    if not named:
        raise UsageError(
            "--items or --users must name a text feature.",
            hint="Such as --items item_text. List what the store holds with: featurestore ls",
        )
    return named


def _print(reporter: Reporter, report: "RecmindReport") -> None:
    tuning = report.tuning
    if tuning is not None:
        resumed = f", {tuning.resumed_at} of them by an earlier run" if tuning.resumed_at else ""
        nodes = f"{report.num_examples:,} nodes of {report.num_tokens:,} tokens"
        reporter.say(f"{nodes} learned from in {tuning.steps:,} steps{resumed}")
        rows = [
            {
                "held out": f"{now.num_nodes} {entity}s",
                "loss before": f"{report.before[entity].loss:.4f}",
                "loss after": f"{now.loss:.4f}",
                "hit@10 before": f"{report.before[entity].hit_at_10:.3f}",
                "hit@10 after": f"{now.hit_at_10:.3f}",
            }
            for entity, now in report.after.items()
        ]
        reporter.table("Alignment", rows)
    reporter.say(f"adapter {report.adapter[:16]}")
    for side in report.stored:
        reporter.say(
            f"{side.spec.feature}.{side.spec.view}: {side.num_texts:,} vectors in {side.table}, "
            f"{side.num_written:,} of them new"
        )
    reporter.say("`featurestore publish` releases them.")


def _data(report: "RecmindReport") -> dict[str, object]:
    return {
        "adapter": report.adapter,
        "tuning": report.tuning and asdict(report.tuning),
        "num_examples": report.num_examples,
        "num_tokens": report.num_tokens,
        "before": {entity: asdict(alignment) for entity, alignment in report.before.items()},
        "after": {entity: asdict(alignment) for entity, alignment in report.after.items()},
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
