"""Which prompts read which: user prompts read item texts, so the items are written and committed first.

An edge is a text feature of another prompt, such as ``item_cot.fused``, that a history reads. The reader's
specs list it among their ``upstream`` names, where names without a dot are stages of the same prompt.
"""

from collections.abc import Callable
from dataclasses import dataclass

from featurestore import columns as c
from featurestore.errors import UnknownNameError, UsageError
from featurestore.features import FeatureRegistry, FeatureVersion
from featurestore.spec import TextSpec
from featurestore.store import Store
from llm_jobs.entries import ModelEntry
from llm_jobs.inputs import EntityInputs
from llm_jobs.plan import plan_generation
from llm_jobs.prompt import Prompt
from llm_jobs.specs import stage_specs

FindPrompt = Callable[[str], Prompt]
"""The prompt of a name, its limits applied; raises `UnknownNameError` for a feature that no prompt writes."""
FindModel = Callable[[str], ModelEntry]
"""The model of an alias; raises `UnknownNameError`."""


@dataclass(frozen=True, slots=True)
class UpstreamJob:
    """A prompt whose texts another prompt reads, and who writes them.

    Attributes:
        prompt: The prompt.
        view: The stage that is read.
        entry: The model that wrote the stage's head: a job that reads texts never replaces them by another
            model's as a side effect. The reader's own model if there is no head yet.
    """

    prompt: Prompt
    view: str
    entry: ModelEntry

    @property
    def feature(self) -> str:
        """The feature view that is read, ``item_cot.fused``."""
        return f"{self.prompt.name}.{self.view}"


@dataclass(frozen=True, slots=True)
class UpstreamTexts:
    """How current the texts are that some histories read.

    Attributes:
        feature: The feature view, ``item_cot.fused``.
        model: Alias of the model that writes it.
        num_read: Items in the histories.
        num_missing: Of these, items without a row.
        num_stale: Of these, items whose row their fields, the prompt or its limits have outrun.
    """

    feature: str
    model: str
    num_read: int
    num_missing: int
    num_stale: int

    @property
    def is_current(self) -> bool:
        """Whether every item has its row."""
        return not (self.num_missing or self.num_stale)


def upstream_features(prompt: Prompt) -> tuple[tuple[str, str], ...]:
    """Feature and view of every text that a prompt reads and does not write."""
    history = prompt.history
    if history is None or history.item_feature is None:
        return ()
    feature, _, view = history.item_feature.partition(".")
    return ((feature, view),)


def job_order(prompt: Prompt, find_prompt: FindPrompt) -> tuple[Prompt, ...]:
    """The prompts to run before a prompt, each after those that it reads; the prompt itself is last.

    Features that no prompt writes, such as imported ones, are left out.

    Raises:
        UsageError: If prompts read each other in a circle.
    """
    order: dict[str, Prompt] = {}
    _visit(prompt, find_prompt, (), order)
    return tuple(order.values())


def _visit(prompt: Prompt, find_prompt: FindPrompt, path: tuple[str, ...], order: dict[str, Prompt]) -> None:
    if prompt.name in path:
        circle = " → ".join((*path[path.index(prompt.name) :], prompt.name))
        raise UsageError(
            f"prompts read each other in a circle: {circle}.",
            hint="Let item_feature under [history] name a text that does not build on this prompt.",
        )
    if prompt.name in order:
        return
    for feature, _ in upstream_features(prompt):
        try:
            upstream = find_prompt(feature)
        except UnknownNameError:
            continue
        _visit(upstream, find_prompt, (*path, prompt.name), order)
    order[prompt.name] = prompt


def upstream_jobs(
    store: Store, prompt: Prompt, entry: ModelEntry, find_prompt: FindPrompt, find_model: FindModel
) -> tuple[UpstreamJob, ...]:
    """The jobs to run before a prompt's own, in that order.

    Texts that were imported, or written by a model that is no longer known, are left as they are.

    Args:
        store: Holds the heads.
        prompt: The prompt that reads.
        entry: Its model.
        find_prompt: See `FindPrompt`.
        find_model: See `FindModel`.

    Raises:
        UsageError: If prompts read each other in a circle.
    """
    order = {found.name: found for found in job_order(prompt, find_prompt)}
    read = {feature: view for found in order.values() for feature, view in upstream_features(found)}
    jobs = (_job(store, order[name], read[name], entry, find_model) for name in order if name in read)
    return tuple(job for job in jobs if job is not None)


def upstream_texts(store: Store, job: UpstreamJob, inputs: EntityInputs) -> UpstreamTexts:
    """How current the texts of a job are, over exactly the items that histories of selected users read.

    Plans the whole upstream prompt, which reads its stored answers once.

    Args:
        store: Sources and texts.
        job: Who writes them.
        inputs: The readers, with their histories.

    Raises:
        InputError: If no items were ingested.
    """
    selected = (history for user, history in inputs.histories.items() if inputs.selects(user))
    read = {item for history in selected for item in history.item_ids}
    head = _head(store, job.prompt.name, job.view)
    missing, stale = read, set[str]()
    if head is not None and isinstance(head.spec, TextSpec):
        stored = store.read(head.table, columns=[c.ID])[c.ID].to_pylist()
        plan = plan_generation(store, job.prompt, stage_specs(job.prompt, job.entry, head.spec.model))
        missing = read.difference(stored)
        stale = read.intersection(plan.inputs.ids[work.position] for work in plan.works) - missing
    return UpstreamTexts(job.feature, job.entry.alias, len(read), len(missing), len(stale))


def _job(
    store: Store, prompt: Prompt, view: str, entry: ModelEntry, find_model: FindModel
) -> UpstreamJob | None:
    head = _head(store, prompt.name, view)
    if head is None:
        return UpstreamJob(prompt, view, entry)
    if not isinstance(head.spec, TextSpec):
        return None
    try:
        return UpstreamJob(prompt, view, find_model(head.spec.model.alias))
    except UnknownNameError:
        return None


def _head(store: Store, feature: str, view: str) -> FeatureVersion | None:
    try:
        return FeatureRegistry(store).head("text", feature, view)
    except UnknownNameError:
        return None
