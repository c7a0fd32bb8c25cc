"""``featurestore train-generative``: fit a T5 that writes items, and store the lists of all users."""

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
from featurestore.errors import UsageError, missing_extra

if TYPE_CHECKING:
    from recommender.generative.experiment import TrainedSystem

_GO_ON = "the same command with --resume goes on from the last validation, if there was one."


def train_generative(
    system: Annotated[str, typer.Argument(help="isrf, p5, pod or elmrec.")],
    *,
    name: Annotated[
        str | None,
        typer.Option("--name", help="Of the model and of its stored lists; by default generative-SYSTEM."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder to save to; by default models/NAME in the project."),
    ] = None,
    features: Annotated[
        str | None, typer.Option("--features", "-f", help="Vector feature of items, which isrf reads.")
    ] = None,
    view: ViewOption = None,
    fallback: FallbackOption = None,
    user_features: Annotated[
        str | None,
        typer.Option(
            "--user-features",
            help="Vector feature of users to compare them by, such as user_cot.fused; by default they are "
            "means of their items' vectors.",
        ),
    ] = None,
    semantic_ids: Annotated[
        str | None,
        typer.Option(
            "--semantic-ids",
            help="With --set tokens=codes: vector feature whose semantic ids name items, such as item_cot.",
        ),
    ] = None,
    lists: Annotated[
        int | None,
        typer.Option(
            "--lists",
            min=1,
            help="Store lists of so many items for all users, of the saved model if there is one; publish to "
            "release them. Implies --resume.",
        ),
    ] = None,
    settings: SetOption = None,
    seed: SeedOption = 0,
    threads: ThreadsOption = None,
    list_settings: ListSettingsOption = False,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on from where a training with these options stopped."),
    ] = False,
    release: ReleaseOption = "production",
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Train a T5 that writes items (ISRF's generative form, P5, POD, ELMRec), and store its lists.

    Epochs are chosen on the validation part, test is never read. With --lists, what was stopped goes on when
    the command is run again.
    """
    reporter = Reporter(as_json=as_json)
    try:
        from recommender.experiment import TrainRequest
        from recommender.generative.config import GenerativeConfig
        from recommender.generative.experiment import find_system, served_lists, system_config, train_system
        from recommender.generative.fitted import require_length
        from recommender.generative.job import write_lists
        from recommender.training.allocator import keep_freed_memory
    except ModuleNotFoundError as error:
        raise missing_extra(error.name or "torch", "train") from error
    if list_settings:
        show_settings(reporter, system, GenerativeConfig, given=find_system(system), system=system)
        return
    from cli.project import open_project
    from featurestore.names import require_name
    from featurestore.reader import FeatureStore

    name = name or f"generative-{system}"
    require_name(name, "a feature")
    if features is None and (fallback or view):
        raise UsageError("--view and --fallback need --features.")
    request = TrainRequest(
        model=system,
        settings=parse_pairs(settings or []),
        feature=features,
        view=view,
        fallback=fallback,
        user_feature=user_features,
        seeds=(seed,),
        num_threads=threads,
        resume=resume or lists is not None,
    )
    if lists is not None:
        require_length(system_config(system, request.settings), lists)
    keep_freed_memory()
    opened = open_project(project)
    opened_release = FeatureStore(opened.store).release(release)
    folder = output or opened.root / "models" / name
    with reporter.progress("epochs") as progress:
        try:
            trained = train_system(
                opened_release, request, folder, semantic_ids=semantic_ids, progress=progress
            )
        except KeyboardInterrupt:
            raise Interrupted(_GO_ON) from None
    _print(reporter, trained, folder)
    done = None
    if lists is not None:
        with reporter.progress("lists") as progress:
            done = write_lists(
                opened.store,
                served_lists(trained.model, opened_release, lists),
                opened_release,
                name=name,
                model_digest=trained.model.digest,
                top_k=lists,
                logs=opened.work_folder / "logs",
                progress=progress,
            )
        reporter.say(f"{done.num_users:,} lists in {done.table}; `featurestore publish` releases them.")
    reporter.result(
        {"system": system, "model": str(folder), "release": opened_release.number, "trained": trained.is_new}
        | trained.info.model_dump(
            mode="json", include={"seed", "config", "fit", "num_parameters", "validation"}
        )
        | {"lists": None if done is None else asdict(done)}
    )


def _print(reporter: Reporter, trained: "TrainedSystem", folder: Path) -> None:
    fit = trained.info.fit
    if not trained.is_new:
        reporter.say(f"{folder} was trained before; it is taken as it is.")
    row = {"model": str(folder), "seed": trained.info.seed, "epochs": fit.epochs, "best": fit.best_epoch}
    reporter.table("Validation, lists of all users", [row | trained.info.validation])
