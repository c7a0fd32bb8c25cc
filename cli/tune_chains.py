"""``featurestore tune chains``: a model learns a teacher's chains, mixed with general instructions."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.generation import ModelFolderOption, ModelOption, choose_model, choose_prompt
from cli.options import JsonOption, ProjectOption, ReleaseOption, SeedOption
from cli.report import Reporter
from cli.settings import ListSettingsOption, SetOption, parse_pairs, show_settings
from featurestore.errors import UsageError, missing_extra

if TYPE_CHECKING:
    from llm_jobs.tuning.chains_config import ChainsConfig
    from llm_jobs.tuning.chains_job import ChainsReport
    from llm_jobs.tuning.standing import Standing


def chains(
    *,
    texts: Annotated[
        str | None,
        typer.Option(
            "--texts",
            help="Text feature that a prompt wrote, or one view of it: item_semantic_id, item_cot.fused.",
        ),
    ] = None,
    general: Annotated[
        Path | None,
        typer.Option(
            "--general",
            help="General instructions, .jsonl or .parquet: instruction, input (optional), output.",
        ),
    ] = None,
    model: ModelOption = None,
    model_folder: ModelFolderOption = None,
    name: Annotated[
        str, typer.Option("--name", help="Of the tuned model: generate --model NAME writes with it.")
    ] = "chains",
    against_pure: Annotated[
        bool,
        typer.Option(
            "--against-pure",
            help="Tune on chains alone too, as NAME-pure, and compare both on task and general texts.",
        ),
    ] = False,
    settings: SetOption = None,
    seed: SeedOption = 0,
    list_settings: ListSettingsOption = False,
    release: ReleaseOption = "production",
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Tune a model on answers of a release that passed the checks, mixed with general instructions (LoRA).

    Measures on what is held out, before and after: form and quotes of the model's own answers, and the loss
    of general texts. A tuning that was stopped goes on when the command is run again.
    """
    reporter = Reporter(as_json=as_json)
    config = _config(parse_pairs(settings or []))
    if list_settings:
        show_settings(reporter, "chains", type(config))
        return
    _check(texts, general, config, against_pure=against_pure)
    assert texts is not None
    from cli.project import open_project
    from featurestore.reader import FeatureStore
    from llm_jobs.tuned_models import check_tuned_name
    from llm_jobs.tuning.chain_examples import read_chains, text_pins
    from llm_jobs.tuning.chains_job import ChainsSources, tune_chains
    from llm_jobs.tuning.general_set import read_instructions

    opened = open_project(project)
    for wanted_name in (name, f"{name}-pure") if against_pure else (name,):
        check_tuned_name(wanted_name, opened.config.models)
    entry = choose_model(opened, model, model_folder)
    opened_release = FeatureStore(opened.store).release(release)
    text_pins(opened_release, texts)  # an unknown text feature is no unknown prompt
    prompt = choose_prompt(opened, texts.partition(".")[0], None)
    sources = ChainsSources(
        read_chains(opened.store, opened_release, prompt, texts),
        () if general is None else read_instructions(general),
        name,
    )
    wanted = [(sources, config)]
    if against_pure:
        pure = config.model_copy(update={"general_share": 0.0})
        wanted.insert(0, (replace(sources, name=f"{name}-pure"), pure))
    reports: list[ChainsReport] = []
    for each, how in wanted:
        with reporter.progress(f"tune {each.name}") as progress:
            reports.append(
                tune_chains(
                    opened.store,
                    opened_release,
                    each,
                    entry=entry,
                    config=how,
                    seed=seed,
                    work_folder=opened.work_folder,
                    progress=progress,
                )
            )
    _print(reporter, reports)
    reporter.result({"models": [asdict(report) for report in reports]})


def _config(values: dict[str, str]) -> "ChainsConfig":
    try:
        from llm_jobs.tuning.chains_config import ChainsConfig
        from recommender.registry import parse_settings
    except ModuleNotFoundError as error:
        raise missing_extra(error.name or "torch", "train") from error
    config = parse_settings(ChainsConfig, values)
    assert isinstance(config, ChainsConfig)
    return config


def _check(texts: str | None, general: Path | None, config: "ChainsConfig", *, against_pure: bool) -> None:
    if texts is None:
        raise UsageError(
            "--texts must name a text feature that a prompt wrote.",
            hint="Such as --texts item_semantic_id. List what the store holds with: featurestore ls",
        )
    if config.general_share and general is None:
        raise UsageError(
            f"general_share is {config.general_share:g}, but no general instructions were named.",
            hint="Give --general FILE, or learn from chains alone: --set general_share=0",
        )
    if against_pure and not config.general_share:
        raise UsageError(
            "--against-pure compares with a mixture, and general_share is 0.",
            hint="Leave it out, or set general_share above 0.",
        )


def _print(reporter: Reporter, reports: "list[ChainsReport]") -> None:
    for report in reports:
        resumed = report.tuning.resumed_at
        again = f", {resumed} of them by an earlier run" if resumed else ""
        reporter.say(
            f"{report.name}: {report.num_chains:,} chains and {report.num_general:,} instructions learned "
            f"from in {report.tuning.steps:,} steps{again}; {report.num_too_long:,} too long"
        )
        if report.num_general < report.num_general_wanted:
            reporter.say(
                f"warning: general_share asks for {report.num_general_wanted:,} instructions, and "
                f"{report.num_general:,} were there to learn from: the share is {report.general_share:.3f}. "
                "Give more in --general, or lower general_share."
            )
        reporter.say(f"adapter {report.adapter[:16]}")
    if left_out := reports[0].left_out:
        listed = ", ".join(f"{reason} {count:,}" for reason, count in sorted(left_out.items()))
        reporter.say(f"stored answers left out: {listed}")
    rows = [_row("before", reports[0].before), *(_row(each.name, each.after) for each in reports)]
    reporter.table("Held out", rows)
    reporter.say(f"`featurestore generate --model {reports[-1].name}` writes with it.")


def _row(what: str, standing: "Standing") -> dict[str, object]:
    answers = standing.answers
    found, general = answers.quotes_found, standing.general_loss
    return {
        "model": what,
        "valid JSON": f"{answers.valid_json:.3f}",
        "quotes found": "-" if found is None else f"{found:.3f} of {answers.num_quotes}",
        "passes all checks": f"{answers.passed:.3f} of {answers.num_answers}",
        "loss of chains": f"{standing.chain_loss:.4f}",
        "loss of general texts": "-" if general is None else f"{general:.4f}",
    }
