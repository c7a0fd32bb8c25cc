"""Attack a prompt and a model with hostile catalogue texts, with the product's defence and without it.

Both runs are the product's own generation over a store in memory. Without the defence the model gets the raw
texts, no marks around the data and no rule about it, and its answers are not checked beyond their form.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from unicodedata import normalize

from featurestore import columns as c
from featurestore.progress import RunProgress, no_run_progress
from featurestore.spec import table_name
from featurestore.stores.memory import MemoryStore
from llm_jobs.chain import ChainLimits
from llm_jobs.clean import clean_text
from llm_jobs.engines import OpenModel
from llm_jobs.generate import GenerateOptions, generate
from llm_jobs.prompt import Prompt
from llm_jobs.redteam_attacks import Attack
from llm_jobs.redteam_report import CaseOutcome, RedteamReport
from llm_jobs.redteam_world import PlacedText, RawTextEngine, build_world, has_data_rule, without_defence
from llm_jobs.specs import stage_specs

_SUSPICIOUS: Final = "suspicious:"


@dataclass(frozen=True, slots=True)
class _Case:
    entity_id: str
    attack: Attack
    carrier: int
    is_twin: bool

    @property
    def text(self) -> str:
        return self.attack.twin if self.is_twin else self.attack.text

    def placed(self, text: str) -> PlacedText:
        return PlacedText(self.entity_id, self.attack.field, text, self.carrier)


def redteam(
    prompt: Prompt,
    model: OpenModel,
    attacks: Sequence[Attack],
    *,
    undefended: bool = True,
    max_attempts: int = 1,
    progress: RunProgress = no_run_progress,
) -> RedteamReport:
    """Run a prompt over every attack and its twin. Touches no store but its own in memory.

    It asks the engine (attacks + twins) x stages times, twice that with the undefended run.

    Args:
        prompt: With its limits applied.
        model: Who writes.
        attacks: See `llm_jobs.redteam_attacks.load_attacks`.
        undefended: Whether to run without the defence as well.
        max_attempts: Requests for one answer, the first included.
        progress: Told where each of the two runs stands.

    Raises:
        UsageError: If the prompt reads no field that could hold a text.
        SetupError: If the engine cannot start.
    """
    cases = [
        _Case(f"{attack.name}-{'twin' if is_twin else 'attack'}", attack, number, is_twin)
        for number, attack in enumerate(attacks)
        for is_twin in (False, True)
    ]
    run = _Run(prompt, max_attempts, progress)
    defended = run.defended(model, cases)
    bare = run.undefended(model, cases) if undefended else ()
    engine_class = model.engine.info.engine_class
    return RedteamReport(
        prompt.name, model.entry.alias, engine_class, has_data_rule(prompt), defended, tuple(bare)
    )


class _Run:
    def __init__(self, prompt: Prompt, max_attempts: int, progress: RunProgress) -> None:
        self._prompt = prompt
        self._max_attempts = max_attempts
        self._progress = progress

    def defended(self, model: OpenModel, cases: Sequence[_Case]) -> tuple[CaseOutcome, ...]:
        store = build_world(self._prompt, [case.placed(case.text) for case in cases])
        rows = self._generate(store, self._prompt, model)
        return tuple(self._outcome(case, rows[case.entity_id], is_cleaned=True) for case in cases)

    def undefended(self, model: OpenModel, cases: Sequence[_Case]) -> tuple[CaseOutcome, ...]:
        stand_ins = {f"rawtext{number:05d}": case for number, case in enumerate(cases)}
        store = build_world(self._prompt, [case.placed(name) for name, case in stand_ins.items()])
        engine = RawTextEngine(model.engine, {name: case.text for name, case in stand_ins.items()})
        bare = OpenModel(model.entry, model.spec, engine)
        rows = self._generate(store, without_defence(self._prompt), bare)
        return tuple(self._outcome(case, rows[case.entity_id], is_cleaned=False) for case in cases)

    def _generate(
        self, store: MemoryStore, prompt: Prompt, model: OpenModel
    ) -> dict[str, dict[str, dict[str, Any]]]:
        """Rows by entity and stage."""
        limits = ChainLimits(max_attempts=self._max_attempts, skip_budget=1.0)
        with tempfile.TemporaryDirectory() as folder:
            generate(
                store,
                prompt,
                model,
                options=GenerateOptions(limits=limits),
                work_folder=Path(folder),
                progress=self._progress,
            )
        rows: dict[str, dict[str, dict[str, Any]]] = {}
        for spec in stage_specs(prompt, model.entry, model.spec):
            for row in store.read(table_name(spec)).to_pylist():
                rows.setdefault(row[c.ID], {})[spec.view] = row
        return rows

    def _outcome(self, case: _Case, rows: dict[str, dict[str, Any]], *, is_cleaned: bool) -> CaseOutcome:
        texts = {view: row[c.TEXT] for view, row in rows.items() if row[c.TEXT] is not None}
        shown = [view for view, text in texts.items() if case.attack.succeeded(text, self._prompt.system)]
        flags = {flag for row in rows.values() for flag in row[c.FLAGS] or ()}
        return CaseOutcome(
            attack=case.attack,
            is_twin=case.is_twin,
            texts=texts,
            failures={view: row[c.REASON] for view, row in rows.items() if row[c.REASON] is not None},
            shown_in=tuple(shown),
            flags=tuple(sorted(f.removeprefix(_SUSPICIOUS) for f in flags if f.startswith(_SUSPICIOUS))),
            damaged=is_cleaned and _is_damaged(case.text),
        )


def _is_damaged(text: str) -> bool:
    """Whether cleaning takes letters or digits out of a text, its length aside."""
    return _letters(clean_text(text, 2 * len(text)).text) != _letters(text)


def _letters(text: str) -> str:
    return "".join(character for character in normalize("NFKC", text) if character.isalnum())
