import re

import pytest
from store_samples import add_texts, fill_store

from featurestore.errors import UnknownNameError
from featurestore.gates.history import GatePoint, GateSeries, gate_history
from featurestore.gates.page import render_history
from featurestore.gates.policy import GatePolicy
from featurestore.release import manifest_path
from featurestore.releases.publish import publish
from featurestore.store import Store
from featurestore.stores.memory import MemoryStore


def series(*values: float, gate: str = "failure_rate", threshold: float = 0.2) -> GateSeries:
    points = (
        GatePoint(number, "2026", value, threshold, accepted=False) for number, value in enumerate(values)
    )
    return GateSeries(gate, "text f.v", "", tuple(points))


@pytest.fixture
def store() -> Store:
    """Three releases, of which the failure rate of item texts is 1/6, 2/6 and 0."""
    filled = MemoryStore()
    fill_store(filled)
    policy = GatePolicy(max_failure_rate=0.4)
    publish(filled, gates=policy)
    add_texts(filled, {"i4": None, "i3": "Fine."}, feature="other")
    publish(filled, gates=GatePolicy(max_failure_rate=0.1), accepted_gates=["failure_rate"])
    add_texts(filled, {"i5": "Fine.", "i4": "Fine too."}, feature="other")
    publish(filled, gates=policy)
    return filled


def test_values_come_by_release(store):
    (found,) = gate_history(store, gates=["failure_rate"], features=["other"]).series
    assert [(p.release, p.value, p.threshold, p.accepted) for p in found.points] == [
        (2, 0.5, 0.1, True),
        (3, 0.0, 0.4, False),
    ]
    (item_text,) = gate_history(store, gates=["failure_rate"], features=["item_text.text"]).series
    assert [point.release for point in item_text.points] == [1, 2, 3]
    assert [point.accepted for point in item_text.points] == [False, True, False]


def test_only_the_newest_releases_are_read(store):
    found = gate_history(store, gates=["failure_rate"], num_releases=1).series
    assert {point.release for each in found for point in each.points} == {3}


def test_what_is_nearest_to_refusing_comes_first(store):
    used = [each.used for each in gate_history(store).series]
    assert used == sorted(used, reverse=True)
    assert used[0] > 0


def test_unknown_names_are_refused(store):
    with pytest.raises(UnknownNameError, match=r"unknown gate 'mdd'\. Did you mean 'mmd'"):
        gate_history(store, gates=["mdd"])
    with pytest.raises(UnknownNameError, match=r"unknown feature 'item_txt'\. Did you mean 'item_text'"):
        gate_history(store, features=["item_txt"])


def test_a_store_without_releases_has_no_history():
    assert gate_history(MemoryStore()).series == ()


@pytest.mark.parametrize(
    ("found", "used"),
    [
        (series(0.05), 0.25),
        (series(0.5), 1.0),
        (series(0.0, threshold=0.0), 0.0),
        (series(1.0, threshold=0.0), 1.0),
        (series(0.95, gate="centroid_cosine", threshold=0.9), 0.5),
        (series(400, gate="rows", threshold=1), 0.0),
    ],
)
def test_how_much_of_what_is_allowed_is_used(found, used):
    assert found.used == pytest.approx(used)


def test_the_trend_is_scaled_to_its_own_range():
    assert series(0.0, 0.1, 0.05, 0.1).trend == "▁█▅█"
    assert series(0.3, 0.3).trend == "▁▁"


def test_the_page_stands_alone_and_shows_each_value(store):
    history = gate_history(store).series
    page = render_history(history, store="memory://<x>")
    assert "memory://&lt;x&gt;" in page
    assert not re.search(r"(?:src|href)=|<script|@import|url\(", page)
    assert page.count("<circle") == sum(len(each.points) for each in history)
    assert page.count('<circle class="accepted"') == sum(
        point.accepted for each in history for point in each.points
    )
    assert page.count("<figure>") == len(history)
    assert "release 2, " in page
    assert "0.5, refused and accepted" in page
    for number in re.findall(r'c[xy]="([-\d.]+)"', page):
        assert 0 <= float(number) <= 300


def test_one_release_makes_a_page_too(store):
    assert "Gates of releases 3 to 3" in render_history(gate_history(store, num_releases=1).series, store="s")


def test_a_damaged_manifest_is_named_and_hides_no_other_release(store):
    path = manifest_path(2)
    store.objects.delete(path)
    store.objects.put_new(path, b"{ torn")
    found = gate_history(store, gates=["failure_rate"], features=["item_text.text"])
    assert [point.release for point in found.series[0].points] == [1, 3]
    assert [damaged.release for damaged in found.damaged] == [2]
