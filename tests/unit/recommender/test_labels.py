from recommender.evaluation.labels import ModelCard, model_card, model_labels
from recommender.saved import Binding, SavedConfig

BINDING = Binding(release=1, release_digest="r", num_users=1, num_items=1, user_ids="u", item_ids="i")


def saved(model="lightgcn", **changes) -> SavedConfig:
    config = {"epochs": 10, "item_input": "add"} | changes.pop("config", {})
    return SavedConfig(model=model, config=config, seed=0, binding=BINDING, files={}, **changes)


def test_a_label_says_what_a_model_is_and_in_what_its_rivals_differ():
    labels = model_labels(
        [
            saved(),
            saved(config={"epochs": 20}),
            saved(feature="item_cot.fused", fallback="item_text"),
            saved(feature="item_cot.fused", control="shuffled"),
            saved("ease", config={"epochs": 99}),
        ]
    )
    assert labels == [
        "lightgcn (epochs=10)",
        "lightgcn (epochs=20)",
        "lightgcn (item_cot.fused, else item_text, epochs=10)",
        "lightgcn (item_cot.fused, shuffled, epochs=10)",
        "ease",
    ]


def test_equal_labels_are_told_apart():
    other = Binding(release=1, release_digest="s", num_users=1, num_items=1, user_ids="u", item_ids="i")
    first, second = saved(), saved().model_copy(update={"binding": other})
    labels = model_labels([first, second])
    assert labels == [f"lightgcn {info.config_digest[:8]}" for info in (first, second)]
    assert labels[0] != labels[1]


def test_the_label_of_a_stopped_training_says_so():
    infos = [saved(interrupted=True), saved(config={"epochs": 20}), saved("ease", interrupted=True)]
    assert model_labels(infos) == [
        "lightgcn (epochs=10) (interrupted)",
        "lightgcn (epochs=20)",
        "ease (interrupted)",
    ]


def test_cards():
    assert model_card(saved()) == ModelCard("lightgcn")
    card = model_card(saved(feature="a", user_feature="b", control="random"))
    assert card == ModelCard("lightgcn", "a and b", "random", "add")
