"""RecMind's adapters on the real small decoder and encoder: 64 items, 16 of them held out."""

from pathlib import Path

import numpy as np
import pytest
from aligned_world import add_graph_vectors, add_texts, release
from gate_world import add_catalogue

from featurestore.stores.memory import MemoryStore
from llm_jobs.models import find_encoder
from llm_jobs.tuning.alignment import AlignmentConfig
from llm_jobs.tuning.recmind_adapters import RecmindReport, RecmindSources, tune_recmind

pytestmark = [pytest.mark.slow]

_NUM_ITEMS = 64
_KINDS = (
    ("night cream", "for very dry skin, with rose oil and shea butter"),
    ("toy drum", "for children from three years, loud, made of tin"),
    ("kettle", "boils two litres of water, stainless steel, switches itself off"),
    ("desk lamp", "bright light for reading at night, with a clamp"),
    ("beard oil", "softens coarse beards, smells of cedar wood"),
    ("guitar strings", "bronze, light gauge, for acoustic guitars"),
    ("running shoes", "cushioned, for long roads, breathe well"),
    ("dog leash", "two metres of leather with a strong hook"),
)
_MAKERS = ("Acme", "Northwood", "Lunaris", "Kestrel")
_MANNERS = ("Gentle", "Sturdy")


def _texts() -> list[str | None]:
    """Every kind of thing by every maker in every manner, thing by thing."""
    return [
        f"{manner} {thing} by {maker}, {what}."
        for thing, what in _KINDS
        for maker in _MAKERS
        for manner in _MANNERS
    ]


def _graph_vectors() -> np.ndarray:
    """(64, 16) float32: who buys one thing of a kind buys others of it, more or less."""
    rng = np.random.default_rng(3)
    kinds = np.repeat(rng.normal(size=(len(_KINDS), 16)), _NUM_ITEMS // len(_KINDS), axis=0)
    return (kinds + 0.3 * rng.normal(size=kinds.shape)).astype(np.float32)


def _tuned(encoder: str, folder: Path) -> RecmindReport:
    store = MemoryStore("real")
    add_catalogue(store)
    add_texts(store, "item", _texts())
    add_graph_vectors(store, "item", _graph_vectors())
    return tune_recmind(
        store,
        release(store),
        RecmindSources({"item": "item_notes"}, "lightgcn"),
        entry=find_encoder(encoder, {}),
        config=AlignmentConfig(
            lora_rank=8,
            lora_alpha=16,
            learning_rate=5e-4,
            head_learning_rate=5e-3,
            epochs=2,
            batch_size=8,
            max_tokens=48,
            held_out_share=0.25,
        ),
        seed=1,
        work_folder=folder,
    )


@pytest.mark.parametrize(
    "encoder",
    [
        pytest.param("smollm2-hidden", marks=pytest.mark.real_llm),
        pytest.param("minilm", marks=pytest.mark.real_encoder),
    ],
)
def test_held_out_items_agree_better_with_the_graph(encoder: str, tmp_path: Path) -> None:
    """Chance is ln 16 = 2.77, and 10 of 16. Measured: docs/tuning.md."""
    report = _tuned(encoder, tmp_path)
    before, after = report.before["item"], report.after["item"]
    print(encoder, before, after, report.tuning)
    assert (report.num_examples, after.num_nodes) == (48, 16)
    assert report.stored[0].num_texts == _NUM_ITEMS
    assert after.loss < 0.7 * before.loss
    assert after.loss < 0.7 * np.log(16)
    assert after.hit_at_10 > 0.8
