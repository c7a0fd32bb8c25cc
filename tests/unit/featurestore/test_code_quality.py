import numpy as np
import polars as pl
import pytest

from featurestore import columns as c
from featurestore.codes.codebooks import Codebooks, Origin
from featurestore.codes.quality import (
    CodesQuality,
    code_churn,
    measure_codes,
    read_code_quality,
    store_quality,
)
from featurestore.spec import EncoderSpec
from featurestore.stores.memory import MemoryStore

ENCODER = EncoderSpec(name="e", model="m", pooling="mean", normalized=True, embedding_dim=2, max_tokens=8)


def coded(**codes: tuple[list[int], int]) -> pl.DataFrame:
    """``a=([1, 2], 0)``: an entity's codes and digit."""
    return pl.DataFrame(
        [(name, levels, digit) for name, (levels, digit) in codes.items()],
        schema={c.ID: pl.String, c.CODES: pl.List(pl.Int32), c.COLLISION: pl.Int32},
        orient="row",
    )


def measured(
    rows: pl.DataFrame, vectors: list[list[float]], centroids: list[list[list[float]]]
) -> CodesQuality:
    codebooks = Codebooks(
        np.array(centroids, np.float32), Origin(encoder=ENCODER, num_vectors=4, iterations=1)
    )
    return measure_codes(
        rows, codebooks=codebooks, ids=rows[c.ID].to_list(), vectors=np.array(vectors, np.float32)
    )


# Two far clusters of two points each; the first level tells the clusters apart, the second the points.
ROWS = coded(a=([0, 0], 0), b=([0, 1], 0), x=([1, 0], 0), y=([1, 1], 0))
VECTORS = [[0.0, 0], [0, 1], [10, 0], [10, 1]]
CENTROIDS = [[[0.0, 0.5], [10, 0.5]], [[0, -0.5], [0, 0.5]]]


def test_levels_are_measured_one_by_one():
    quality = measured(ROWS, VECTORS, CENTROIDS)
    assert (quality.num_entities, quality.sample_rows) == (4, 4)
    assert (quality.num_sharing, quality.largest_group, quality.largest_digit) == (0, 1, 0)
    assert quality.collision_share == 0.0
    first, second = quality.levels
    assert (first.codes_used, first.perplexity, first.largest_share) == (2, pytest.approx(2), 0.5)
    spread = 4 * (25 + 0.25)
    assert first.reconstruction_error == pytest.approx(4 * 0.25 / spread)
    assert second.reconstruction_error == pytest.approx(0.0, abs=1e-9)
    assert first.neighbor_purity == first.chance_purity == pytest.approx(1 / 3), "all three others are near"
    assert second.neighbor_purity == second.chance_purity == 0.0


def test_purity_counts_the_nearest_only(rng):
    """Thirty points in each of two far clusters: ten neighbours are all of the own one."""
    vectors = np.concatenate([rng.normal(size=(30, 2)), rng.normal(size=(30, 2)) + 100])
    rows = coded(**{f"i{n:02}": ([n // 30], n % 30) for n in range(60)})
    level = measured(rows, vectors.tolist(), [[[0.0, 0], [100, 100]]]).levels[0]
    assert level.neighbor_purity == 1.0
    assert level.chance_purity == pytest.approx(29 / 59)


def test_uneven_use_and_collisions_show():
    rows = coded(a=([0, 0], 0), b=([0, 0], 1), x=([0, 0], 5), y=([1, 0], 0))
    quality = measured(rows, VECTORS, CENTROIDS)
    assert (quality.num_sharing, quality.largest_group, quality.largest_digit) == (3, 3, 5)
    assert quality.collision_share == 0.75
    first, second = quality.levels
    assert first.largest_share == 0.75
    assert first.perplexity == pytest.approx(np.exp(-0.75 * np.log(0.75) - 0.25 * np.log(0.25)))
    assert (second.codes_used, second.perplexity) == (1, pytest.approx(1))


def test_one_entity_and_equal_vectors_can_be_measured():
    alone = measured(coded(a=([0, 1], 0)), [[1.0, 1.0]], CENTROIDS)
    assert [level.neighbor_purity for level in alone.levels] == [0.0, 0.0]
    assert [level.reconstruction_error for level in alone.levels] == [0.0, 0.0]
    same = measured(coded(a=([0, 1], 0), b=([0, 1], 1)), [[1.0, 1.0]] * 2, CENTROIDS)
    assert [level.neighbor_purity for level in same.levels] == [1.0, 1.0]


def test_churn_counts_common_entities_only_and_by_level():
    before = coded(a=([0, 0], 0), b=([0, 1], 0), x=([1, 0], 0), y=([1, 1], 0), gone=([1, 1], 1))
    now = coded(a=([0, 0], 0), b=([0, 0], 1), x=([0, 0], 2), y=([1, 1], 1), new=([1, 0], 0))
    churn = code_churn(before, now, against="d")
    assert (churn.against, churn.num_common, churn.num_moved) == ("d", 4, 3)
    assert churn.moved_share == 0.75
    assert churn.moved_by_level == (0.25, 0.5), "y moved by its digit alone"


def test_other_numbers_of_levels_are_all_moved_and_nothing_common_is_none():
    before, now = coded(a=([0], 0)), coded(a=([0, 1], 0))
    churn = code_churn(before, now, against="d")
    assert (churn.moved_share, churn.moved_by_level) == (1.0, (0.0,))
    empty = code_churn(before, coded(b=([0], 0)), against="d")
    assert (empty.num_common, empty.moved_share, empty.moved_by_level) == (0, 0.0, ())


def test_what_was_measured_first_of_a_version_is_kept():
    store = MemoryStore()
    quality = measured(ROWS, VECTORS, CENTROIDS)
    assert read_code_quality(store, "codes.t", 3) is None
    store_quality(store, "codes.t", 3, quality)
    store_quality(store, "codes.t", 3, quality.model_copy(update={"largest_digit": 9}))
    assert read_code_quality(store, "codes.t", 3) == quality
    assert read_code_quality(store, "codes.t", 33) is None
