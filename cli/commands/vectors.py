"""``featurestore vectors``: a trained model's vectors of users and items, as features of the store."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import JsonOption, ProjectOption
from cli.report import Reporter


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
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Store a model's vectors of users and items, such as LightGCN's z^G, for graphs and for alignment."""
    from cli.project import open_project
    from featurestore.reader import FeatureStore
    from recommender.evaluation.compare import open_saved
    from recommender.model_vectors import write_model_vectors

    opened = open_project(project)
    reporter = Reporter(as_json=as_json)
    saved, opened_release = open_saved(model, FeatureStore(opened.store), release)
    written = write_model_vectors(opened.store, saved, opened_release, name=name or saved.info.model)
    tables: dict[str, str] = {}
    for entity, version in written.items():
        stored = opened.store.latest(version.table)
        num_rows = stored.num_rows if stored else 0
        tables[entity] = version.table
        reporter.say(f"{entity}: {num_rows:,} vectors in {version.table}")
    reporter.say("`featurestore publish` releases them.")
    reporter.result({"feature": name or saved.info.model, "tables": tables})
