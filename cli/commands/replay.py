"""``featurestore replay``: ask for one stored row again, and compare."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.generation import FieldCharsOption, ModelFolderOption, choose_model, choose_prompt
from cli.options import JsonOption, ProjectOption
from cli.report import ErrorReport, Reporter, print_error
from featurestore import columns as c
from featurestore.errors import ReplayDiffersError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from llm_jobs.replay import Replay


def replay(
    *,
    feature: Annotated[str, typer.Option("--feature", "-f", help="Text feature, such as item_cot.")],
    row: Annotated[str, typer.Option("--row", help="Id of the item or user.")],
    view: Annotated[
        str | None, typer.Option("--view", help="View; by default fused, text, or the only one.")
    ] = None,
    near: Annotated[
        float,
        typer.Option("--near", min=0.0, max=1.0, help="Share of equal words from which two texts are near."),
    ] = 0.8,
    model_folder: ModelFolderOption = None,
    max_field_chars: FieldCharsOption = None,
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Ask the model for a stored row again: same prompt, seed and inputs. The store stays as it is.

    Ends with 0 if the text is equal or near, with 13 if it is different.
    """
    from cli.project import open_project
    from llm_jobs.engines import open_model
    from llm_jobs.replay import find_written_row
    from llm_jobs.replay import replay as ask_again

    report = Reporter(as_json=as_json)
    opened = open_project(project)
    found = find_written_row(opened.store, feature, view, row)
    prompt = choose_prompt(opened, found.spec.feature, max_field_chars)
    entry = choose_model(opened, found.spec.model.alias, model_folder)
    with open_model(entry, options=opened.config.engine) as model:
        done = ask_again(opened.store, found, prompt, model, near=near)
    _print(report, done)
    report.result(_data(done, near))
    if done.verdict == "different":
        message = f"the row came out different: {done.similarity:.0%} of the words are the same."
        print_error(
            ErrorReport(ReplayDiffersError.__name__, message, ReplayDiffersError.exit_code), as_json=False
        )
        raise typer.Exit(ReplayDiffersError.exit_code)


def _print(report: Reporter, done: "Replay") -> None:
    spec, then = done.then.spec, done.then.values
    report.say(f"{spec.feature}.{spec.view} {then[c.ID]} by {spec.model.alias}: {done.verdict}")
    if done.similarity >= 0:
        report.say(f"words that are the same: {done.similarity:.0%}")
    changed = f": {', '.join(done.changed_fields)}" if done.changed_fields else ""
    report.say(f"inputs: {'the same' if done.same_inputs else f'changed since{changed}'}")
    words = {True: "the same", False: "another one", None: "not known, the row took several attempts"}
    report.say(f"request: {words[done.same_request]}")
    report.say(f"engine: {then[c.ENGINE]} then, {done.now[c.ENGINE]} now")
    report.say(f"\nthen  {_outcome(then)}\n\nnow   {_outcome(done.now)}")


def _outcome(values: "Mapping[str, Any]") -> str:
    if values[c.STATUS] == c.STATUS_OK:
        return str(values[c.TEXT])
    return f"failed: {values[c.REASON]}\n{values[c.RAW] or ''}"


def _data(done: "Replay", near: float) -> dict[str, object]:
    spec, then = done.then.spec, done.then.values
    names = (c.STATUS, c.TEXT, c.REASON, c.ANSWER, c.RAW, c.ENGINE, c.ATTEMPTS, c.FINGERPRINT, c.REQUEST_KEY)
    return {
        "feature": spec.feature,
        "view": spec.view,
        "id": then[c.ID],
        "model": spec.model.alias,
        "spec_digest": spec.digest,
        "verdict": done.verdict,
        "similarity": done.similarity,
        "near": near,
        "same_inputs": done.same_inputs,
        "changed_fields": list(done.changed_fields),
        "same_request": done.same_request,
        "then": {name: then[name] for name in names},
        "now": {name: done.now[name] for name in names},
    }
