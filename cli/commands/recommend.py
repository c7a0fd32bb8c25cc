"""``featurestore recommend``: one user's list to look at, or all users' lists into the store."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import JsonOption, ProjectOption
from cli.report import Reporter
from featurestore.errors import UsageError

if TYPE_CHECKING:
    from recommender.serve import UserList


def recommend(
    model: Annotated[Path, typer.Option("--model", "-m", help="Folder of a trained model.")],
    *,
    user: Annotated[str | None, typer.Option("--user", "-u", help="User id to recommend to.")] = None,
    top_k: Annotated[int, typer.Option("--top-k", "-k", min=1, help="Items per user.")] = 10,
    write: Annotated[
        bool, typer.Option("--write", help="Store the lists of all users; publish to release them.")
    ] = False,
    name: Annotated[
        str | None,
        typer.Option("--name", help="With --write: name of the stored lists; by default the model's name."),
    ] = None,
    release: Annotated[
        str | None,
        typer.Option("--release", "-r", help="Release to read; by default the one the model was trained on."),
    ] = None,
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Recommend unseen items: to one user (--user), or to all users into the store (--write)."""
    from cli.project import open_project
    from featurestore.reader import FeatureStore
    from recommender.evaluation.compare import open_saved
    from recommender.serve import recommend_to_user, write_recommendations

    if (user is None) == (not write):
        raise UsageError("say either --user ID or --write.")
    if name is not None and not write:
        raise UsageError("--name names stored lists: it needs --write.")
    opened = open_project(project)
    reporter = Reporter(as_json=as_json)
    saved, opened_release = open_saved(model, FeatureStore(opened.store), release)
    if user is not None:
        found = recommend_to_user(saved, opened_release, user, top_k=top_k)
        _print(reporter, found)
        reporter.result(asdict(found))
        return
    with reporter.progress("recommend") as progress:
        version = write_recommendations(
            opened.store,
            saved,
            opened_release,
            name=name or saved.info.model,
            top_k=top_k,
            progress=progress,
        )
    stored = opened.store.latest(version.table)
    num_rows = stored.num_rows if stored else 0
    reporter.say(f"{num_rows:,} rows in {version.table}; `featurestore publish` releases them.")
    reporter.result({"feature": version.spec.feature, "table": version.table, "num_rows": num_rows})


def _print(reporter: Reporter, found: "UserList") -> None:
    reporter.say(f"User {found.user_id}: {found.num_seen:,} items so far")
    if not found.num_seen:
        reporter.say("Nothing is known of this user: this is an average user's list.")
    for line in found.lines:
        reporter.say(f"{line.rank:3}. {line.title or line.item_id}  ({line.item_id}, {line.score:.3f})")
        if line.text:
            reporter.say(f"     {line.text}")
