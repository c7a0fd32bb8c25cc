"""Ask one stored row's question again: same model, prompt, seed and inputs. Nothing is written to the store.

Equal text is not promised even then: a row was drawn in a batch, its conversation may have gone on from token
ids, and engines differ. So a replay says whether the text is equal, near or different, and what else differs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias

from featurestore import columns as c
from featurestore.errors import UsageError
from featurestore.features import FeatureRegistry
from featurestore.pages.word_difference import word_similarity
from featurestore.schema import TEXTS
from featurestore.spec import TextSpec, table_name
from featurestore.store import Store
from llm_jobs.chain import ChainLimits, ChainRunner
from llm_jobs.compare_sample import copy_entities
from llm_jobs.engines import OpenModel
from llm_jobs.entity_chain import EntityChain, open_chain
from llm_jobs.inputs import load_inputs
from llm_jobs.plan import ChainWork, GenerationPlan, StoredRow
from llm_jobs.prompt import Prompt
from llm_jobs.requests import RequestBuilder
from llm_jobs.specs import answer_digest, changed_fields, row_fingerprint, stage_specs
from llm_jobs.stage import Stage

ReplayVerdict: TypeAlias = Literal["equal", "near", "different"]

NEAR: Final = 0.8
"""Share of equal words in equal order from which two texts are near."""


@dataclass(frozen=True, slots=True)
class WrittenRow:
    """A row that a model wrote.

    Attributes:
        spec: Its feature version.
        values: Columns of `featurestore.schema.TEXTS`.
    """

    spec: TextSpec
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Replay:
    """What came of asking again.

    Attributes:
        verdict: ``equal``: the same text, or the same failure. ``near``: the similarity reaches the
            threshold, or both failed for the same reason. ``different``: neither.
        similarity: Share of equal words in equal order; -1 if one of the two has no text.
        then: The stored row.
        now: The row that would be written today.
        same_inputs: Whether the row's fingerprint is what its inputs give today.
        changed_fields: Inputs that changed since; may be empty for rows that did not record them.
        same_request: Whether the request was the stored one, the engine aside; None if the row took several
            requests whose answers are not kept.
    """

    verdict: ReplayVerdict
    similarity: float
    then: WrittenRow
    now: Mapping[str, Any]
    same_inputs: bool
    changed_fields: tuple[str, ...]
    same_request: bool | None


def find_written_row(store: Store, feature: str, view: str | None, entity_id: str) -> WrittenRow:
    """The current row of an entity in a feature view.

    Args:
        store: Where it is.
        feature: Name of a text feature.
        view: Its view; None: the usual one (see `featurestore.features.choose_view`).
        entity_id: Item or user.

    Raises:
        UnknownNameError: If there is no such feature or view.
        MissingIdsError: If the view has no row of the entity.
        UsageError: If no model was asked for the row.
    """
    head = FeatureRegistry(store).pick_head("text", feature, view)
    if not isinstance(head.spec, TextSpec):
        raise UsageError(
            f"{feature}.{head.spec.view} was not written by a model: nothing can be asked again."
        )
    values = store.read(head.table, ids=[entity_id], key=c.ID).to_pylist()[0]
    if values[c.REQUEST_KEY] is None:
        raise UsageError(
            f"no model was asked for {entity_id!r} in {feature}.{head.spec.view}: {values[c.REASON]}.",
            hint="Replay a stage that was asked; one that builds on a failed stage is not.",
        )
    return WrittenRow(head.spec, values)


def replay(store: Store, row: WrittenRow, prompt: Prompt, model: OpenModel, *, near: float = NEAR) -> Replay:
    """Ask for a row again, and compare.

    A row that took several attempts is asked for with its last seed alone if that was the whole conversation,
    else with all of its seeds in turn, each rejected answer shown as it was then.

    Args:
        store: Read only.
        row: See `find_written_row`.
        prompt: The prompt of that name, with its limits applied.
        model: The model of that name.
        near: Similarity from which two texts are near.

    Raises:
        UsageError: If prompt or model are not those of the row, naming what differs.
        MissingIdsError: If the entity or a stage that the row builds on is gone.
        SetupError: If the engine cannot start.
    """
    replayed = _ReplayedRow(store, row, prompt, model)
    now = replayed.ask()
    similarity = word_similarity(row.values[c.TEXT], now[c.TEXT])
    return Replay(
        verdict=_verdict(row.values, now, similarity, near),
        similarity=similarity,
        then=row,
        now=now,
        same_inputs=replayed.same_inputs,
        changed_fields=replayed.changed_fields,
        same_request=replayed.same_request,
    )


def check_same_spec(stored: TextSpec, found: TextSpec) -> None:
    """Refuse to replay a row under another spec than its own.

    Raises:
        UsageError: Naming each part that differs, with both values.
    """
    if stored.digest == found.digest:
        return
    before, after = (_flat(spec.model_dump(mode="json")) for spec in (stored, found))
    parts = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    listed = "\n".join(f"  - {n}: {_short(before.get(n))} then, {_short(after.get(n))} now" for n in parts)
    raise UsageError(
        f"{stored.feature}.{stored.view} was written under another spec:\n{listed}",
        hint="Bring back the prompt file, --max-field-chars and model folder of then; "
        "`featurestore show` prints the stored spec.",
    )


class _ReplayedRow:
    def __init__(self, store: Store, row: WrittenRow, prompt: Prompt, model: OpenModel) -> None:
        stage = prompt.stage(row.spec.view)
        self._row = row
        self._model = model
        self._prompt = _up_to(prompt, stage)
        self._specs = stage_specs(self._prompt, model.entry, model.spec)
        check_same_spec(row.spec, self._specs[-1])
        inputs = load_inputs(copy_entities(store, self._prompt, [row.values[c.ID]]), self._prompt)
        self._plan = GenerationPlan(inputs, (), {}, {}, retry_failed=True)
        self._answers = _stored_answers(store, self._specs[:-1], row.values[c.ID])
        chain = self._chain()
        self._fingerprints = _fingerprints(chain, self._specs, self._answers)
        self.same_inputs = self._fingerprints[-1] == row.values[c.FINGERPRINT]
        self.changed_fields = changed_fields(row.values[c.FIELD_DIGESTS], chain.field_digests[row.spec.reads])
        self.same_request = self._is_last_request(chain)

    def ask(self) -> Mapping[str, Any]:
        """The row that the engine's answer makes."""
        attempts = self._row.values[c.ATTEMPTS]
        alone = self.same_request is not None
        stored: list[StoredRow | None] = [
            StoredRow(mark, answer, 1)
            for mark, answer in zip(self._fingerprints, self._answers.values(), strict=False)
        ]
        # A failed row's next seed is the one after its attempts: so the last seed of this row is drawn again.
        stored.append(StoredRow(self._fingerprints[-1], None, attempts - 1) if alone else None)
        rows: list[Mapping[str, Any]] = []
        runner = ChainRunner(
            self._prompt,
            self._specs,
            replace(self._plan, works=(ChainWork(0, tuple(stored)),)),
            self._model.engine,
            run_id="replay",
            limits=ChainLimits(max_attempts=1 if alone else attempts, skip_budget=1.0),
            write_row=lambda _, written: rows.append(written),
        )
        runner.run(lambda: None)
        return {name: rows[-1].get(name) for name in TEXTS.names}

    def _chain(self) -> EntityChain:
        return open_chain(ChainWork(0, (None,) * len(self._specs)), self._plan, self._prompt, self._specs)

    def _is_last_request(self, chain: EntityChain) -> bool | None:
        values = self._row.values
        request = RequestBuilder(self._prompt, self._specs, values[c.ENGINE]).build(
            len(self._specs) - 1,
            chain.fields,
            self._answers,
            sample_index=values[c.ATTEMPTS] - 1,
            continues=None,
        )
        if request.key == values[c.REQUEST_KEY]:
            return True
        return False if values[c.ATTEMPTS] == 1 else None


def _up_to(prompt: Prompt, stage: Stage) -> Prompt:
    """The prompt with nothing but a stage and those it builds on: no other may be asked."""
    needed = {stage.name, *stage.upstream, *(source.name for source in prompt.condensing(stage).values())}
    changes: dict[str, Any] = {"stages": tuple(s for s in prompt.stages if s.name in needed)}
    if stage.condenses:
        # Its conversation holds that field alone; the data block reads fields that it does not.
        changes["data"] = f"{{{{ {stage.condenses} }}}}"
    return prompt.model_copy(update=changes)


def _stored_answers(store: Store, specs: Sequence[TextSpec], entity_id: str) -> dict[str, str]:
    return {
        spec.view: store.read(table_name(spec), columns=[c.ID, c.ANSWER], ids=[entity_id])[c.ANSWER][
            0
        ].as_py()
        for spec in specs
    }


def _fingerprints(chain: EntityChain, specs: Sequence[TextSpec], answers: Mapping[str, str]) -> list[str]:
    """What each stage's fingerprint would be today."""
    digests = {view: answer_digest(answer) for view, answer in answers.items()}
    views = {spec.view for spec in specs}
    return [
        row_fingerprint(chain.inputs[spec.reads], [digests[name] for name in spec.upstream if name in views])
        for spec in specs
    ]


def _verdict(
    then: Mapping[str, Any], now: Mapping[str, Any], similarity: float, near: float
) -> ReplayVerdict:
    names = (c.STATUS, c.TEXT, c.REASON)
    same = all(then[name] == now[name] for name in names)
    if same and (then[c.TEXT] is not None or then[c.RAW] == now[c.RAW]):
        return "equal"
    return "near" if same or similarity >= near else "different"


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    """Leaves of nested mappings by dotted name."""
    if not isinstance(value, dict):
        return {prefix: value}
    leaves: dict[str, Any] = {}
    for name, part in value.items():
        leaves |= _flat(part, f"{prefix}.{name}" if prefix else name)
    return leaves


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
