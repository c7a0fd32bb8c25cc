"""Adapters of models that write: pinned with the texts that they wrote, collected when nothing needs them."""

import pyarrow as pa
import pytest
from store_samples import ITEM_IDS, add_sources

from featurestore import columns as c
from featurestore import schema
from featurestore.adapters import Adapter, AdapterOrigin, adapter_paths
from featurestore.errors import DamagedFileError
from featurestore.features import FeatureRegistry
from featurestore.gates.policy import GatePolicy
from featurestore.releases.garbage import find_garbage
from featurestore.releases.gc import gc
from featurestore.releases.publish import publish
from featurestore.releases.retention import GcPolicy
from featurestore.spec import ModelSpec, Sampling, TextSpec, table_name
from featurestore.store import Store
from featurestore.stores.memory import MemoryStore
from featurestore.tuned_models import TunedModel, find_tuned, save_tuned

GATES = GatePolicy(min_compared=1_000)
AT_ONCE = GcPolicy(keep_releases=1, grace_hours=0, abandoned_days=0)
BASE = ModelSpec(alias="tiny", repo="tests/tiny", chat_template_digest="0" * 32)


def tuned(store: Store, seed: int) -> str:
    """Digest of a stored adapter that the name ``shop`` stands for from now on."""
    origin = AdapterOrigin(
        job="chains", base=BASE, settings={}, seed=seed, release=1, texts={"item": "a" * 32}, num_examples=4
    )
    adapter = Adapter(
        {"adapter_config.json": b"{}", "adapter_model.safetensors": f"weights {seed}".encode()}, origin
    )
    adapter.save(store.objects)
    save_tuned(store.objects, "shop", TunedModel(base="tiny", adapter=adapter.digest))
    return adapter.digest


def written(store: Store, adapter: str) -> TextSpec:
    """A registered text feature that the tuned model wrote."""
    spec = TextSpec(
        feature="item_kind",
        view="text",
        entity="item",
        prompt_digest="b" * 32,
        reads=("title",),
        output_schema={},
        text_fields=("kind",),
        model=BASE.model_copy(update={"alias": "shop", "adapter": adapter}),
        sampling=Sampling(),
    )
    row = dict.fromkeys(schema.TEXTS.names) | {
        c.FINGERPRINT: "f",
        c.ATTEMPTS: 1,
        c.RUN_ID: "run",
        c.STATUS: c.STATUS_OK,
    }
    rows = [row | {c.ID: each, c.TEXT: f"a kind of {each}"} for each in ITEM_IDS]
    store.upsert(table_name(spec), pa.Table.from_pylist(rows, schema=schema.TEXTS), key=c.ID)
    FeatureRegistry(store).register(spec)
    return spec


def adapters_in(store: Store) -> set[str]:
    return {path.split("/")[1] for path in store.objects.list("adapters/")}


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    add_sources(store)
    return store


def test_a_release_pins_the_adapter_that_wrote_its_texts(store: MemoryStore) -> None:
    adapter = tuned(store, 0)
    spec = written(store, adapter)
    pins = {pin.spec.digest: pin for pin in publish(store, gates=GATES).manifest.pins}
    paths = [artefact.path for artefact in pins[spec.digest].artefacts]
    assert paths == adapter_paths(store.objects, adapter)
    assert len(paths) == 3


def test_texts_of_an_adapter_of_elsewhere_pin_no_files(store: MemoryStore) -> None:
    spec = written(store, "f" * 32)
    pins = {pin.spec.digest: pin for pin in publish(store, gates=GATES).manifest.pins}
    assert pins[spec.digest].artefacts == ()


def test_an_adapter_stays_while_a_name_or_a_text_needs_it(store: MemoryStore) -> None:
    first = tuned(store, 0)
    written(store, first)
    second = tuned(store, 1)
    gc(store, AT_ONCE)
    assert adapters_in(store) == {first, second}, "texts of the one, the name of the other"

    third = tuned(store, 2)
    written(store, third)
    foreseen = find_garbage(store, AT_ONCE)
    assert {path for path in foreseen.objects if path.startswith("adapters/")} == {
        *adapter_paths(store.objects, first)
    }
    gc(store, AT_ONCE)
    assert adapters_in(store) == {second, third}, "the second wrote nothing: a job may be about to"
    current = find_tuned(store.objects, "shop")
    assert current is not None
    assert current.adapter == third


def test_a_tuned_model_that_gets_its_name_back_is_not_collected(store: MemoryStore) -> None:
    first = tuned(store, 0)
    written(store, first)
    written(store, tuned(store, 1))
    assert tuned(store, 0) == first
    assert not any(path.startswith("adapters/") for path in find_garbage(store, AT_ONCE).objects)


def test_nothing_goes_while_a_name_cannot_be_read(store: MemoryStore) -> None:
    tuned(store, 0)
    store.objects.put_new("tuned-models/shop/000002.json", b"{")
    with pytest.raises(DamagedFileError, match=r"tuned-models/shop/000002\.json' of the store is damaged"):
        gc(store, AT_ONCE)
