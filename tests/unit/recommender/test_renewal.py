"""Stored vectors of a model, renewed for what changed and for nothing else."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from toy_store import QUICK, add_vectors, fill

from featurestore.errors import EmbeddingSpaceError, LeakError, MissingVersionError, UsageError
from featurestore.gates.policy import GatePolicy
from featurestore.id_maps import extend
from featurestore.ingest import IngestRequest, ingest
from featurestore.reader import FeatureStore, Release
from featurestore.releases.publish import publish
from featurestore.splits import SplitPolicy, remove_earlier_splits
from featurestore.store import Store
from featurestore.stores.memory import MemoryStore
from recommender.data import training_data
from recommender.evaluation.compare import open_saved
from recommender.experiment import TrainRequest, train_models
from recommender.features import NodeFeatures, entity_features
from recommender.known_rows import known_data
from recommender.model_vectors import write_model_vectors
from recommender.renewal import RenewalReport, changed_users, renew_vectors

POLICY = GatePolicy()


class World:
    """The toy store: a model on release 1, its vectors in release 2."""

    def __init__(
        self, folder: Path, model: str = "lightgcn", store: Store | None = None, **settings: str
    ) -> None:
        self.folder, self.store = folder, store or MemoryStore("renewed")
        fill(self.store, folder)
        self.reader = FeatureStore(self.store)
        request = TrainRequest(model, QUICK | settings, feature="item_text")
        train_models(self.reader.release(), request, folder / "m")
        self.saved, self.first = open_saved(folder / "m", self.reader, None)
        write_model_vectors(self.store, self.saved, self.first, name="z")
        publish(self.store, gates=POLICY)

    def a_day_later(self, *, events: int = 2, encoder: str = "toy") -> None:
        """User u0 had more items, i20 has come, and both are published."""
        self.publish_events(self.with_more(events), encoder=encoder)

    def with_more(self, count: int, user: str = "u0") -> pl.DataFrame:
        """Events of yesterday, and then some of a user with even items."""
        old = pl.read_parquet(self.folder / "events.parquet")
        had = set(old.filter(user_id=user)["item_id"])
        fresh = [f"i{i}" for i in range(0, 14, 2) if f"i{i}" not in had][:count]
        return pl.concat([old, pl.DataFrame({"user_id": [user] * len(fresh), "item_id": fresh})])

    def publish_events(self, events: pl.DataFrame, *, encoder: str = "toy") -> None:
        """A release of these events, and of i20."""
        items = pl.read_parquet(self.folder / "items.parquet")
        more = pl.DataFrame({"item_id": ["i20"], "title": ["Item 20"]})
        pl.concat([items, more]).unique("item_id").write_parquet(self.folder / "items.parquet")
        events.write_parquet(self.folder / "events.parquet")
        files = {"items": self.folder / "items.parquet", "interactions": self.folder / "events.parquet"}
        ingest(self.store, IngestRequest(files=files, split=SplitPolicy(method="leave_one_out")))
        add_vectors(self.store, self.folder, "item_text", [*range(15), 20], encoder=encoder)
        refusing = ["embedding_space"] if encoder != "toy" else []
        report = publish(self.store, gates=POLICY, accepted_gates=refusing)
        assert set(report.left_out) == {"z.user", "z.item"}

    def renew(self, **options: Release) -> RenewalReport:
        """Renew for the newest release."""
        return renew_vectors(self.store, self.saved, self.first, self.reader.release(), name="z", **options)

    def vectors(self, entity: str) -> dict[str, np.ndarray]:
        publish(self.store, gates=POLICY)
        release = self.reader.release()
        found = entity_features(release, entity, "z", view=entity)
        ids = release.id_map(entity).ids
        return {ids[row]: found.matrix[row] for row in np.flatnonzero(found.has_vector)}


def test_only_users_whose_training_items_changed_are_written(tmp_path):
    world = World(tmp_path, fusion="replace")
    before = world.vectors("user")
    world.a_day_later()
    now = world.reader.release()
    report = renew_vectors(world.store, world.saved, world.first, now, name="z")
    assert (report.num_users, report.num_new_items) == (1, None)
    after = world.vectors("user")
    assert [user for user in before if not np.array_equal(before[user], after[user])] == ["u0"]
    row = int(now.id_map("user").row_of(["u0"])[0])
    data = known_data(now, world.saved.info.binding)
    items = entity_features(now, "item", "item_text").matrix[: data.num_items]
    features = NodeFeatures(type(entity_features(now, "item", "item_text"))(items, items.any(axis=1)))
    expected = world.saved.model.with_features(data, features).vectors()[0][row].numpy()
    np.testing.assert_allclose(after["u0"], expected, atol=1e-6)


def test_an_item_that_has_just_come_is_ranked_by_its_text_the_same_day(tmp_path):
    """i20 is even by its text, nobody had it, and the model was fitted before it came."""
    world = World(tmp_path, model="recmind", alignment_epochs="2", alpha="0.5")
    world.a_day_later()
    report = renew_vectors(world.store, world.saved, world.first, world.reader.release(), name="z")
    assert report.num_new_items == 1
    users, items = world.vectors("user"), world.vectors("item")
    text = pl.read_parquet(tmp_path / "item_text.parquet").filter(item="i20")["v"].to_list()
    expected = world.saved.model.vectors_of_new_items(np.array(text, np.float32))
    np.testing.assert_allclose(items["i20"], expected[0], atol=1e-6)
    scores = [np.mean([users[f"u{u}"] @ items["i20"] for u in range(odd, 30, 2)]) for odd in (0, 1)]
    assert scores[0] > scores[1]


def test_nothing_is_written_when_nothing_changed(tmp_path):
    world = World(tmp_path, fusion="replace")
    before = {entity: world.store.latest(table) for entity, table in _tables(world).items()}
    report = renew_vectors(world.store, world.saved, world.first, world.reader.release(), name="z")
    assert report.num_users == 0
    assert {entity: world.store.latest(table) for entity, table in report.tables.items()} == before


def test_changed_users_are_those_whose_pairs_differ():
    def data(pairs):
        users, items = np.array(pairs).T
        return training_data(num_users=4, num_items=5, train=(users, items), valid=(users[:0], items[:0]))

    before = data([(0, 1), (1, 2), (2, 0), (2, 3)])
    now = data([(0, 1), (1, 3), (2, 0), (3, 4)])
    assert changed_users(before, now).tolist() == [1, 2, 3]


def test_a_model_without_texts_cannot_be_renewed(tmp_path):
    world = World(tmp_path)
    train_models(world.reader.release(), TrainRequest("lightgcn", QUICK), tmp_path / "plain")
    saved, release = open_saved(tmp_path / "plain", world.reader, None)
    write_model_vectors(world.store, saved, release, name="plain")
    with pytest.raises(
        UsageError, match=r"this lightgcn was trained without vectors of texts; its own cannot"
    ):
        renew_vectors(world.store, saved, release, release, name="plain")


def test_vectors_that_were_never_stored_cannot_be_renewed(tmp_path):
    world = World(tmp_path, fusion="replace")
    with pytest.raises(
        MissingVersionError,
        match=r"no vectors of this lightgcn under the name 'other'\.\n  Write them first: featurestore",
    ):
        renew_vectors(world.store, world.saved, world.first, world.reader.release(), name="other")


@pytest.mark.parametrize("is_since", [False, True])
def test_events_that_are_taken_back_leave_no_trace(tmp_path, is_since):
    """u0 had more for a day, and u2, who shares items with u0, for good: both were renewed that day."""
    world = World(tmp_path, fusion="replace")
    fitted, kept = world.vectors("user"), world.with_more(2, "u2")
    kept.write_parquet(tmp_path / "events.parquet")
    world.a_day_later()
    first_night = world.reader.release()
    assert world.renew().num_users == 2
    renewed = world.vectors("user")
    assert not np.array_equal(renewed["u0"], fitted["u0"])
    world.publish_events(kept)
    assert world.renew(**({"since": first_night} if is_since else {})).num_users == 31
    after = world.vectors("user")
    assert [user for user in fitted if not np.array_equal(after[user], fitted[user])] == ["u2"]

    (tmp_path / "direct").mkdir()
    direct = World(tmp_path / "direct", fusion="replace")
    direct.publish_events(kept)
    direct.renew()
    np.testing.assert_array_equal(direct.vectors("user")["u2"], after["u2"])
    assert not np.array_equal(after["u2"], renewed["u2"])


def test_who_has_nothing_again_has_no_vector_again(tmp_path):
    """A user that the model knew of, and knew nothing about, had something for a day."""
    store = MemoryStore("renewed")
    extend(store, "user", ["quiet"])
    world = World(tmp_path, fusion="replace", store=store)
    users, items = world.saved.model.vectors()
    users[int(world.first.id_map("user").row_of(["quiet"])[0])] = 0.0
    world.saved.model.vectors = lambda: (users, items)
    write_model_vectors(world.store, world.saved, world.first, name="z")
    events = pl.read_parquet(tmp_path / "events.parquet")
    assert "quiet" not in world.vectors("user")
    world.publish_events(world.with_more(2, "quiet"))
    world.renew()
    assert "quiet" in world.vectors("user")
    world.publish_events(events)
    world.renew()
    assert "quiet" not in world.vectors("user")


def test_vectors_of_a_split_that_nobody_remembers_are_all_written(tmp_path):
    """As after an erasure, which removes the records of earlier splits."""
    world = World(tmp_path, fusion="replace")
    world.a_day_later()
    remove_earlier_splits(world.store)
    assert world.renew().num_users == 31


@pytest.mark.parametrize("is_since", [False, True])
def test_what_a_model_learned_from_may_not_be_held_out(tmp_path, is_since):
    world = World(tmp_path, fusion="replace")
    events = pl.read_parquet(tmp_path / "events.parquet")
    first_last = pl.concat([events.filter(user_id="u1").reverse(), events.filter(pl.col("user_id") != "u1")])
    first_last.write_parquet(tmp_path / "events.parquet")
    world.a_day_later(events=0)
    now = world.reader.release()
    since = now if is_since else None  # that release says nothing of what the model was fitted on
    with pytest.raises(
        LeakError,
        match=r"\d training events of release 1 are none of release 3: .*\n  Train the model again on",
    ):
        renew_vectors(world.store, world.saved, world.first, now, name="z", since=since)


def test_a_renewal_that_broke_off_names_no_old_vector_by_the_new_split(tmp_path, monkeypatch):
    world = World(tmp_path, fusion="replace")
    world.a_day_later()

    whole, written = world.store.upsert, []

    def upsert(table, rows, *, key):
        if written:
            raise OSError("the disk is gone")
        written.append(table)
        return whole(table, rows, key=key)

    monkeypatch.setattr(world.store, "upsert", upsert)
    with pytest.raises(OSError, match="the disk is gone"):
        renew_vectors(world.store, world.saved, world.first, world.reader.release(), name="z")
    monkeypatch.undo()
    report = publish(world.store, gates=POLICY)
    assert set(report.left_out) == {"z.user", "z.item"}
    assert (
        renew_vectors(world.store, world.saved, world.first, world.reader.release(), name="z").num_users == 1
    )


def test_texts_of_another_encoder_are_refused(tmp_path):
    world = World(tmp_path, fusion="replace")
    world.a_day_later(encoder="another")
    with pytest.raises(
        EmbeddingSpaceError, match=r"release 3 holds vectors of item_text by another \(.*learned from another"
    ):
        renew_vectors(world.store, world.saved, world.first, world.reader.release(), name="z")


def _tables(world: World) -> dict[str, str]:
    report = renew_vectors(world.store, world.saved, world.first, world.first, name="z")
    return report.tables
