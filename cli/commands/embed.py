"""``featurestore embed``: texts to vectors."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import JsonOption, ProjectOption
from cli.report import Reporter
from featurestore.errors import UnknownNameError

if TYPE_CHECKING:
    from featurestore.store import Store
    from llm_jobs.embed import EmbedReport


def embed(
    feature: Annotated[
        str,
        typer.Option(
            "--feature",
            "-f",
            help="Text feature to encode; item_text is built from the items' own fields, user_text from "
            "what users chose last in training.",
        ),
    ],
    *,
    view: Annotated[
        list[str] | None,
        typer.Option("--view", help="View of it, such as fused; may be repeated. All views if not given."),
    ] = None,
    encoder: Annotated[
        str | None, typer.Option("--encoder", "-e", help="Encoder alias; by default the project's.")
    ] = None,
    encoder_folder: Annotated[
        Path | None, typer.Option("--encoder-folder", help="Folder with the encoder's weights.")
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size", min=1, help="Texts through the model at once; by default the project's."
        ),
    ] = None,
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Encode stored texts into vectors; only texts that changed are encoded."""
    from contextlib import closing

    from cli.project import open_project
    from llm_jobs.embed import embed as run_embed
    from llm_jobs.embed import events_learned_by
    from llm_jobs.encoders import open_encoder
    from llm_jobs.models import find_encoder
    from llm_jobs.plain_features import PLAIN_FEATURES

    opened = open_project(project)
    config = opened.config
    reporter = Reporter(as_json=as_json)
    name = encoder or config.encode.encoder
    entry = find_encoder(name, config.encoders, folder=encoder_folder, root=opened.root)
    if feature in PLAIN_FEATURES:
        with reporter.progress("plain texts") as progress:
            PLAIN_FEATURES[feature](opened.store, feature=feature, progress=progress)
    views = _views(opened.store, feature, view)
    learned_from = events_learned_by(opened.store, entry)
    reports: list[EmbedReport] = []
    with closing(open_encoder(entry, batch_size=batch_size or config.encode.batch_size)) as opened_encoder:
        for each in views:
            with reporter.progress(f"embed {feature}.{each}") as progress:
                report = run_embed(
                    opened.store,
                    feature=feature,
                    view=each,
                    encoder=opened_encoder,
                    learned_from=learned_from,
                    progress=progress,
                )
            reports.append(report)
    reporter.table("Vectors", [_row(report) for report in reports])
    reporter.result(
        {"encoder": reports[0].spec.encoder.model_dump(mode="json"), "views": [_data(r) for r in reports]}
    )


def _views(store: "Store", feature: str, wanted: list[str] | None) -> list[str]:
    from featurestore.features import FeatureRegistry
    from llm_jobs.embed import text_views

    known = text_views(store, feature)
    if not known:
        features = {head.spec.feature for head in FeatureRegistry(store).heads("text")}
        raise UnknownNameError(
            "text feature",
            feature,
            features,
            hint="`featurestore generate` writes texts; item_text and user_text need none.",
        )
    for name in wanted or []:
        if name not in known:
            raise UnknownNameError(f"view of {feature!r}", name, known)
    return list(dict.fromkeys(wanted)) if wanted else known


def _row(report: "EmbedReport") -> dict[str, object]:
    rate = report.num_encoded / report.seconds if report.seconds else 0.0
    return {
        "feature": f"{report.spec.feature}.{report.spec.view}",
        "dim": report.spec.encoder.embedding_dim,
        "vectors": report.num_texts,
        "encoded": report.num_encoded,
        "reused": report.num_reused,
        "current": report.num_current,
        "deleted": report.num_deleted,
        "without text": report.num_failed_texts,
        "texts/s": round(rate),
    }


def _data(report: "EmbedReport") -> dict[str, object]:
    return {
        "feature": report.spec.feature,
        "view": report.spec.view,
        "table": report.table,
        "digest": report.spec.digest,
        "num_texts": report.num_texts,
        "num_encoded": report.num_encoded,
        "num_reused": report.num_reused,
        "num_current": report.num_current,
        "num_deleted": report.num_deleted,
        "num_failed_texts": report.num_failed_texts,
        "seconds": report.seconds,
    }
