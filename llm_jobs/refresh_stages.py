"""Stages of a refresh that write texts and encode them: thin skins over `generate` and `embed`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from featurestore.refresh.pipeline import StageOutcome, Watch
from featurestore.refresh.stored_state import head_state, source_state, table_versions
from featurestore.source_tables import ITEMS
from featurestore.spec import table_name
from featurestore.store import Store
from llm_jobs.due import OVER_LIMIT
from llm_jobs.embed import embed, events_learned_by
from llm_jobs.encoder import TextEncoder
from llm_jobs.encoders import encoder_spec
from llm_jobs.engines import OpenModel
from llm_jobs.entries import EncoderEntry
from llm_jobs.generate import GenerateOptions, generate
from llm_jobs.job_graph import UpstreamJob, upstream_features
from llm_jobs.night_budget import NightBudget
from llm_jobs.plain_features import ITEM_TEXT, PLAIN_FEATURES
from llm_jobs.plain_text import VIEW
from llm_jobs.prompt import Prompt
from llm_jobs.runner import Runner
from llm_jobs.specs import stage_specs


@dataclass(frozen=True, slots=True)
class TextStage:
    """The texts of a prompt; skipped while sources, upstream texts, specs and policy are the same."""

    store: Store
    prompt: Prompt
    model: OpenModel
    options: GenerateOptions
    work_folder: Path
    runner: Runner | None
    upstream: UpstreamJob | None
    watch: Watch
    budget: NightBudget | None = None
    """Price and ceilings in the place of the options', for all features of the night."""

    @property
    def name(self) -> str:
        """``texts.item_cot``."""
        return f"texts.{self.prompt.name}"

    def reads(self) -> Mapping[str, Any]:
        """Sources and options, and for users also events and the texts of their items."""
        options = self.options
        policy = options.due.model_dump(mode="json") if options.due is not None else None
        reads: dict[str, Any] = {"where": options.where, "limit": options.limit, "due": policy}
        if self.prompt.entity == "item" and options.where is None:
            return {**reads, **table_versions(self.store, ITEMS)}
        upstream = [head_state(self.store, "text", *name) for name in upstream_features(self.prompt)]
        return {**reads, **source_state(self.store), "upstream": upstream}

    def writes(self) -> Mapping[str, Any]:
        """A table for every stage of the prompt, named by its spec."""
        specs = stage_specs(self.prompt, self.model.entry, self.model.spec)
        return table_versions(self.store, *map(table_name, specs))

    def run(self) -> StageOutcome:
        """See `llm_jobs.generate.generate`."""
        options, budget = self.options, self.budget
        if budget is not None:
            options = replace(options, spending=budget.spending)
        with self.watch.run_progress(self.name) as progress:
            report = generate(
                self.store,
                self.prompt,
                self.model,
                options=options,
                work_folder=self.work_folder,
                runner=self.runner,
                upstream=self.upstream,
                progress=progress,
            )
        if budget is not None:
            budget.take(report.planned)
        waiting = report.put_off.get(OVER_LIMIT, 0)
        return StageOutcome(
            facts={**report.as_dict(), "due": report.num_chains, "stale": report.num_stale},
            left=f"{waiting:,} entities are over the limit of {self.options.limit:,}" if waiting else None,
            again_at=datetime.fromisoformat(report.next_due) if report.next_due is not None else None,
        )


@dataclass(frozen=True, slots=True)
class PlainTextStage:
    """Texts put together without a model; skipped while the items, or for users all sources, are the same."""

    store: Store
    feature: str
    watch: Watch

    @property
    def name(self) -> str:
        """``texts.item_text``."""
        return f"texts.{self.feature}"

    def reads(self) -> Mapping[str, Any]:
        """The items; of users also their events and the split."""
        if self.feature == ITEM_TEXT:
            return table_versions(self.store, ITEMS)
        return source_state(self.store)

    def writes(self) -> Mapping[str, Any]:
        """The feature's one view."""
        return {"text": head_state(self.store, "text", self.feature, VIEW)}

    def run(self) -> StageOutcome:
        """See `llm_jobs.plain_features`."""
        with self.watch.progress(self.name) as progress:
            PLAIN_FEATURES[self.feature](self.store, feature=self.feature, progress=progress)
        return StageOutcome()


@dataclass(frozen=True, slots=True)
class VectorStage:
    """Vectors of one text view; skipped while texts and encoder are the same. The encoder opens if needed."""

    store: Store
    feature: str
    view: str
    encoder: EncoderEntry
    open_encoder: Callable[[EncoderEntry], TextEncoder]
    watch: Watch

    @property
    def name(self) -> str:
        """``vectors.item_cot.fused``."""
        return f"vectors.{self.feature}.{self.view}"

    def reads(self) -> Mapping[str, Any]:
        """The texts and the encoder; of an adapter its content, for a folder may be written anew."""
        texts = head_state(self.store, "text", self.feature, self.view)
        adapter = encoder_spec(self.encoder).adapter
        tuned = {"adapter": adapter} if adapter is not None else {}
        return {"texts": texts, "encoder": self.encoder.model_dump(mode="json"), **tuned}

    def writes(self) -> Mapping[str, Any]:
        """The vectors."""
        return {"vectors": head_state(self.store, "vector", self.feature, self.view)}

    def run(self) -> StageOutcome:
        """See `llm_jobs.embed.embed`."""
        encoder = self.open_encoder(self.encoder)
        with self.watch.progress(self.name) as progress:
            report = embed(
                self.store,
                feature=self.feature,
                view=self.view,
                encoder=encoder,
                learned_from=events_learned_by(self.store, self.encoder),
                progress=progress,
            )
        counts = ("num_texts", "num_current", "num_encoded", "num_reused", "num_deleted", "num_failed_texts")
        return StageOutcome(facts={"table": report.table, **{name: getattr(report, name) for name in counts}})
