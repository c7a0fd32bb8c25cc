"""A student of the real small model: it learns a form, and both engines write with it by its name."""

from pathlib import Path

import pytest
from chains_world import INSTRUCTIONS, fill, write_prompt

from featurestore.reader import FeatureStore
from featurestore.stores.memory import MemoryStore
from featurestore.tuned_models import find_tuned
from llm_jobs.engines import EngineOptions, open_model
from llm_jobs.generate import GenerateOptions, generate
from llm_jobs.models import find_model
from llm_jobs.tuned_models import tuned_entry
from llm_jobs.tuning.chain_examples import read_chains
from llm_jobs.tuning.chains_config import ChainsConfig
from llm_jobs.tuning.chains_job import ChainsSources, tune_chains

pytestmark = [pytest.mark.real_llm, pytest.mark.slow]

_CONFIG = ChainsConfig(
    lora_rank=8,
    learning_rate=2e-3,
    epochs=4,
    batch_size=4,
    accumulation=1,
    held_out_share=0.25,
    judged_answers=4,
    general_share=0.2,
)
"""Twenty-four steps over eighteen chains and four instructions."""


def test_a_student_of_smollm2_writes_what_its_teacher_would(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    store = MemoryStore("real")
    prompt = write_prompt(tmp_path)
    release = fill(store, prompt, tmp_path / "teacher")
    base = find_model("smollm2-135m", {})
    report = tune_chains(
        store,
        release,
        ChainsSources(read_chains(store, release, prompt, "item_kind"), INSTRUCTIONS, "student"),
        entry=base,
        config=_CONFIG,
        seed=1,
        work_folder=tmp_path,
    )
    assert report.after.chain_loss < 0.3 * report.before.chain_loss
    assert report.after.answers.passed == 1
    assert report.after.answers.quotes_found == 1

    tuned = find_tuned(store.objects, "student")
    assert tuned is not None
    for engine in ("transformers", "vllm"):
        own = {"smollm2-135m": {"engine": engine}}
        entry = tuned_entry(store.objects, "student", tuned, project=own, adapters=tmp_path / "adapters")
        with open_model(entry, options=EngineOptions(max_model_len=512, max_num_seqs=4)) as model:
            done = generate(
                store, prompt, model, options=GenerateOptions(limit=4), work_folder=tmp_path / engine
            )
        assert done.outcomes == {"text": {"ok": 4}}, engine
        assert FeatureStore(store).release().number == release.number
