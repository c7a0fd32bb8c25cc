"""Aliases go forward to releases that exist, and back to those they named."""

import pytest
from store_samples import add_sources, add_texts

from featurestore.errors import LockHeldError, MissingVersionError, StoreError, UsageError
from featurestore.gates.policy import GatePolicy
from featurestore.jobs.lock import FeatureLock
from featurestore.release import ReleaseCatalog
from featurestore.releases.promote import promote, rollback
from featurestore.releases.publish import publish
from featurestore.stores.memory import MemoryStore


@pytest.fixture
def store() -> MemoryStore:
    """A store with four releases, of which ``production`` has named all, one after another."""
    store = MemoryStore()
    add_sources(store)
    for number in range(4):
        add_texts(store, {f"i{n}": f"text {number} of {n}" for n in range(6)})
        publish(store, gates=GatePolicy())
    return store


def test_promote_makes_an_alias_name_a_release(store):
    report = promote(store, "2", alias="canary")
    assert (report.before, report.release, report.moved) == (None, 2, True)
    report = promote(store, "canary")
    assert (report.alias, report.before, report.release) == ("production", 4, 2)
    assert not promote(store, "2").moved
    assert ReleaseCatalog(store).aliases() == {"canary": 2, "production": 2}


def test_promote_refuses_what_does_not_exist(store):
    with pytest.raises(
        MissingVersionError, match=r"no release or alias '9'\. Aliases: production \(release 4\)"
    ):
        promote(store, "9")
    with pytest.raises(UsageError, match="an alias starts with a letter"):
        promote(store, "1", alias="17")
    assert ReleaseCatalog(store).aliases() == {"production": 4}


def test_one_rollback_after_another_goes_further_back(store):
    assert [rollback(store).release for _ in range(3)] == [3, 2, 1]
    with pytest.raises(
        MissingVersionError, match="alias 'production' named no earlier release than 1"
    ) as caught:
        rollback(store)
    assert "Name one with --to" in caught.value.hint
    promote(store, "4")
    assert rollback(store).release == 3, "it goes back from where 4 was first named"


def test_rollback_to_a_release_of_ones_choice(store):
    report = rollback(store, to=2)
    assert (report.before, report.release, report.moved) == (4, 2, True)
    assert not rollback(store, to=2).moved
    with pytest.raises(MissingVersionError, match="no release or alias '17'"):
        rollback(store, to=17)


def test_rollback_passes_over_releases_that_are_gone(store):
    catalog = ReleaseCatalog(store)
    catalog.remove(3)
    assert rollback(store).release == 2


def test_rollback_needs_an_alias(store):
    with pytest.raises(MissingVersionError, match="no release or alias 'canary'"):
        rollback(store, alias="canary")
    with pytest.raises(UsageError, match="an alias starts with a letter"):
        rollback(store, alias="../x")


def test_production_is_rolled_back_while_a_release_is_being_made(store):
    with FeatureLock(store.objects, "publish"):
        assert rollback(store).release == 3
        with pytest.raises(LockHeldError, match="another job works on publish"):
            publish(store, gates=GatePolicy())


def test_a_release_that_is_named_or_the_newest_is_not_removed(store):
    catalog = ReleaseCatalog(store)
    promote(store, "2", alias="canary")
    for number, why in ((2, "alias 'canary' names it"), (4, "alias 'production' names it")):
        with pytest.raises(StoreError, match=f"release {number} cannot be removed: {why}"):
            catalog.remove(number)
    rollback(store, to=1)
    with pytest.raises(StoreError, match="release 4 cannot be removed: it is the newest one"):
        catalog.remove(4)


def test_moves_are_numbered_on_after_old_ones_are_gone(store):
    catalog = ReleaseCatalog(store)
    first, *_ = catalog.moves("production")
    store.objects.delete(first)
    promote(store, "1")
    assert list(catalog.moves("production"))[-1] == "aliases/production/000005.json"
    assert catalog.aliases() == {"production": 1}


def test_a_damaged_move_stops_only_what_needs_it(store):
    """The history of an alias serves its rollback: neither promotion, nor readers, nor other aliases."""
    catalog = ReleaseCatalog(store)
    promote(store, "2", alias="canary")
    for path in ("aliases/production/000001.json", "aliases/canary/000001.json"):
        store.objects.delete(path)
        store.objects.put_new(path, b"{")
    assert catalog.resolve("production").number == 4
    assert catalog.point("production", 3)
    with pytest.raises(StoreError, match=r"move of an alias 'aliases/production/000001\.json' is damaged"):
        rollback(store)
    with pytest.raises(
        StoreError, match=r"move of an alias 'aliases/canary/000001\.json' is damaged"
    ) as caught:
        catalog.resolve("canary")
    assert "or delete it: an alias names what its last move says" in caught.value.hint
