"""``featurestore train``: fit a recommender on a release and save it."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import (
    FallbackOption,
    JsonOption,
    ProjectOption,
    ReleaseOption,
    SeedOption,
    ThreadsOption,
    ViewOption,
)
from cli.report import Interrupted, Reporter
from cli.settings import ListSettingsOption, SetOption, parse_pairs, show_settings
from featurestore.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from recommender.experiment import TrainedModel, TrainReport

_CONTROLS = ("none", "shuffled", "random")
_SHOWN = ("hr@10", "ndcg@10", "recall@20", "ndcg@20")
_GO_ON = "the best epoch so far is saved, the same command with --resume goes on from the last one."
_NOT_VALIDATED = "the model in training had not been validated yet and is not kept; finished ones are."


def train(
    model: Annotated[str, typer.Argument(help="Name of a model, such as lightgcn or popularity.")],
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder to save to; by default models/MODEL in the project."),
    ] = None,
    features: Annotated[
        str | None, typer.Option("--features", "-f", help="Vector feature of items to read as well.")
    ] = None,
    view: ViewOption = None,
    fallback: FallbackOption = None,
    user_features: Annotated[
        str | None,
        typer.Option("--user-features", help="Vector feature of users to read too, such as user_cot.fused."),
    ] = None,
    fusion: Annotated[
        str | None,
        typer.Option(
            "--fusion",
            help="How vectors join ID embeddings: add (the default), concat, gate, init, replace or none.",
        ),
    ] = None,
    control: Annotated[
        str,
        typer.Option(
            "--features-control",
            help="none, or a control that text must beat: shuffled (another item's vector), random "
            "(a random direction of the same length).",
        ),
    ] = "none",
    optimistic_validation: Annotated[
        bool,
        typer.Option(
            "--optimistic-validation",
            help="Take features that read validation events: validation metrics are too good then.",
        ),
    ] = False,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="Epochs at most.")] = None,
    settings: SetOption = None,
    seeds: Annotated[
        int,
        typer.Option("--seeds", min=1, help="Models to train, with consecutive seeds, in seed-N folders."),
    ] = 1,
    seed: SeedOption = 0,
    threads: ThreadsOption = None,
    list_settings: ListSettingsOption = False,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on from where an interrupted training with these options stopped."),
    ] = False,
    release: ReleaseOption = "production",
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Train a recommender on a release: epochs are chosen on the validation part, test is never read."""
    from cli.project import open_project
    from featurestore.reader import FeatureStore
    from recommender.experiment import TrainRequest, train_models
    from recommender.registry import find_model
    from recommender.training.allocator import keep_freed_memory

    reporter = Reporter(as_json=as_json)
    if list_settings:
        show_settings(reporter, model, find_model(model).config_type, model=model)
        return
    if control not in _CONTROLS:
        raise UnknownNameError("features control", control, _CONTROLS)
    if features is None and (fallback or view):
        raise UsageError("--view and --fallback need --features.")
    values = parse_pairs(settings or [])
    fuses = fusion is not None or values.get("fusion", "none") != "none"
    if not (features or user_features) and (fuses or control != "none" or optimistic_validation):
        raise UsageError(
            "--fusion, --features-control and --optimistic-validation need --features or --user-features."
        )
    if fusion is not None:
        values["fusion"] = fusion
    request = TrainRequest(
        model=model,
        settings=values | ({"epochs": str(epochs)} if epochs is not None else {}),
        feature=features,
        view=view,
        fallback=fallback,
        user_feature=user_features,
        control=control,
        seeds=tuple(range(seed, seed + seeds)),
        num_threads=threads,
        optimistic_validation=optimistic_validation,
        resume=resume,
    )
    keep_freed_memory()
    opened = open_project(project)
    opened_release = FeatureStore(opened.store).release(release)
    folder = output or opened.root / "models" / model
    with reporter.progress("epochs") as progress:
        try:
            report = train_models(opened_release, request, folder, progress=progress)
        except KeyboardInterrupt:
            raise Interrupted(_NOT_VALIDATED) from None
    _print(reporter, report)
    if optimistic_validation:
        reporter.say("optimistic validation: the features may have read validation events; compare by test.")
    if report.interrupted:
        raise Interrupted(_GO_ON)
    reporter.result(
        asdict(report)
        | {
            "model": model,
            "release": opened_release.number,
            "config": request.settings,
            "optimistic_validation": optimistic_validation,
        }
    )


def _print(reporter: Reporter, report: "TrainReport") -> None:
    reporter.say(f"{report.num_train:,} training and {report.num_valid:,} validation pairs")
    if report.num_with_vector is not None:
        reporter.say(f"{report.num_with_vector:,} entities have a vector")
    rows = [_row(each) for each in report.models]
    rows.append({"model": "popularity", **{name: report.popularity.get(name) for name in _SHOWN}})
    reporter.table("Validation, full ranking", rows)


def _row(each: "TrainedModel") -> dict[str, object]:
    return {
        "model": str(each.folder),
        "seed": each.seed,
        "epochs": each.fit.epochs,
        "best": each.fit.best_epoch,
        "seconds": f"{each.fit.seconds:.1f}",
        "ms/step": f"{each.fit.step_milliseconds:.1f}",
        **{name: each.validation.get(name) for name in _SHOWN},
    }
