"""A damaged manifest is named by those who go on without it, and stops only those who need it."""

from datetime import timedelta

import pytest
from store_samples import ITEM_IDS, add_recommendations, add_sources, add_texts

from featurestore.errors import DamagedFileError, NewerStoreError
from featurestore.gates.policy import GatePolicy
from featurestore.overview import list_features
from featurestore.readable_manifests import read_manifests
from featurestore.reader import FeatureStore
from featurestore.release import ReleaseCatalog
from featurestore.releases import publish as publish_module
from featurestore.releases.listing import describe_release, list_releases
from featurestore.releases.promote import rollback
from featurestore.releases.publish import publish
from featurestore.spec import PlainTextSpec, table_name
from featurestore.stores.memory import MemoryStore

POLICY = GatePolicy()


@pytest.fixture
def store() -> MemoryStore:
    """Three releases, each with other texts."""
    store = MemoryStore()
    add_sources(store)
    for number in range(3):
        text(store, number)
        publish(store, gates=POLICY)
    return store


def text(store: MemoryStore, number: int) -> PlainTextSpec:
    return add_texts(store, {item: f"text {number} of {item}" for item in ITEM_IDS})


def damage(store: MemoryStore, number: int, data: bytes = b"{") -> None:
    path = f"releases/{number:06d}.json"
    store.objects.delete(path)
    assert store.objects.put_new(path, data)


def pinned_version(store: MemoryStore, number: int) -> int:
    return next(pin.version for pin in ReleaseCatalog(store).manifest(number).pins if pin.spec.kind == "text")


def test_lists_name_a_damaged_release_and_go_on(store):
    damage(store, 2)
    listed = list_releases(store, 20)
    assert [row.number for row in listed.releases] == [3, 1]
    assert listed.releases[0].num_changed == len(ReleaseCatalog(store).manifest(3).pins)
    overview = list_features(store)
    assert [row.number for row in overview.releases] == [1, 3]
    assert {row.releases for row in overview.features} == {(1, 3)}
    (damaged,) = overview.damaged
    assert listed.damaged == overview.damaged
    assert (damaged.release, damaged.path) == (2, "releases/000002.json")
    assert "'releases/000002.json' is not one that product version" in damaged.found
    assert str(damaged) == (
        "release 2 is left out: its manifest 'releases/000002.json' is damaged. Restore the file "
        "from a copy; `featurestore verify --all` says what is wrong with it."
    )
    assert list_releases(store, 1).damaged == ()


def test_what_can_be_read_is_all_or_not(store):
    catalog = ReleaseCatalog(store)
    assert [manifest.number for manifest in read_manifests(catalog, [3, 1]).if_all or ()] == [3, 1]
    damage(store, 1)
    found = read_manifests(catalog, [3, 1])
    assert ([manifest.number for manifest in found.manifests], found.if_all) == ([3], None)


def test_a_newer_manifest_is_no_damage(store):
    damage(store, 1, b'{"format_version": 9}')
    with pytest.raises(NewerStoreError, match="has format 9"):
        list_releases(store, 20)


def test_readers_of_other_releases_notice_nothing(store):
    damage(store, 2)
    assert FeatureStore(store).release("production").number == 3
    assert describe_release(store, "3").manifest.number == 3
    assert rollback(store, to=1).release == 1
    with pytest.raises(DamagedFileError, match=r"'releases/000002\.json' is not one"):
        FeatureStore(store).release("2")


def test_publish_needs_the_newest_manifest_only_and_removes_nothing(store, monkeypatch):
    damaged_version = pinned_version(store, 1)
    damage(store, 1)
    spec = text(store, 3)
    monkeypatch.setattr(publish_module, "_GRACE", timedelta(0))
    before = {each.version for each in store.versions(table_name(spec))}
    report = publish(store, gates=POLICY)
    assert (report.manifest.number, report.manifest.parent, report.moved) == (4, 3, True)
    assert [each.release for each in report.damaged] == [1]
    assert damaged_version in before <= {each.version for each in store.versions(table_name(spec))}
    assert publish(store, gates=POLICY).damaged == (), "nothing has changed, so no other manifest is read"


def test_publish_refuses_without_the_newest_manifest(store):
    damage(store, 3)
    text(store, 3)
    with pytest.raises(DamagedFileError, match=r"'releases/000003\.json' is not one") as caught:
        publish(store, gates=POLICY)
    assert (caught.value.exit_code, caught.value.hint) == (7, "Restore the file from a copy.")
    assert ReleaseCatalog(store).numbers() == [1, 2, 3]
    assert ReleaseCatalog(store).aliases() == {"production": 3}


def test_publish_refuses_recommendations_learned_from_a_damaged_release(store):
    add_recommendations(store)
    damage(store, 1)
    with pytest.raises(DamagedFileError, match=r"'releases/000001\.json' is not one"):
        publish(store, gates=POLICY)
