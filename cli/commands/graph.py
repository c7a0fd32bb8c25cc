"""``featurestore graph``: the kNN graph of a vector feature."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import JsonOption, ProjectOption, ViewOption
from cli.report import Reporter
from featurestore.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from featurestore.graphs.build import GraphReport
    from featurestore.graphs.choose_search import SearchChoice

_VALUES = {
    "--users": ("own", "mean_of_train_items"),
    "--weights": ("cosine", "binary"),
    "--symmetry": ("directed", "union", "mutual"),
    "--search": ("exact", "auto"),
}


def graph(
    feature: Annotated[str, typer.Option("--feature", "-f", help="Vector feature to build from.")],
    *,
    view: ViewOption = None,
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
    weights: Annotated[
        str | None, typer.Option("--weights", help="What an edge weighs: cosine or binary.")
    ] = None,
    self_loops: Annotated[
        bool | None,
        typer.Option("--self-loops/--no-self-loops", help="Whether each node is its own nearest neighbour."),
    ] = None,
    symmetry: Annotated[
        str | None,
        typer.Option(
            "--symmetry",
            help="directed: lists as they are. union: both ways if one end names the other. mutual: if both.",
        ),
    ] = None,
    max_in_degree: Annotated[
        int | None,
        typer.Option("--max-in-degree", min=1, help="Strongest incoming edges that each node keeps."),
    ] = None,
    search: Annotated[
        str | None,
        typer.Option(
            "--search",
            help="exact, or auto: the fastest that finds --min-recall on a sample, by whatever builder and "
            "device; by default the project's.",
        ),
    ] = None,
    min_recall: Annotated[
        float, typer.Option("--min-recall", min=0.0, max=1.0, help="What --search auto must find.")
    ] = 0.99,
    builder: Annotated[
        str | None,
        typer.Option(
            "--builder", help="blocked, exact or faiss_knn; by default the one that suits search and device."
        ),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="Where to search: cpu or gpu.")] = "cpu",
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Build a kNN graph from stored vectors, or bring it up to date.

    Shows its recall against exact search and its degree statistics, which are stored beside it. Options that
    are not given are those of the project's section [graph].
    """
    from cli.project import open_project
    from featurestore.features import FeatureRegistry
    from featurestore.graphs import open_builder
    from featurestore.graphs.build import build_graph
    from featurestore.graphs.choose_search import choose_search
    from featurestore.spec import ExactSearch

    _check_names(users, weights, symmetry, search)
    _check_choice(search, builder, device)
    opened = open_project(project)
    options = opened.config.graph
    reporter = Reporter(as_json=as_json)
    head = FeatureRegistry(opened.store).pick_head("vector", feature, view)
    pooled = users == "mean_of_train_items" or (users is None and head.spec.entity == "item")
    nodes = "mean_of_train_items" if pooled else "own"
    k = num_neighbors or options.num_neighbors
    shape = options.shape.changed(
        weights=weights, self_loops=self_loops, symmetry=symmetry, max_in_degree=max_in_degree
    )
    if search == "auto":
        with reporter.progress("trying searches") as progress:
            choice = choose_search(
                opened.store,
                feature=feature,
                view=head.spec.view,
                entity_users=nodes,
                num_neighbors=k,
                min_recall=min_recall,
                progress=progress,
            )
        _print_choice(reporter, choice)
        chosen = choice.builder()
    else:
        chosen = open_builder(builder, device, ExactSearch() if search == "exact" else options.search)
    with reporter.progress("graph") as progress:
        report = build_graph(
            opened.store,
            feature=feature,
            view=head.spec.view,
            entity_users=nodes,
            num_neighbors=k,
            builder=chosen,
            shape=shape,
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
            "search": report.spec.search.model_dump(mode="json"),
            "quality": report.quality.model_dump(mode="json"),
            "work": report.work.model_dump(mode="json") if report.work else None,
        }
    )


def _check_names(users: str | None, weights: str | None, symmetry: str | None, search: str | None) -> None:
    given = {"--users": users, "--weights": weights, "--symmetry": symmetry, "--search": search}
    for option, value in given.items():
        if value is not None and value not in _VALUES[option]:
            raise UnknownNameError(f"value of {option}", value, _VALUES[option])


def _check_choice(search: str | None, builder: str | None, device: str) -> None:
    """Refuse to search by what was not chosen: ``auto`` decides on the builder and the device."""
    given = f"--builder {builder}" if builder is not None else f"--device {device}"
    if search == "auto" and (builder is not None or device != "cpu"):
        raise UsageError(
            f"--search auto chooses the builder and the device itself, so that {given} would be ignored.",
            hint=f"Leave out {given}, or --search auto. Where FAISS has a GPU, auto tries it.",
        )


def _print_choice(reporter: Reporter, choice: "SearchChoice") -> None:
    reporter.table(
        "Searches, tried on a sample",
        [
            {
                "search": " ".join(f"{name}={value}" for name, value in each.search.model_dump().items()),
                "device": each.device,
                "estimated seconds": each.seconds,
                "recall on the sample": each.recall,
                "": "chosen" if each is choice.chosen else "",
            }
            for each in choice.estimates
        ],
    )


def _print(reporter: Reporter, report: "GraphReport") -> None:
    quality, degrees = report.quality, report.quality.degrees
    written = f"version {report.table.version}" if report.changed else "unchanged"
    reporter.say(f"{report.spec.feature}.{report.spec.view}: k = {report.spec.num_neighbors}, {written}")
    if (work := report.work) is not None:
        share = work.gemm_flops / max(work.full_gemm_flops, 1)
        reporter.say(
            f"  {work.num_changed:,} nodes are new or moved, {work.num_deleted:,} are gone, "
            f"{work.num_recomputed:,} others were searched anew: {share:.1%} of the work of a whole build"
        )
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
