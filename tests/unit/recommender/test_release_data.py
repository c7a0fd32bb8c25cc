import numpy as np
import pytest

from featurestore.errors import EmbeddingSpaceError, LeakError, UnknownNameError
from featurestore.reader import Release
from recommender.data import load_seen, load_training_data
from recommender.evaluation.tasks import load_test_data
from recommender.features import EntityFeatures, apply_control, entity_features
from recommender.text.projection import fit_projection


def test_parts_of_a_release_do_not_overlap(toy):
    release = toy.release()
    data, test = load_training_data(release), load_test_data(release)
    assert (data.num_users, data.num_items) == (31, 16)
    train = set(zip(data.train_users, data.train_items, strict=True))
    valid = set(zip(data.valid.users, data.valid.items, strict=True))
    held = set(zip(test.users, test.items, strict=True))
    assert len(train) == 30 * 3 + 1  # the repeated event counts once
    assert (len(valid), len(held)) == (30, 30)
    assert not train & valid
    assert not (train | valid) & held
    users = np.arange(31)
    assert set(zip(*load_seen(release).pairs_of(users), strict=True)) == train | valid
    assert set(zip(*data.valid.seen.pairs_of(users), strict=True)) == train


def test_features_line_up_with_item_rows_and_fall_back(toy):
    release = toy.release()
    rows = release.id_map("item")
    plain = entity_features(release, "item", "item_cot")
    assert plain.has_vector.sum() == 12
    filled = entity_features(release, "item", "item_cot", fallback="item_text")
    assert filled.has_vector.sum() == 15
    assert len(filled.spec_digests) == 2
    first, late, never = rows.row_of(["i3", "i13", "i15"])
    cot, text = release.embeddings("item_cot"), release.embeddings("item_text")
    np.testing.assert_array_equal(filled.matrix[first], cot.rows(["i3"])[0])
    np.testing.assert_array_equal(filled.matrix[late], text.rows(["i13"])[0])
    assert not filled.has_vector[never]
    assert not filled.matrix[never].any()


def test_two_encoders_are_not_mixed(toy):
    with pytest.raises(EmbeddingSpaceError, match="lie in different spaces: name 'toy' and 'other'"):
        entity_features(toy.release(), "item", "item_cot", fallback="elsewhere")


def test_an_unknown_feature_lists_the_known_ones(toy):
    with pytest.raises(
        UnknownNameError, match=r"unknown vector feature 'item_cto'\. Did you mean 'item_cot'"
    ):
        entity_features(toy.release(), "item", "item_cto")


def leaking(release: Release, part: str, *, split: str | None = None) -> Release:
    """The release, had its item vectors been made from events of a part."""
    assert release.manifest.split is not None
    name = f"{split or release.manifest.split.checksum[:16]}:{part}"
    pins = [
        pin.model_copy(update={"event_sets": (name,)}) if pin.spec.kind == "vector" else pin
        for pin in release.manifest.pins
    ]
    return Release(release._store, release.manifest.model_copy(update={"pins": tuple(pins)}))


def test_vectors_that_read_validation_events_need_to_be_asked_for(toy):
    release = leaking(toy.release(), "train+valid")
    with pytest.raises(LeakError, match=r"vector item_cot\.text of release 1 read events of") as caught:
        entity_features(release, "item", "item_cot")
    assert "with --optimistic-validation it is taken" in caught.value.hint
    assert entity_features(release, "item", "item_cot", optimistic_validation=True).has_vector.sum() == 12


@pytest.mark.parametrize(("part", "split"), [("test", None), ("train+valid+test", None), ("train", "f" * 16)])
def test_vectors_that_read_test_events_or_another_split_are_never_taken(toy, part, split):
    release = leaking(toy.release(), part, split=split)
    for feature, fallback in (("item_cot", None), ("item_text", "item_cot")):
        with pytest.raises(LeakError, match="read events of"):
            entity_features(release, "item", feature, fallback=fallback, optimistic_validation=True)


def test_events_of_another_split_are_never_trained_or_tested_on(toy):
    release = toy.release()
    assert release.manifest.split is not None
    split = release.manifest.split.model_copy(update={"interactions_version": 99})
    other = Release(release._store, release.manifest.model_copy(update={"split": split}))
    for load in (load_training_data, load_test_data, load_seen):
        with pytest.raises(LeakError, match="events of release 1 are of another split than it names"):
            load(other)


def some_features(rng) -> EntityFeatures:
    has_vector = np.arange(40) % 5 != 0
    return EntityFeatures(rng.normal(1, 2, (40, 6)).astype(np.float32) * has_vector[:, None], has_vector)


def test_shuffled_gives_every_item_another_items_vector(rng):
    features = some_features(rng)
    shuffled = apply_control(features, "shuffled", seed=1)
    kept = features.has_vector
    assert not (shuffled.matrix[kept] == features.matrix[kept]).all(axis=1).any()
    assert sorted(map(tuple, shuffled.matrix[kept])) == sorted(map(tuple, features.matrix[kept]))
    assert not shuffled.matrix[~kept].any()
    assert shuffled.control == "shuffled"


def test_random_keeps_lengths_only(rng):
    features = some_features(rng)
    drawn = apply_control(features, "random", seed=1)
    np.testing.assert_allclose(
        np.linalg.norm(drawn.matrix, axis=1), np.linalg.norm(features.matrix, axis=1), rtol=1e-5
    )
    assert not np.allclose(drawn.matrix, features.matrix)
    np.testing.assert_array_equal(drawn.matrix, apply_control(features, "random", seed=1).matrix)
    assert not np.allclose(drawn.matrix, apply_control(features, "random", seed=2).matrix)


def test_projection_is_the_pca_of_items_with_a_vector(rng):
    features = some_features(rng)
    projection = fit_projection(features, 3)
    projected = projection.apply(features)
    vectors = features.matrix[features.has_vector].astype(np.float64)
    centered = vectors - vectors.mean(axis=0)
    _, singular, right = np.linalg.svd(centered, full_matrices=False)
    expected = centered @ right[:3].T
    expected /= np.sqrt((singular[:3] ** 2).mean() / len(vectors))
    np.testing.assert_allclose(np.abs(projected[features.has_vector]), np.abs(expected), atol=1e-4)
    assert (projected[features.has_vector] ** 2).mean() == pytest.approx(1.0, rel=1e-4)
    assert not projected[~features.has_vector].any()
    assert projected.shape == (40, 3)
    assert fit_projection(features, 99).components.shape == (6, 6)
