import numpy as np
import pytest
from toy_store import QUICK, add_vectors, fill

from featurestore.errors import StoreError, UsageError
from featurestore.gates.policy import GatePolicy
from featurestore.reader import FeatureStore
from featurestore.releases.publish import publish
from featurestore.stores.memory import MemoryStore
from recommender.evaluation.compare import compare_models, open_saved
from recommender.evaluation.tasks import load_task, scorer
from recommender.experiment import TrainRequest, train_models
from recommender.saved import check_binding, load_model, read_config
from recommender.serve import recommend_to_user, write_recommendations


@pytest.fixture(scope="module")
def trained(toy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "gcn"
    request = TrainRequest("lightgcn", QUICK, feature="item_cot", fallback="item_text", seeds=(0, 1, 2))
    report = train_models(toy.release(), request, folder)
    return folder, report


def test_training_reports_validation_beside_popularity(trained):
    _, report = trained
    assert [model.folder.name for model in report.models] == ["seed-0", "seed-1", "seed-2"]
    assert (report.num_train, report.num_valid, report.num_with_vector) == (91, 30, 15)
    for model in report.models:
        assert model.validation["ndcg@10"] > report.popularity["ndcg@10"]
        assert read_config(model.folder).validation == model.validation


def test_a_saved_model_scores_as_before(toy, trained):
    folder, _ = trained
    assert sorted(path.name for path in (folder / "seed-0").iterdir()) == [
        "config.json",
        "pca.safetensors",
        "weights.safetensors",
    ]
    first, second = load_model(folder / "seed-0"), load_model(folder / "seed-0")
    users = np.arange(31)
    np.testing.assert_array_equal(first.model.score(users), second.model.score(users))
    check_binding(first.info, toy.release(), folder)


def test_a_model_is_bound_to_its_release(trained, tmp_path):
    folder, _ = trained
    store = MemoryStore("other")
    fill(store, tmp_path)
    add_vectors(store, tmp_path, "extra", range(9), encoder="toy")
    publish(store, gates=GatePolicy())
    with pytest.raises(StoreError) as caught:
        open_saved(folder / "seed-0", FeatureStore(store), "2")
    assert (
        f"the lightgcn in {folder / 'seed-0'} was fitted on release 1 and reads no other: release 1, here 2; "
        "release_digest" in str(caught.value)
    )
    assert caught.value.hint == "Use --release 1, or train again on release 2."


def test_a_damaged_file_is_refused(toy, tmp_path):
    folder = tmp_path / "p"
    train_models(toy.release(), TrainRequest("popularity"), folder)
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    with pytest.raises(StoreError, match=r"weights\.safetensors is damaged\."):
        load_model(folder)
    path.unlink()
    with pytest.raises(StoreError, match=r"weights\.safetensors is missing\.\n  Train the model again"):
        load_model(folder)


def test_what_is_no_model_is_left_alone(toy, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="exists and is no saved model; it is left as it is"):
        train_models(toy.release(), TrainRequest("popularity"), tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    with pytest.raises(StoreError, match=r"holds no trained model: there is no config\.json in it"):
        load_model(tmp_path)


def test_a_model_may_be_trained_again_into_its_folder(toy, tmp_path):
    folder = tmp_path / "p"
    for _ in range(2):
        train_models(toy.release(), TrainRequest("popularity"), folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p"]


def test_popularity_takes_no_features(toy, tmp_path):
    with pytest.raises(UsageError, match=r"popularity uses no item features\.\n  Leave --features out"):
        train_models(toy.release(), TrainRequest("popularity", feature="item_cot"), tmp_path / "p")


def test_seeds_are_averaged_and_popularity_stands_beside(toy, trained, tmp_path):
    folder, _ = trained
    plain = tmp_path / "plain"
    train_models(toy.release(), TrainRequest("lightgcn", QUICK), plain)
    report = compare_models(toy, [folder, plain])
    lines = {result.name: result for result in report.results}
    assert set(lines) == {"popularity", "lightgcn (item_cot, else item_text)", "lightgcn"}
    seeds = lines["lightgcn (item_cot, else item_text)"]
    assert seeds.num_seeds == 3
    assert seeds.deviations is not None
    assert lines["lightgcn"].deviations is None
    assert report.results[-1].name == "popularity"
    assert (report.num_users, report.num_pairs) == (30, 30)
    assert seeds.gain is not None
    assert seeds.gain[0] > 0
    single = compare_models(toy, [folder / "seed-1"]).results
    assert {result.num_seeds for result in single} == {1}


def test_a_user_gets_unseen_items_with_titles_and_texts(toy, trained):
    folder, _ = trained
    saved, release = open_saved(folder / "seed-0", toy, None)
    found = recommend_to_user(saved, release, "u4", top_k=12)
    had = set(release.interactions("train", "valid").filter(user_id="u4")["item_id"])
    ids = [line.item_id for line in found.lines]
    assert found.num_seen == len(had) == 4
    assert len(ids) == 12
    assert not set(ids) & had
    assert [line.rank for line in found.lines] == list(range(1, 13))
    assert [line.score for line in found.lines] == sorted((line.score for line in found.lines), reverse=True)
    assert {int(item[1:]) % 2 for item in ids[:3]} == {0}
    texts = {line.item_id: line.text for line in found.lines}
    assert texts.get("i2", "Sturdy, but loud.") == "Sturdy, but loud."
    assert found.lines[0].title == f"Item {ids[0][1:]}"


def test_an_unknown_user_is_told_the_nearest(toy, trained):
    folder, _ = trained
    saved, release = open_saved(folder / "seed-0", toy, None)
    with pytest.raises(
        UsageError, match=r"has no user 'newcommer' among its 31 users\.\n  The nearest ids are 'newcomer'"
    ):
        recommend_to_user(saved, release, "newcommer")


def test_lists_whose_name_no_feature_can_have_are_refused(toy, trained):
    folder, _ = trained
    saved, release = open_saved(folder / "seed-0", toy, None)
    with pytest.raises(UsageError, match=r"'a b/c' cannot name a feature\.\n  Use letters"):
        write_recommendations(MemoryStore("names"), saved, release, name="a b/c")


def test_a_damaged_description_is_named_in_one_line(tmp_path):
    (tmp_path / "config.json").write_text('{"format_version": 1}', encoding="utf-8")
    with pytest.raises(
        StoreError, match=r"config\.json is no model description of this version: model: Field"
    ):
        read_config(tmp_path)


def test_several_models_in_a_folder_must_be_named(toy, trained):
    folder, _ = trained
    with pytest.raises(UsageError, match=r"holds several models, name one: .*seed-0"):
        open_saved(folder, toy, None)


def test_lists_of_all_users_are_stored_and_released(tmp_path):
    store = MemoryStore("lists")
    fill(store, tmp_path)
    reader = FeatureStore(store)
    train_models(reader.release(), TrainRequest("popularity"), tmp_path / "p")
    saved, release = open_saved(tmp_path / "p", reader, None)
    version = write_recommendations(store, saved, release, name="popularity", top_k=14)
    publish(store, gates=GatePolicy())
    lists = reader.release().recommendations("popularity")
    assert version.spec.feature == "popularity"
    assert lists["user_id"].n_unique() == 31
    by_user = lists.filter(user_id="u0")
    assert by_user["rank"].to_list() == list(range(12))  # 16 items less 4 seen
    assert by_user["score"].is_sorted(descending=True)
    assert by_user["item_id"].to_list()[:3] == [
        line.item_id for line in recommend_to_user(saved, release, "u0", top_k=3).lines
    ]


@pytest.mark.parametrize("name", ["counting", "sasrec"])
def test_lists_are_those_that_are_evaluated(toy, tmp_path, name):
    """A model of histories is asked with those of train and validation, in tests and in lists."""
    settings = {n: text for n, text in QUICK.items() if name == "sasrec"}
    train_models(toy.release(), TrainRequest(name, settings), tmp_path / name)
    saved, release = open_saved(tmp_path / name, toy, None)
    task = load_task(release)
    row = int(task.held_out.users[0])
    scores = scorer(saved.model, task)(np.array([row]))[0]
    scores[task.held_out.seen.of(row)] = -np.inf
    best = np.argsort(-scores, kind="stable")[:3]
    (user_id,) = release.id_map("user").ids_of(np.array([row]))
    listed = recommend_to_user(saved, release, user_id, top_k=3).lines
    assert [line.item_id for line in listed] == list(release.id_map("item").ids_of(best))
