"""``featurestore graph``: the kNN graph of a vector feature."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import JsonOption, ProjectOption
from cli.report import Reporter
from featurestore.errors import UnknownNameError

if TYPE_CHECKING:
    from featurestore.build_graph import GraphReport

_POOLINGS = ("own", "mean_of_train_items")


def graph(
    feature: Annotated[str, typer.Option("--feature", "-f", help="Vector feature to build from.")],
    *,
    view: Annotated[
        str | None, typer.Option("--view", help="View of it; by default the only one, else fused, else text.")
    ] = None,
    users: Annotated[
        str | None,
        typer.Option(
            "--users",
            help="mean_of_train_items: users as the mean of the vectors of their training items; the default "
            "for a feature of items. own: whatever the vectors describe; the default for a feature of users.",
        ),
    ] = None,
    num_neighbors: Annotated[
        int | None,
        typer.Option("--num-neighbors", "-k", min=1, help="Neighbours per node; by default the project's."),
    ] = None,
    builder: Annotated[
        str, typer.Option("--builder", help="How to search: faiss_knn or exact.")
    ] = "faiss_knn",
    device: Annotated[str, typer.Option("--device", help="Where to search: cpu or gpu.")] = "cpu",
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Build a kNN graph from stored vectors.

    Shows its recall against exact search and its degree statistics, which are stored beside it.
    """
    from cli.project import open_project
    from featurestore.build_graph import build_graph
    from featurestore.features import FeatureRegistry
    from featurestore.graphs import open_builder

    if users is not None and users not in _POOLINGS:
        raise UnknownNameError("value of --users", users, _POOLINGS)
    opened = open_project(project)
    reporter = Reporter(as_json=as_json)
    head = FeatureRegistry(opened.store).pick_head("vector", feature, view)
    pooled = users == "mean_of_train_items" or (users is None and head.spec.entity == "item")
    with reporter.progress("graph") as progress:
        report = build_graph(
            opened.store,
            feature=feature,
            view=head.spec.view,
            entity_users="mean_of_train_items" if pooled else "own",
            num_neighbors=num_neighbors or opened.config.graph.num_neighbors,
            builder=open_builder(builder, device),
            progress=progress,
        )
    _print(reporter, report)
    reporter.result(
        {
            "feature": report.spec.feature,
            "view": report.spec.view,
            "table": report.table.table,
            "version": report.table.version,
            "changed": report.changed,
            "quality": report.quality.model_dump(mode="json"),
        }
    )


def _print(reporter: Reporter, report: "GraphReport") -> None:
    quality, degrees = report.quality, report.quality.degrees
    written = f"version {report.table.version}" if report.changed else "unchanged"
    reporter.say(f"{report.spec.feature}.{report.spec.view}: k = {report.spec.num_neighbors}, {written}")
    reporter.table(
        "Graph",
        [
            {"measure": "nodes", "value": degrees.num_nodes},
            {"measure": "entities without a vector", "value": quality.num_without_vector},
            {"measure": "edges", "value": degrees.num_edges},
            {"measure": f"recall against exact, {quality.sample_rows} nodes", "value": quality.recall},
            {"measure": "mean similarity", "value": degrees.mean_score},
            {"measure": "in-degree, median", "value": degrees.in_degree_median},
            {"measure": "in-degree, 99th percentile", "value": degrees.in_degree_p99},
            {"measure": "in-degree, largest", "value": degrees.in_degree_max},
            {"measure": "hubs (over 5 times the mean)", "value": degrees.num_hubs},
            {"measure": "share of edges into hubs", "value": degrees.hub_edge_share},
            {"measure": "edges that go both ways", "value": degrees.mutual_share},
            {"measure": "nodes that are nobody's neighbour", "value": degrees.num_unreached},
        ],
    )
