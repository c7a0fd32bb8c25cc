"""``featurestore vectors``: a trained model's vectors of users and items, as features of the store."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cli.options import JsonOption, ProjectOption
from cli.report import Reporter
from featurestore.errors import UsageError


def vectors(
    model: Annotated[Path, typer.Option("--model", "-m", help="Folder of a trained model.")],
    *,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the feature; by default the model's name.")
    ] = None,
    release: Annotated[
        str | None,
        typer.Option("--release", "-r", help="Release to read; by default the one the model was trained on."),
    ] = None,
    renew: Annotated[
        bool,
        typer.Option(
            "--renew",
            help="Train nothing and write only what changed up to --release (production): vectors of users "
            "whose training items changed since --since, and of items that came after the model.",
        ),
    ] = False,
    since: Annotated[
        str | None,
        typer.Option("--since", help="With --renew: release that the stored vectors were made on."),
    ] = None,
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Store a model's vectors of users and items, such as LightGCN's z^G, for graphs and for alignment."""
    from cli.project import open_project
    from featurestore.reader import FeatureStore
    from recommender.evaluation.compare import open_saved
    from recommender.model_vectors import write_model_vectors
    from recommender.renewal import renew_vectors

    if since is not None and not renew:
        raise UsageError("--since needs --renew.")
    opened = open_project(project)
    reporter = Reporter(as_json=as_json)
    store = FeatureStore(opened.store)
    if renew:
        saved, fitted = open_saved(model, store, None)
        now, last = store.release(release or "production"), store.release(since) if since else None
        report = renew_vectors(opened.store, saved, fitted, now, name=name or saved.info.model, since=last)
        placed = "" if report.num_new_items is None else f", {report.num_new_items:,} new items"
        first = (last or fitted).number
        reporter.say(f"release {first} to {now.number}: {report.num_users:,} users{placed} renewed")
        reporter.say("`featurestore publish` releases them.")
        reporter.result(asdict(report))
        return
    saved, opened_release = open_saved(model, store, release)
    written = write_model_vectors(opened.store, saved, opened_release, name=name or saved.info.model)
    tables: dict[str, str] = {}
    for entity, version in written.items():
        stored = opened.store.latest(version.table)
        num_rows = stored.num_rows if stored else 0
        tables[entity] = version.table
        reporter.say(f"{entity}: {num_rows:,} vectors in {version.table}")
    reporter.say("`featurestore publish` releases them.")
    reporter.result({"feature": name or saved.info.model, "tables": tables})
