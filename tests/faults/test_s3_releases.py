"""Releases on a failing S3: published, promoted, rolled back and read as on one that works."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from fault_proxy import Fault, FaultProxy, drawn
from s3_service import BUCKET, failing_s3
from store_samples import ITEM_IDS, add_sources, add_texts, add_vectors

from featurestore.errors import ServiceError
from featurestore.gates.policy import GatePolicy
from featurestore.reader import open_store
from featurestore.releases.promote import promote, rollback
from featurestore.releases.publish import publish
from featurestore.releases.verify import verify
from featurestore.spec import table_name
from featurestore.stores import connect

pytestmark = pytest.mark.slow

_FAULTS = dict.fromkeys((Fault.RESET, Fault.LOST_REPLY, Fault.BUSY, Fault.TORN_REPLY), 0.02)
_ANYTHING = GatePolicy(max_lost_texts=1.0, max_knn_churn=1.0)
_Result = TypeVar("_Result")


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    with failing_s3() as proxy:
        yield proxy


def test_releases_under_faults(proxy: FaultProxy, tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch):
    uri = f"s3://{BUCKET}/{uuid.uuid4().hex}"
    store = connect(uri)
    add_sources(store)
    for night in (1, 2):
        proxy.decide = lambda _: Fault.NONE
        texts = add_texts(store, {i: f"A text about {i} of night {night}." for i in ITEM_IDS})
        vectors = add_vectors(store, texts, ITEM_IDS, seed=night)
        proxy.decide = drawn(seed + night, _FAULTS)
        report = _until_it_works(lambda: publish(store, gates=_ANYTHING))
        assert (report.manifest.number, report.alias) == (night, "production")
    assert sum(proxy.befallen[fault] for fault in _FAULTS) >= 4
    assert _until_it_works(lambda: rollback(store)).release == 1
    _until_it_works(lambda: promote(store, "2", alias="canary"))
    monkeypatch.setenv("FEATURESTORE_CACHE", str(tmp_path))
    for name, night in (("production", 1), ("canary", 2)):
        release = _until_it_works(lambda name=name: open_store(uri).release(name))
        found = _until_it_works(lambda release=release: release.texts("item_text"))
        assert found["text"].to_list() == [f"A text about {i} of night {night}." for i in ITEM_IDS]
    matrix = _until_it_works(lambda: open_store(uri).release("canary").embeddings("item_text").matrix)
    proxy.decide = lambda _: Fault.NONE
    stored = store.read(table_name(vectors), ids=list(ITEM_IDS), columns=["vector"])
    np.testing.assert_array_equal(matrix, stored["vector"].to_pylist())
    assert verify(store).damages == ()
    assert store.objects.list("releases/") == ["releases/000001.json", "releases/000002.json"]
    moves = {alias: len(store.objects.list(f"aliases/{alias}/")) for alias in ("production", "canary")}
    assert moves == {"production": 3, "canary": 1}


def _until_it_works(call: Callable[[], _Result]) -> _Result:
    """A command that ends with a clear error is run again, as its hint says."""
    for _ in range(5):
        with suppress(ServiceError):
            return call()
    return call()
