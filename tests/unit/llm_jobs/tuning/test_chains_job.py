"""Tuning on chains with a tiny chat model: the loss, the resume, the artefact and what generates with it."""

import math
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from chains_world import INSTRUCTIONS, QUICK, fill, write_prompt, writer_entry

from featurestore.adapters import load_adapter
from featurestore.errors import EmbeddingSpaceError, LockHeldError, UsageError
from featurestore.jobs.lock import FeatureLock
from featurestore.reader import Release
from featurestore.spec import Sampling
from featurestore.stores.memory import MemoryStore
from featurestore.tuned_models import TunedModel, find_tuned, save_tuned
from llm_jobs.engine import Request
from llm_jobs.engines import EngineOptions
from llm_jobs.engines.transformers_engine import TransformersEngine
from llm_jobs.entries import ModelEntry, ReasoningTags
from llm_jobs.models import model_spec
from llm_jobs.prompt import Prompt
from llm_jobs.tuned_models import tuned_entry
from llm_jobs.tuning.answer_loss import AnswerObjective, mean_loss
from llm_jobs.tuning.answer_quality import judge_answers, write_answers
from llm_jobs.tuning.chain_examples import read_chains
from llm_jobs.tuning.chains_job import ChainsReport, ChainsSources, tune_chains
from llm_jobs.tuning.lora import attach_adapter, attach_stored
from llm_jobs.tuning.standing import kept_standing
from llm_jobs.tuning.writer import AdaptedWriter, TokenExample, load_writer


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> ModelEntry:
    return writer_entry(tmp_path_factory.mktemp("writer"))


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore("chains")


@pytest.fixture
def prompt(tmp_path: Path) -> Prompt:
    return write_prompt(tmp_path)


@pytest.fixture
def released(store: MemoryStore, prompt: Prompt, tmp_path: Path) -> Release:
    return fill(store, prompt, tmp_path)


@pytest.fixture
def run(store, prompt, released, entry, tmp_path):
    """Tune the tiny writer."""

    def tune(
        *, name: str = "shop", folder: str = "work", instructions=INSTRUCTIONS, **options
    ) -> ChainsReport:
        sources = ChainsSources(read_chains(store, released, prompt, "item_kind"), instructions, name)
        arguments = {"entry": entry, "config": QUICK, "seed": 3, "work_folder": tmp_path / folder} | options
        return tune_chains(store, released, sources, **arguments)

    return tune


def test_the_loss_is_the_mean_over_answers_of_their_tokens(entry: ModelEntry) -> None:
    writer = load_writer(entry, QUICK)
    examples = [TokenExample((1, 2, 3), (4, 5)), TokenExample((6, 7), (8, 9, 10, 11))]
    expected = []
    for each in examples:
        ids = torch.tensor([[*each.prompt, *each.answer]])
        scores = writer.network(
            input_ids=ids, attention_mask=torch.ones(ids.shape[1], ids.shape[1]).tril().bool()[None, None]
        ).logits[0]
        steps = range(len(each.prompt), ids.shape[1])
        chances = [torch.log_softmax(scores[step - 1], dim=0)[ids[0, step]].item() for step in steps]
        expected.append(-sum(chances) / len(chances))
    model = AdaptedWriter(attach_adapter(writer.network, QUICK, seed=1))
    np.testing.assert_allclose(model(examples).detach().numpy(), expected, rtol=1e-4)
    loss = AnswerObjective(examples).loss(model, np.array([0, 1]))
    assert loss.item() == pytest.approx(np.mean(expected), rel=1e-4)
    assert mean_loss(model, examples, batch_size=1) == pytest.approx(np.mean(expected), rel=1e-4)
    assert math.isnan(mean_loss(model, [], batch_size=1))


def test_a_student_learns_its_teachers_form_and_the_store_keeps_it(
    run, store, prompt, released, entry
) -> None:
    config = QUICK.model_copy(update={"epochs": 12})
    report = run(config=config)
    assert (report.num_chains, report.num_general) == (18, 18)
    assert (report.num_general_wanted, report.general_share) == (18, 0.5)
    assert report.after.chain_loss < 0.7 * report.before.chain_loss
    assert report.before.general_loss is not None
    assert report.after.general_loss is not None
    assert report.after.general_loss < report.before.general_loss
    assert report.before.answers.num_answers == 3
    assert report.before.answers.valid_json == 0

    adapter = load_adapter(store.objects, report.adapter)
    assert sorted(adapter.files) == ["adapter_config.json", "adapter_model.safetensors"]
    assert adapter.origin.job == "chains"
    assert adapter.origin.base == model_spec(entry)
    assert adapter.origin.texts == {"item": released.pin("text", "item_kind").spec.digest}
    assert adapter.origin.event_set is None
    assert store.objects.list("tuned-models/") == ["tuned-models/shop/000001.json"]
    assert find_tuned(store.objects, "shop") == TunedModel(base="tiny", adapter=report.adapter)
    with pytest.raises(EmbeddingSpaceError, match="was tuned to write by 'tiny'; it makes no vectors"):
        _ = adapter.encoder_base


def test_a_share_that_was_not_reached_is_told_and_stored(run, store) -> None:
    report = run(config=QUICK.model_copy(update={"max_steps": 1}), instructions=INSTRUCTIONS[:8])
    assert (report.num_chains, report.num_general, report.num_general_wanted) == (18, 6, 18)
    assert report.general_share == 6 / 24
    settings = load_adapter(store.objects, report.adapter).origin.settings
    assert (settings["general_share"], settings["general_share_reached"]) == (0.5, 6 / 24)


def test_a_tuning_that_was_stopped_ends_with_the_same_bits(run, tmp_path: Path) -> None:
    whole = run(folder="whole")

    def stop(done: int, total: int, note: str = "") -> None:
        if note.startswith("loss") and done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(folder="stopped", progress=stop)
    assert len(list((tmp_path / "stopped" / "tuning").glob("shop-*.safetensors"))) == 1
    resumed = run(folder="stopped")
    assert resumed.tuning.resumed_at == 2
    assert resumed.adapter == whole.adapter
    assert resumed.tuning.losses == whole.tuning.losses
    assert resumed.after == whole.after
    assert list((tmp_path / "stopped" / "tuning").glob("shop-*.safetensors")) == []


def test_pure_and_mixed_are_judged_on_the_same_and_the_base_is_measured_once(run, tmp_path: Path) -> None:
    mixed = run()
    seen: list[str] = []

    def listen(done: int, total: int, note: str = "") -> None:
        seen.append(note)

    pure = run(
        name="shop-pure",
        config=QUICK.model_copy(update={"general_share": 0.0}),
        progress=listen,
    )
    assert pure.before == mixed.before
    assert pure.num_general == 0
    assert pure.before.num_general == 6
    assert seen.count("answers") == 3
    assert pure.adapter != mixed.adapter
    (kept,) = (tmp_path / "work" / "tuning").glob("before-*.json")
    kept.write_text("{")
    assert kept_standing(kept, lambda: pure.after) == pure.after
    assert kept_standing(kept, lambda: mixed.after) == pure.after


def test_a_finished_tuning_is_not_done_again_while_the_store_has_its_adapter(run, store, tmp_path) -> None:
    config = QUICK.model_copy(update={"max_steps": 2})
    seen: list[str] = []

    def progress(done: int, total: int, note: str = "") -> None:
        del done, total
        seen.append(note)

    first = run(config=config, progress=progress)
    save_tuned(store.objects, "shop", TunedModel(base="other", adapter="0" * 32))
    seen.clear()
    assert run(config=config, progress=progress) == first
    assert not seen
    assert find_tuned(store.objects, "shop") == TunedModel(base="tiny", adapter=first.adapter)
    for path in store.objects.list("adapters/"):
        store.objects.delete(path)
    assert run(config=config, progress=progress).adapter == first.adapter
    assert seen
    (kept,) = (tmp_path / "work" / "tuning").glob("shop-*.json")
    kept.write_text("{")
    assert run(config=config).adapter == first.adapter


def test_answers_are_judged_by_form_checks_and_quotes(store, prompt, released) -> None:
    asked = read_chains(store, released, prompt, "item_kind").examples[:5]
    texts = [
        asked[0].answer,
        '{"quote": "cello", "kind": "a cello for the house"}',
        "It is a lamp.",
        '{"quote": "rose"}',
        '{"quote": "drum", "kind": "I am sorry, I cannot help with that."}',
    ]
    quality = judge_answers(prompt, asked, texts)
    assert quality.num_answers == 5
    assert quality.valid_json == pytest.approx(3 / 5)
    assert quality.passed == pytest.approx(1 / 5)
    assert quality.num_quotes == 2
    assert quality.quotes_found == pytest.approx(1 / 2)
    assert quality.reasons.keys() >= {"no_json", "schema", "quote_not_found"}
    assert judge_answers(prompt, asked[:1], ["no"]).quotes_found is None


def test_answers_are_those_of_the_model_alone(store, prompt, released, entry) -> None:
    writer = load_writer(entry, QUICK)
    model = AdaptedWriter(attach_adapter(writer.network, QUICK, seed=1))
    asked = read_chains(store, released, prompt, "item_kind").examples[:3]
    together = write_answers(writer, model, asked)
    assert together == [write_answers(writer, model, [each])[0] for each in asked]


def test_the_transformers_engine_writes_with_the_tuned_model(
    run, store, prompt, released, entry, tmp_path: Path
) -> None:
    report = run(config=QUICK.model_copy(update={"epochs": 12}))
    tuned = find_tuned(store.objects, "shop")
    assert tuned is not None
    own = {"tiny": entry.model_dump(exclude={"alias"}, exclude_none=True)}
    opened = tuned_entry(store.objects, "shop", tuned, project=own, adapters=tmp_path / "adapters")
    assert model_spec(opened).alias == "shop"
    assert model_spec(opened).adapter == report.adapter

    writer = load_writer(entry, QUICK)
    model = AdaptedWriter(attach_stored(writer.network, load_adapter(store.objects, report.adapter).files))
    (asked, *_) = read_chains(store, released, prompt, "item_kind").examples
    (expected,) = write_answers(writer, model, [asked])
    assert expected.startswith('{"')
    with closing(TransformersEngine(opened, EngineOptions(max_num_seqs=2, kv_cache_gib=0.01))) as engine:
        engine.submit([Request("1", asked.messages, Sampling(max_tokens=asked.stage.max_tokens))])
        done = [completion for _ in range(20) for completion in engine.poll(1.0)]
    assert [completion.text for completion in done] == [expected]


def test_a_tuned_name_stands_for_the_last_tuning_of_its_base(run, store, entry, tmp_path: Path) -> None:
    first = run()
    second = run(seed=4)
    assert first.adapter != second.adapter
    tuned = find_tuned(store.objects, "shop")
    assert tuned == TunedModel(base="tiny", adapter=second.adapter)
    save_tuned(store.objects, "shop", tuned)
    assert len(store.objects.list("tuned-models/")) == 2
    assert find_tuned(store.objects, "shopping") is None

    def opened(**keys: object) -> ModelEntry:
        own = {"tiny": entry.model_dump(exclude={"alias"}, exclude_none=True) | keys}
        return tuned_entry(store.objects, "shop", tuned, project=own, adapters=tmp_path / "adapters")

    with pytest.raises(
        UsageError, match="the adapter of 'shop' was tuned on another base model: chat_template"
    ):
        opened(template_options={"enable_thinking": False})
    with pytest.raises(UsageError, match="runs on the engine 'echo', which loads no adapters"):
        opened(engine="echo")
    damaged = Path(str(opened().adapter)) / "adapter_config.json"
    damaged.write_text("{")
    assert model_spec(opened()).adapter == second.adapter


def test_what_cannot_be_tuned_is_refused_before_anything_runs(run, store, entry, tmp_path: Path) -> None:
    cases: list[tuple[dict[str, object], str]] = [
        ({"reasoning": ReasoningTags(open="<think>", close="</think>")}, "thinks aloud before it answers"),
        ({"engine": "vllm", "quantization": "awq"}, r"is quantised \(awq\): gradients need whole weights"),
        ({"adapter": "lora"}, r"has an adapter already \(lora\)"),
        ({"engine": "echo"}, "loads no adapters"),
    ]
    for keys, message in cases:
        with pytest.raises(UsageError, match=message):
            run(entry=entry.model_copy(update=keys))
    with pytest.raises(UsageError, match="'a shop' cannot name a model"):
        run(name="a shop")
    with pytest.raises(UsageError, match="'echo' is a model already"):
        run(name="echo")
    with FeatureLock(store.objects, "tuning.shop"), pytest.raises(LockHeldError):
        run()
    assert store.objects.list("tuned-models/") == []
