"""Every example of docs/reading.md runs, in order, on a small store."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diff_samples import put_codes, release
from store_samples import ITEM_IDS, add_texts, add_vectors, fill_store

from featurestore.release import ReleaseCatalog
from featurestore.stores import connect


def _publish(folder: Path) -> None:
    """What the page reads, as the release that ``production`` names."""
    store = connect(str(folder))
    fill_store(store)
    texts = {i: f"Who likes {i}, and why." for i in ITEM_IDS}
    for feature, view in (("item_cot", "forward"), ("item_cot", "fused"), ("item_semantic_id", "text")):
        add_vectors(store, add_texts(store, texts, feature=feature, view=view), ITEM_IDS[:4])
    codes = {item: (number, 2 * number, 0) for number, item in enumerate(ITEM_IDS)}
    put_codes(store, codes, feature="item_semantic_id")
    ReleaseCatalog(store).point("production", release(store))


def test_the_examples_run(project_root: Path, tmp_path: Path) -> None:
    for module in ("torch", "duckdb"):
        pytest.importorskip(module)
    _publish(tmp_path)
    page = (project_root / "docs/reading.md").read_text(encoding="utf-8")
    examples = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(examples) >= 8
    code = "\n".join(examples).replace("shop/store", str(tmp_path))
    for named, stored in (("P0001", "i0"), ("P0002", "i1")):
        code = code.replace(named, stored)
    said: dict[str, Any] = {}
    exec(compile(code, "docs/reading.md", "exec"), said)
    assert said["rows"].tolist() == [1, 0]
    assert len(said["dataset"]) == 5, "the fallback has one item more"
    assert said["batch"].vector.shape == (5, 4)
    assert len(said["aligned"]) == said["table"].num_embeddings == 6
    np.testing.assert_array_equal(said["edges"], said["aligned"].edge_index())
    assert said["codes"].matrix.shape == (6, 3)
    assert said["lists"].filter(said["lists"]["user_id"] == "u0")["rank"].to_list() == [0, 1]
