"""The frozen probe: same weights, same events, other vectors."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from toy_store import QUICK, fill

from featurestore import columns as c
from featurestore import id_maps
from featurestore.errors import GateFailedError, StoreError, UsageError
from featurestore.gate_result import GateResult
from featurestore.gates.draft import Draft
from featurestore.gates.policy import GatePolicy
from featurestore.imports import import_feature
from featurestore.ingest import IngestRequest, ingest
from featurestore.progress import no_progress
from featurestore.reader import FeatureStore
from featurestore.releases.publish import publish
from featurestore.splits import SplitPolicy
from featurestore.store import Store
from featurestore.stores.memory import MemoryStore
from recommender.experiment import TrainRequest, train_models
from recommender.models.lightgcn import Config, Model
from recommender.probe import FrozenProbe
from recommender.testing import checkerboard, parity_features

POLICY = GatePolicy()
SETTINGS = QUICK | {"fusion": "replace", "num_layers": "1", "learning_rate": "0.05"}  # vectors decide


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """The toy store with its first release."""
    toy = MemoryStore("probed")
    fill(toy, tmp_path)
    return toy


@pytest.fixture
def probe(store: Store, tmp_path: Path) -> FrozenProbe:
    return trained(store, tmp_path / "probe", feature="item_cot", fallback="item_text")


def trained(store: Store, folder: Path, **fields: str) -> FrozenProbe:
    train_models(FeatureStore(store).release(), TrainRequest("lightgcn", SETTINGS, **fields), folder)
    return FrozenProbe(folder)


def change_vectors(
    store: Store, folder: Path, *, turn: float = 1.0, noise: float = 0.001, encoder: str = "toy"
) -> None:
    """Write ``item_cot`` anew: the entry that tells even items from odd ones times ``turn``, and noise."""
    rows, generator = pl.read_parquet(folder / "item_cot.parquet").to_dicts(), np.random.default_rng(1)
    for row in rows:
        row["v"][1] *= turn
        row["v"] = [value + noise * generator.normal() for value in row["v"]]
    pl.DataFrame(rows).write_parquet(folder / "changed.parquet")
    import_feature(
        store,
        feature="item_cot",
        table=folder / "changed.parquet",
        key="item",
        vector="v",
        producer="a test",
        entity="item",
        encoder_name=encoder,
    )


def measured(store: Store, probe: FrozenProbe, **options: list[str]) -> GateResult:
    """What the probe's gate says of the next release."""
    gates = publish(store, gates=POLICY, probe=probe, **options).manifest.gates
    (gate,) = [gate for gate in gates if gate.gate == "probe"]
    return gate


def test_vectors_that_mislead_the_model_are_refused(store, probe, tmp_path):
    change_vectors(store, tmp_path, turn=-1.0)
    with pytest.raises(GateFailedError) as caught:
        publish(store, gates=POLICY, probe=probe)
    (line,) = caught.value.message.splitlines()[1:]
    assert line.strip().startswith("probe of vector item_cot.text: share of its validation metric that the")
    assert "at most 0.05 is allowed (ndcg@10 0." in line
    assert "raise gates.max_probe_drop" in caught.value.hint
    assert FeatureStore(store).aliases() == {"production": 1}


def test_vectors_that_say_the_same_pass(store, probe, tmp_path):
    change_vectors(store, tmp_path)
    gate = measured(store, probe)
    assert gate.passed
    assert abs(gate.value) < 0.02
    assert gate.note.startswith("ndcg@10 0.")


def test_the_parents_vectors_lose_nothing_and_are_not_scored(store, probe, monkeypatch):
    monkeypatch.setattr("recommender.probe._metric", None)
    store.replace("source.quarantine", store.read("source.items").select([c.ITEM_ID]))
    gate = measured(store, probe)
    assert (gate.value, gate.note) == (0.0, "the vectors are the parent's")


def test_vectors_of_another_encoder_cannot_be_read(store, probe, tmp_path):
    change_vectors(store, tmp_path, encoder="newer")
    gate = measured(store, probe, accepted_gates=["embedding_space", "probe"])
    assert (gate.value, gate.passed, gate.accepted) == (1.0, False, True)
    assert gate.note == "the model learned from vectors of toy, not of newer"


def test_a_release_without_the_models_vectors_fails_it(store, probe):
    gate = measured(store, probe, features=["elsewhere"], accepted_gates=["probe"])
    assert (gate.value, gate.note) == (1.0, "the release would not hold item_cot and item_text")


def test_later_items_and_users_are_left_out(store, probe, tmp_path):
    items = pl.read_parquet(tmp_path / "items.parquet")
    more = pl.concat([items, pl.DataFrame({"item_id": ["j1"], "title": ["Later"]})])
    more.write_parquet(tmp_path / "items.parquet")
    events = pl.read_parquet(tmp_path / "events.parquet")
    late = pl.DataFrame({"user_id": ["late"] * 4, "item_id": ["i0", "j1", "i2", "i4"]})
    pl.concat([events, late]).write_parquet(tmp_path / "events.parquet")
    files = {"items": tmp_path / "items.parquet", "interactions": tmp_path / "events.parquet"}
    ingest(store, IngestRequest(files=files, split=SplitPolicy(method="leave_one_out")))
    publish(store, gates=POLICY)
    assert len(id_maps.load(store, "item")) == 17
    change_vectors(store, tmp_path)
    assert measured(store, probe).passed


def test_where_there_is_nothing_to_compare_it_says_nothing(store, probe):
    release = FeatureStore(store).release().manifest
    assert probe(Draft(store, (), None, None)) is None
    assert probe(Draft(store, (), None, release.model_copy(update={"pins": ()}))) is None


def test_other_rows_than_the_models_are_refused(store, probe, tmp_path):
    config = probe.folder / "config.json"
    config.write_text(config.read_text().replace('"num_items": 16', '"num_items": 15'))
    change_vectors(store, tmp_path)
    with pytest.raises(StoreError, match=r"the item rows of the model, fitted on release 1, are not those"):
        publish(store, gates=POLICY, probe=probe)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({}, "it was trained without item vectors"),
        ({"feature": "item_cot", "control": "shuffled"}, "it was trained on shuffled vectors"),
        (
            {"feature": "item_cot", "fusion": "init"},
            "with fusion=init its scores do not read item vectors",
        ),
    ],
)
def test_a_model_that_cannot_be_a_probe_says_why(store, tmp_path, fields, why):
    settings = SETTINGS | {"fusion": fields.get("fusion", "replace")}
    named = {name: value for name, value in fields.items() if name != "fusion"}
    request = TrainRequest("lightgcn", settings, **named)
    train_models(FeatureStore(store).release(), request, tmp_path / "other")
    probe = FrozenProbe(tmp_path / "other")
    with pytest.raises(UsageError, match=f"this lightgcn cannot serve as a probe: {why}"):
        publish(store, gates=POLICY, probe=probe)


@pytest.mark.parametrize("fusion", ["replace", "add"])
def test_the_same_vectors_score_as_before_and_others_do_not(fusion):
    data, _ = checkerboard()
    features = parity_features()
    model = Model(Config(epochs=5, batch_size=64, embedding_dim=8, fusion=fusion))
    model.fit(data, features=features, seed=0, progress=no_progress)
    users = np.arange(40)
    np.testing.assert_allclose(
        model.with_features(data, features).score(users), model.score(users), atol=1e-5
    )
    other = model.with_features(data, parity_features(seed=4))
    assert not np.allclose(other.score(users), model.score(users), atol=1e-3)
    assert other.config == model.config


def test_a_model_without_vectors_takes_none():
    data, _ = checkerboard()
    model = Model(Config(epochs=1, embedding_dim=4))
    model.fit(data, features=None, seed=0, progress=no_progress)
    with pytest.raises(StoreError, match="this lightgcn was fitted without features"):
        model.with_features(data, parity_features())
