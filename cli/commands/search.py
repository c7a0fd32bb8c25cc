"""``featurestore search``: a random search over a model's settings, chosen on the validation part."""

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cli.options import JsonOption, ProjectOption, ReleaseOption, SeedOption, ThreadsOption
from cli.report import Reporter
from cli.settings import SetOption, parse_pairs


def search(
    model: Annotated[str, typer.Argument(help="Name of a model, such as lightgcn.")],
    *,
    trials: Annotated[int, typer.Option("--trials", "-n", min=1, help="Settings to try in all.")] = 20,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Log of trials, gone on from; by default searches/MODEL.jsonl in the project.",
        ),
    ] = None,
    features: Annotated[
        str | None, typer.Option("--features", "-f", help="Vector feature of items to read as well.")
    ] = None,
    user_features: Annotated[
        str | None, typer.Option("--user-features", help="Vector feature of users to read too.")
    ] = None,
    settings: SetOption = None,
    seed: SeedOption = 0,
    threads: ThreadsOption = None,
    release: ReleaseOption = "production",
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Train with settings drawn from the model's space and rank them by validation; test is never read.

    What --set fixes is not drawn. A search that was stopped goes on; more trials later repeat none.
    """
    from cli.project import open_project
    from featurestore.reader import FeatureStore
    from recommender.experiment import TrainRequest
    from recommender.search import search as run_search
    from recommender.training.allocator import keep_freed_memory

    keep_freed_memory()
    opened = open_project(project)
    reporter = Reporter(as_json=as_json)
    request = TrainRequest(
        model=model,
        settings=parse_pairs(settings or []),
        feature=features,
        user_feature=user_features,
        seeds=(seed,),
        num_threads=threads,
    )
    log = output or opened.root / "searches" / f"{model}.jsonl"
    opened_release = FeatureStore(opened.store).release(release)
    with reporter.progress("trials") as progress:
        report = run_search(opened_release, request, log, num_trials=trials, progress=progress)
    rows: list[dict[str, object]] = [
        {"trial": t.number, report.monitor: t.metric, "best epoch": t.best_epoch, **t.settings}
        for t in report.trials[:10]
    ]
    reporter.table(f"Validation, best {len(rows)} of {len(report.trials)} trials", rows)
    chosen = request.settings | report.trials[0].settings
    words = ["featurestore", "train", model, *(["--features", features] if features else [])]
    words += ["--user-features", user_features] if user_features else []
    words += [word for name, value in chosen.items() for word in ("--set", f"{name}={value}")]
    words += ["--seed", str(seed), "--release", release, *(["-C", str(project)] if project != Path() else [])]
    reporter.say(f"Train with: {shlex.join(words)}")
    reporter.result(asdict(report) | {"model": model, "log": str(log)})
