"""Which events a text was made from decides what it may be joined with."""

from collections.abc import Callable
from datetime import UTC, datetime

import polars as pl
import pytest
from store_samples import USER_IDS, add_graph, add_sources, add_texts, add_vectors

from featurestore import schema
from featurestore.errors import LeakError, MissingVersionError, UsageError
from featurestore.gates.policy import GatePolicy
from featurestore.point_in_time import (
    EventSet,
    event_sets_along,
    feature_name,
    joined_event_set,
    parse_event_set,
    wanted_event_set,
)
from featurestore.reader import Release
from featurestore.release import Manifest, ReleaseCatalog
from featurestore.releases.publish import publish
from featurestore.splits import SplitRecord
from featurestore.store import Store
from featurestore.stores.memory import MemoryStore

POLICY = GatePolicy(max_duplicate_text_share=1.0)
TWO = USER_IDS[:2]


@pytest.fixture
def store() -> Store:
    return MemoryStore()


@pytest.fixture
def split(store: Store) -> SplitRecord:
    return add_sources(store)


def add_profiles(store: Store, events: str | None, *, own: str | None = None, feature: str = "taste") -> None:
    """Texts of two users made from some events; their vectors and graph, whose own rows say ``own``."""
    text = add_texts(
        store, {u: f"{u} likes {feature}" for u in TWO}, feature=feature, entity="user", event_set=events
    )
    vectors = add_vectors(store, text, TWO, event_set=own)
    add_graph(store, vectors, TWO, event_set=own)


def released(store: Store, change: Callable[[Manifest], Manifest] = lambda manifest: manifest) -> Release:
    """A release of what the store holds, or of what is made of its manifest."""
    publish(store, gates=POLICY)
    return Release(store, change(ReleaseCatalog(store).resolve("production")))


def refusals(release: Release, feature: str = "taste", **options: object) -> list[str]:
    """What each reader says when it refuses; all three must."""
    said = []
    for read in (release.texts, release.embeddings, release.graph):
        with pytest.raises(LeakError) as caught:
            read(feature, **options)
        said.append(str(caught.value))
    return said


@pytest.mark.parametrize("part", ["valid", "test"])
def test_what_read_held_out_events_is_refused_by_all_that_was_made_of_it(store, split, part) -> None:
    """Vectors and graph do not name the events themselves: their text does."""
    add_profiles(store, split.event_set(part))
    text, vectors, graph = refusals(released(store))
    assert text.startswith(
        f"text taste.text of release 1 read events of {split.checksum[:16]}:{part}; allowed"
    )
    made_of = "was made of text taste.text, which read events of"
    assert vectors.startswith(f"vector taste.text of release 1 {made_of} {split.checksum[:16]}:{part}")
    assert graph.startswith(f"graph taste.text of release 1 {made_of}")
    assert "allow_parts=('train', 'valid') for a final test" in text


def test_training_events_are_read_freely_and_more_only_if_allowed(store, split) -> None:
    add_profiles(store, f"{split.checksum[:16]}:train+valid")
    add_profiles(store, split.event_set(), feature="safe")
    release = released(store)
    assert release.texts("safe").height == len(release.graph("safe").ids) == 2
    refusals(release)
    refusals(release, allow_parts=("valid",))
    assert release.graph("taste", allow_parts=("train", "valid")).ids == list(TWO)


def test_events_of_another_split_are_refused_whatever_is_allowed(store, split) -> None:
    add_profiles(store, split.event_set())
    other = split.model_copy(update={"checksum": "f" * 32})
    release = released(store, lambda manifest: manifest.model_copy(update={"split": other}))
    text, vectors, _ = refusals(release, allow_parts=("train", "valid", "test"))
    assert "the split of this release is ffffffffffffffff, which may hold out what another" in text
    assert "was made of text taste.text" in vectors
    none = released(store, lambda manifest: manifest.model_copy(update={"split": None}))
    assert "the split of this release is none" in refusals(none)[0]


def test_events_that_are_not_those_of_the_split_are_refused(store, split) -> None:
    other = split.model_copy(update={"interactions_version": 99})
    release = released(store, lambda manifest: manifest.model_copy(update={"split": other}))
    with pytest.raises(LeakError, match=r"events of release 1 are of another split .*\(version \d, not 99\)"):
        release.interactions("train")


def add_timed_events(store: Store) -> SplitRecord:
    """One user, five events a thousand seconds apart; the fourth validates and the fifth tests."""
    split = add_sources(store)
    events = pl.DataFrame(store.read("source.interactions")).with_columns(
        (pl.col("position") * 1000).alias("timestamp")
    )
    version = store.replace("source.interactions", events.to_arrow().cast(schema.INTERACTIONS)).version
    timed = split.model_copy(update={"interactions_version": version})
    store.objects.put_new(f"splits/000002-{split.checksum}.json", timed.model_dump_json().encode())
    return timed


@pytest.mark.parametrize(
    ("until", "needed"),
    [(2999, ("train",)), (3000, ("train", "valid")), (4000, ("train", "valid", "test"))],
)
def test_the_log_up_to_a_moment_has_read_what_happened_by_then(store, until, needed) -> None:
    add_timed_events(store)
    add_profiles(store, f"log:{until}")
    release = released(store)
    for count in range(len(needed)):
        said = refusals(release, allow_parts=needed[:count])
        assert f"by then there were events of parts {', '.join(needed[count:])}; allowed are parts" in said[0]
    assert release.texts("taste", allow_parts=needed).height == 2


def test_the_version_made_from_given_events_or_missing(store, split) -> None:
    both = f"{split.checksum[:16]}:train+valid"
    add_profiles(store, split.event_set())
    add_profiles(store, both, feature="taste-train-valid")
    release = released(store)
    for name in ("train", "current:train", split.event_set()):
        assert release.texts("taste", events=name)["text"].to_list() == ["u0 likes taste", "u1 likes taste"]
    for name in ("train+valid", both):
        texts = release.texts("taste", events=name)
        assert texts["text"].to_list() == ["u0 likes taste-train-valid", "u1 likes taste-train-valid"]
        assert release.embeddings("taste", events=name).spec.feature == "taste-train-valid"
        assert release.graph("taste", events=name).spec.feature == "taste-train-valid"
    with pytest.raises(
        MissingVersionError,
        match=rf"text taste made from the events log:1404172799 is missing in release 1; there is: "
        rf"taste\.text from {split.event_set()}",
    ):
        release.texts("taste", events="log:2014-07-01")
    with pytest.raises(MissingVersionError, match=r"events \w+:train\+valid\+test is missing"):
        release.graph("taste", events="train+valid+test")


def test_what_read_no_events_is_the_version_for_any_events(store, split) -> None:
    add_texts(store, {"i0": "A soap."})
    release = released(store)
    assert release.texts("item_text", events="log:0")["text"].to_list() == ["A soap."]
    with pytest.raises(MissingVersionError, match=r"item_cot made from .*; there is: none of any events"):
        release.texts("item_cot", events="train")


def test_events_count_along_the_lineage(store, split) -> None:
    add_profiles(store, split.event_set(), own=split.event_set("valid"))
    manifest = released(store).manifest
    sets = {pin.spec.kind: event_sets_along(manifest, pin) for pin in manifest.pins if pin.event_sets}
    train, valid = split.event_set(), split.event_set("valid")
    assert sets == {"text": (train,), "vector": (train, valid)}


def test_names_of_event_sets() -> None:
    assert parse_event_set("1f0c2ab4e5d60718:valid+train") == EventSet("1f0c2ab4e5d60718", ("train", "valid"))
    assert parse_event_set("1f0c2ab4e5d60718:train+valid").name == "1f0c2ab4e5d60718:train+valid"
    assert parse_event_set("log:5").name == "log:5"
    day = int(datetime(2014, 7, 1, tzinfo=UTC).timestamp())
    assert wanted_event_set("log:2014-07-01", None) == EventSet("", until=day - 1)
    assert wanted_event_set("log:2014-07-01T02:00+02:00", None) == EventSet("", until=day - 1)
    assert wanted_event_set(f"log:{day}", None) == EventSet("", until=day)
    names = [feature_name("user_cot", e) for e in map(parse_event_set, ("a:train", "a:train+valid", "log:7"))]
    assert names == ["user_cot", "user_cot-train-valid", "user_cot-log-7"]


@pytest.mark.parametrize("name", ["", "train", "a:", "a:tset", "a:train+train", "log:", "log:soon", ":train"])
def test_words_that_name_no_events_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"'{name.replace('+', '.')}' names no events") as caught:
        parse_event_set(name)
    assert "train, train+valid, current:train, or log:2014-07-01" in caught.value.hint


def test_wishes_that_cannot_be_understood_are_refused() -> None:
    with pytest.raises(UsageError, match="'train' names parts of a split, but there is no split here"):
        wanted_event_set("train", None)
    with pytest.raises(UsageError, match="'2014-13-01' is no date"):
        wanted_event_set("log:2014-13-01", None)


def test_event_sets_of_several_sources_are_joined_or_refused():
    split = "0123456789abcdef"
    assert joined_event_set([]) is None
    assert joined_event_set([f"{split}:train"]) == f"{split}:train"
    assert joined_event_set([f"{split}:valid", f"{split}:train"]) == f"{split}:train+valid"
    assert joined_event_set(["log:5", "log:7"]) == "log:7"
    for other in ("fedcba9876543210:train", "log:5"):
        with pytest.raises(LeakError, match="read events that no split holds together"):
            joined_event_set([f"{split}:train", other])
