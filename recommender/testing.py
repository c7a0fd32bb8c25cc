"""The contract that every recommender passes: shipped, so that a new model's test is one line.

    @pytest.mark.parametrize("check", CHECKS)
    @pytest.mark.parametrize("name", model_names())
    def test_contract(name, check):
        check(find_model(name))

The data is a *checkerboard*: even users had even items, odd users odd items, each user all of them but one,
in an order of their own: what follows an item is any of its colour.
The right first recommendation is the one item left out, known by construction. (A model that looks at no
user, or at nothing, cannot know it; those are named in ``IMPERSONAL`` and ``UNINFORMED``.) A model that reads
nothing but features is named in ``NEEDS_FEATURES`` and gets vectors that show the pattern.
"""

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

from featurestore.errors import StoreError
from featurestore.progress import no_progress
from featurestore.spec import Frozen
from recommender.base import Recommender
from recommender.data import FloatArray, IntArray, TrainingData, training_data
from recommender.features import EntityFeatures, NodeFeatures
from recommender.registry import ModelEntry, parse_settings
from recommender.saved import Binding, SavedConfig, config_json, load_model, save_model

Check: TypeAlias = Callable[[ModelEntry], None]

IMPERSONAL: Final = frozenset({"popularity"})
"""Models whose scores are the same for every user."""
UNINFORMED: Final = frozenset({"random"})
"""Models that learn nothing: no answer of theirs is right."""
NEEDS_FEATURES: Final = frozenset({"alpharec", "fdsa", "isrf", "recmind", "rlmrec", "text_knn"})
"""Models that cannot be fitted without item vectors."""

NUM_USERS: Final = 40
NUM_ITEMS: Final = 20
COLD_USER: Final = NUM_USERS
"""A user row without any event."""
COLD_ITEM: Final = NUM_ITEMS
"""An item row without any event."""

_BINDING: Final = Binding(
    release=1,
    release_digest="0" * 32,
    num_users=NUM_USERS + 1,
    num_items=NUM_ITEMS + 1,
    user_ids="1" * 32,
    item_ids="2" * 32,
)
"""The checkerboard lies in no release; loading a model looks at none."""
_QUICK: Final = {
    "epochs": "60",
    "batch_size": "64",
    "learning_rate": "0.02",
    "eval_every": "20",
    "embedding_dim": "16",
    "reg": "0",
}


def checkerboard() -> tuple[TrainingData, IntArray]:
    """A checkerboard with one held-out square per user, a user and an item without events.

    Returns:
        The data, whose validation part is the held-out squares, and (40,) int64: each user's right answer.
    """
    users, items = np.meshgrid(np.arange(NUM_USERS), np.arange(NUM_ITEMS), indexing="ij")
    own = users % 2 == items % 2
    answers = (np.arange(NUM_USERS) * 2 + np.arange(NUM_USERS) % 2) % NUM_ITEMS
    answers += np.arange(NUM_USERS) % 2 - answers % 2
    left_out = items == answers[:, None]
    order = np.random.default_rng(11).permutation(int((own & ~left_out).sum()))
    train = users[own & ~left_out][order], items[own & ~left_out][order]
    data = training_data(
        num_users=NUM_USERS + 1,
        num_items=NUM_ITEMS + 1,
        train=train,
        valid=(np.arange(NUM_USERS), answers),
    )
    return data, answers


def quick_model(entry: ModelEntry) -> Recommender:
    """The model with settings that learn a checkerboard in a second; one without epochs keeps its own."""
    return entry.model_type(_quick_config(entry))


def _quick_config(entry: ModelEntry) -> Frozen:
    fields = entry.config_type.model_fields
    settings = {name: text for name, text in _QUICK.items() if name in fields} if "epochs" in fields else {}
    return parse_settings(entry.config_type, settings)


def fitted(entry: ModelEntry, *, seed: int = 7) -> tuple[Recommender, TrainingData, IntArray]:
    """A model fitted on the checkerboard, with the data and the right answers."""
    data, answers = checkerboard()
    model = quick_model(entry)
    model.fit(data, features=_features_for(entry), seed=seed, progress=no_progress)
    return model, data, answers


def _shared(entry: ModelEntry) -> tuple[Recommender, TrainingData, IntArray]:
    """As `fitted`, once per process: for checks that look at a model and leave it as it is."""
    return _fitted_once(entry.name, entry.config_type, entry.model_type)


@cache
def _fitted_once(
    name: str, config_type: type[Frozen], model_type: Callable[[Any], Recommender]
) -> tuple[Recommender, TrainingData, IntArray]:
    return fitted(ModelEntry(name, config_type, model_type))


def check_right_answer(entry: ModelEntry) -> None:
    """The best unseen item is the one the pattern asks for, for at least nine users of ten."""
    if entry.name in IMPERSONAL | UNINFORMED:
        return
    model, data, answers = _shared(entry)
    right = _first_choices(model, data)[:NUM_USERS] == answers
    assert right.mean() >= 0.9, f"{entry.name}: only {right.sum()} of {NUM_USERS} first choices are right"


def check_impersonal_is_said(entry: ModelEntry) -> None:
    """A model named in ``IMPERSONAL`` scores all users alike, and no other model does."""
    model, _, _ = _shared(entry)
    scores = model.score(np.arange(NUM_USERS))
    alike = bool(np.allclose(scores, scores[:1]))
    assert alike == (entry.name in IMPERSONAL), f"{entry.name}: scores are the same for all users: {alike}"


def check_batch_equals_single(entry: ModelEntry) -> None:
    """Scoring users together or one by one gives the same, in the order asked for, repeats allowed."""
    model, _, _ = _shared(entry)
    users = np.array([3, 0, COLD_USER, 3, 17])
    batch = model.score(users)
    assert batch.shape == (5, NUM_ITEMS + 1)
    assert batch.dtype == np.float32
    for line, user in enumerate(users):
        np.testing.assert_allclose(batch[line], model.score(np.array([user]))[0], rtol=1e-5, atol=1e-6)
    assert model.score(np.array([], np.int64)).shape == (0, NUM_ITEMS + 1)


def check_scores_are_the_callers(entry: ModelEntry) -> None:
    """What the caller does to scores does not reach the model."""
    model, _, _ = _shared(entry)
    users = np.arange(3)
    expected = model.score(users).copy()
    model.score(users)[:] = -np.inf
    np.testing.assert_array_equal(model.score(users), expected)


def check_saved_round_trip(entry: ModelEntry) -> None:
    """A model that was written to disk and loaded gives equal scores, to the bit; its arrays are float32."""
    model, _, _ = _shared(entry)
    info = SavedConfig(
        model=entry.name, config=config_json(_quick_config(entry)), seed=7, binding=_BINDING, files={}
    )
    with tempfile.TemporaryDirectory() as folder:
        save_model(Path(folder) / "model", model, info)
        other = load_model(Path(folder) / "model").model
    users = np.arange(NUM_USERS + 1)
    np.testing.assert_array_equal(other.score(users), model.score(users))
    for group, arrays in model.arrays().items():
        for name, array in arrays.items():
            assert array.dtype == np.float32, f"{group}/{name} is {array.dtype}, not float32"


def check_refit_forgets(entry: ModelEntry) -> None:
    """Fitting again with the same seed gives the same scores, whatever was fitted before."""
    model, data, _ = fitted(entry, seed=7)
    first = model.score(np.arange(NUM_USERS))
    for other in (8, 7):
        model.fit(data, features=_features_for(entry), seed=other, progress=no_progress)
    np.testing.assert_allclose(model.score(np.arange(NUM_USERS)), first, rtol=1e-3, atol=1e-4)


def check_cold_rows_have_scores(entry: ModelEntry) -> None:
    """A user and an item without events get finite scores; the cold item is no cold user's first choice."""
    model, _, _ = _shared(entry)
    scores = model.score(np.array([COLD_USER, 0]))
    assert np.isfinite(scores).all()
    assert entry.name in UNINFORMED or scores[0].argmax() != COLD_ITEM


def check_empty_model_says_so(entry: ModelEntry) -> None:
    """Scoring before fitting is refused with what to do."""
    message = ""
    try:
        quick_model(entry).score(np.arange(2))
    except StoreError as error:
        message = str(error)
    assert "fit" in message, f"{entry.name} scores without having been fitted, or says no remedy: {message!r}"


CHECKS: Final[tuple[Check, ...]] = (
    check_right_answer,
    check_impersonal_is_said,
    check_batch_equals_single,
    check_scores_are_the_callers,
    check_saved_round_trip,
    check_refit_forgets,
    check_cold_rows_have_scores,
    check_empty_model_says_so,
)


def parity_features(*, embedding_dim: int = 3, seed: int = 3) -> NodeFeatures:
    """Item vectors that tell even items from odd ones; the cold item has one, item 0 has none."""
    noise = np.random.default_rng(seed).standard_normal((NUM_ITEMS + 1, embedding_dim))
    matrix: FloatArray = (0.1 * noise).astype(np.float32)
    matrix[:, 0] += np.where(np.arange(NUM_ITEMS + 1) % 2 == 0, 1.0, -1.0)
    has_vector = np.arange(NUM_ITEMS + 1) != 0
    matrix[~has_vector] = 0.0
    return NodeFeatures(items=EntityFeatures(matrix, has_vector, ("0" * 32,)))


def checkerboard_features() -> NodeFeatures:
    """Vectors that show the pattern; the cold item's is like no other's."""
    matrix = np.random.default_rng(3).normal(0.0, 0.05, (NUM_ITEMS + 1, 4)).astype(np.float32)
    matrix[:NUM_ITEMS, 0] += np.where(np.arange(NUM_ITEMS) % 2 == 0, 1.0, -1.0)
    matrix[:, 1] += np.where(np.arange(NUM_ITEMS + 1) == COLD_ITEM, -1.0, 0.5)
    return NodeFeatures(items=EntityFeatures(matrix, np.ones(NUM_ITEMS + 1, np.bool_)))


def _features_for(entry: ModelEntry) -> NodeFeatures | None:
    return checkerboard_features() if entry.name in NEEDS_FEATURES else None


def _first_choices(model: Recommender, data: TrainingData) -> IntArray:
    users = np.arange(data.num_users)
    scores = model.score(users)
    lines, items = data.seen.pairs_of(users)
    scores[lines, items] = -np.inf
    return scores.argmax(axis=1)
