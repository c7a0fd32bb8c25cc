"""What ``refresh`` is built from: the project's features as jobs, and who shows how far they are."""

import subprocess
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.generation import choose_model, choose_prompt, choose_upstream
from cli.release_view import carried_lines, left_out_lines
from cli.report import Reporter
from featurestore.errors import GateFailedError, SetupError, UsageError

if TYPE_CHECKING:
    from cli.project import Project
    from featurestore.progress import Progress, RunProgress
    from featurestore.refresh.pipeline import StageReport
    from llm_jobs.entries import ModelEntry
    from llm_jobs.generate import GenerateOptions
    from llm_jobs.refresh_config import FeatureConfig
    from llm_jobs.refresh_job import FeatureJob, TextJob
    from llm_jobs.runner import Runner

_SAID_LINES = 10
"""Of a check that failed, at most: the last ones."""


class FeatureJobs:
    """Turns the features of ``[refresh.features]`` into jobs.

    Args:
        project: The project.
        options: How patiently texts are written, and what they may cost.
        runner: Where the chains of a model run; None stands for this process.
        where: Condition of features whose section has none.
    """

    def __init__(
        self,
        project: "Project",
        options: "GenerateOptions",
        runner: "Callable[[ModelEntry], Runner | None]",
        *,
        where: str | None = None,
    ) -> None:
        self._project = project
        self._options = options
        self._runner = runner
        self._where = where
        self._sections = _sections(project)
        self._jobs: dict[str, FeatureJob] = {}

    def build(self) -> "tuple[FeatureJob, ...]":
        """A job for each feature, after those that it reads.

        A prompt that another one reads and that has no section of its own is kept current by the model that
        wrote it, and not encoded.

        Raises:
            UsageError: If prompts read each other in a circle.
            UnknownNameError: If there is no such prompt or model.
        """
        for name, section in self._sections.items():
            self._add(name, section)
        return tuple(self._jobs.values())

    def _add(self, name: str, section: "FeatureConfig") -> None:
        from llm_jobs.plain_features import PLAIN_FEATURES
        from llm_jobs.refresh_job import FeatureJob

        if name in self._jobs:
            return
        if name in PLAIN_FEATURES:
            self._jobs[name] = FeatureJob(name, None, section.views, section.graphs, section.semantic_ids)
            return
        entry = choose_model(self._project, section.model, None)
        prompt = choose_prompt(self._project, name, None)
        upstream = choose_upstream(self._project, prompt, entry, None)
        for job in upstream:
            if (own := self._sections.get(job.prompt.name)) is not None:
                self._add(job.prompt.name, own)
            elif job.prompt.name not in self._jobs:
                texts = self._texts(job.prompt.name, job.entry, self._options)
                self._jobs[job.prompt.name] = FeatureJob(job.prompt.name, texts, views=())
        options = replace(
            self._options, where=section.where or self._where, limit=section.limit, due=section.due
        )
        texts = replace(self._texts(name, entry, options), upstream=upstream[-1] if upstream else None)
        self._jobs[name] = FeatureJob(name, texts, section.views, section.graphs, section.semantic_ids)

    def _texts(self, name: str, entry: "ModelEntry", options: "GenerateOptions") -> "TextJob":
        from llm_jobs.refresh_job import TextJob

        return TextJob(choose_prompt(self._project, name, None), entry, options, self._runner(entry))


def _sections(project: "Project") -> "dict[str, FeatureConfig]":
    from llm_jobs.refresh_config import FeatureConfig

    config = project.config
    if config.refresh.features:
        return config.refresh.features
    if config.generate.prompt is not None:
        return {config.generate.prompt: FeatureConfig()}
    raise UsageError(
        "there is nothing to refresh: no feature is named.",
        hint="Add a section such as [refresh.features.item_cot] to featurestore.toml, or set prompt under "
        "[generate].",
    )


def release_check(command: tuple[str, ...], folder: Path) -> Callable[[int], None] | None:
    """A check of a release by a command of the project; None if there is no command.

    Args:
        command: The program and its arguments; ``{release}`` becomes the release's number.
        folder: Where it runs.
    """
    if not command:
        return None

    def check(release: int) -> None:
        words = [word.replace("{release}", str(release)) for word in command]
        try:
            done = subprocess.run(  # noqa: S603 the project's own command, and no shell
                words,
                cwd=folder,
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
        except OSError as error:
            raise SetupError(
                f"the check {words[0]!r} cannot be run: {error.strerror}.",
                hint="Correct check under [refresh] in featurestore.toml.",
            ) from error
        if done.returncode:
            said = done.stdout.strip().splitlines()[-_SAID_LINES:]
            raise GateFailedError(
                f"the check {words[0]!r} ended with {done.returncode}: release {release} is not promoted.",
                hint="\n".join([*said, "The release stays: promote it by hand, or refresh again."]),
            )

    return check


class StageLines:
    """Shows each stage's progress, and a line at its end. Implements `featurestore.refresh.pipeline.Watch`.

    Args:
        reporter: Prints.
        metrics: Files of metrics for a stage that runs a language model.
    """

    def __init__(self, reporter: Reporter, metrics: "Callable[[str], list[RunProgress]]") -> None:
        self._reporter = reporter
        self._metrics = metrics

    def progress(self, stage: str) -> "AbstractContextManager[Progress]":
        """See `Watch.progress`."""
        return self._reporter.progress(stage)

    def run_progress(self, stage: str) -> "AbstractContextManager[RunProgress]":
        """See `Watch.run_progress`."""
        return self._reporter.run_progress(*self._metrics(stage))

    def finished(self, report: "StageReport") -> None:
        """See `Watch.finished`."""
        said = what_happened(report)
        self._reporter.say(f"{report.name}: {report.status}{f', {said}' if said else ''}")
        for line in _release_lines(report.facts):
            self._reporter.say(line)


_COUNTS = {
    "stale": "stale",
    "due": "due",
    "tokens": "tokens planned",
    "requests": "requests",
    "num_deleted": "deleted",
    "num_encoded": "encoded",
    "num_reused": "reused",
    "num_coded": "coded",
    "num_gone": "gone",
    "release": "release",
}


def what_happened(report: "StageReport") -> str:
    """The counts of a stage in a few words, and what its release lacks or has of an earlier one.

    Of a stage that was skipped no counts; empty if there is nothing to say.
    """
    if report.error is not None or report.left is not None:
        return report.error or report.left or ""
    known = [(label, report.facts.get(name)) for name, label in _COUNTS.items()]
    said = [f"{label} {count:,}" for label, count in known if count is not None]
    if report.status == "skipped":
        said = []
    for label in ("left out", "carried"):
        names = report.facts.get(label.replace(" ", "_")) or ()
        if names:
            said.append(f"{label} {', '.join(dict.fromkeys(map(_feature_name, names)))}")
    return ", ".join(said)


def _feature_name(feature: str | Mapping[str, Any]) -> str:
    return feature if isinstance(feature, str) else feature["name"]


def _release_lines(facts: Mapping[str, Any]) -> list[str]:
    """What is to be done about a release that does not hold everything; empty for stages that make none."""
    from featurestore.releases.publish import CarriedFeature

    if "left_out" not in facts:
        return []
    carried = [CarriedFeature(**feature) for feature in facts["carried"]]
    tuned = facts.get("left_out_tuned", ())  # absent from what an earlier version kept of a stage
    return [*left_out_lines(facts["left_out"], facts["release"], tuned), *carried_lines(carried)]
