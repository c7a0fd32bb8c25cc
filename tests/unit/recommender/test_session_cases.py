"""What drove sessions to cold items, against gates, rankings and sessions written out."""

import numpy as np
import pytest
from toy_store import QUICK as QUICK_ON_TOY

from featurestore.errors import UsageError
from featurestore.progress import no_progress
from recommender.data import HeldOut, Histories, group_by_time
from recommender.evaluation.session_cases import Click, ColdEffect, SessionCase, cold_effect
from recommender.evaluation.session_page import render_sessions
from recommender.experiment import TrainRequest, train_models
from recommender.model_arrays import project, saved_projections
from recommender.models import gcsan, llmgr
from recommender.testing import checkerboard, parity_features
from scripts.session_cases import session_cases

QUICK = {"epochs": 4, "batch_size": 64, "learning_rate": 0.02, "eval_every": 2, "embedding_dim": 8}
TEMPERATURES = {"stamp": 1.0, "niser": 0.0625}
ASKED = [[2, 4, 2], [5], [1, 3, 7], [6, 8]]
"""Sessions; the last item of each is asked for below."""
TARGETS = [0, 3, 20, 14]
"""One without a text, one with many sessions, one that nobody had, and one with many."""
MOST = 19


@pytest.fixture(params=TEMPERATURES)
def world(request):
    """A model, its data, its vectors, and what is asked of it."""
    data, features = checkerboard()[0], parity_features()
    model = llmgr.Model(llmgr.Config(**QUICK, base=request.param))
    model.fit(data, features=features, seed=3, progress=no_progress)
    rows = np.repeat(np.arange(len(ASKED)), [len(each) for each in ASKED])
    histories = group_by_time(rows, np.concatenate(ASKED), len(ASKED))
    held_out = HeldOut(np.arange(len(ASKED)), np.array(TARGETS), data.seen, data.num_items)
    return model, data, features, (histories, held_out)


def by_hand(model, features) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(I, d) e and x, of length 1 on niser, and (I,) g."""
    arrays = model.arrays()
    weights = {n.removeprefix("parameter."): w for n, w in arrays["weights"].items()}
    own = weights["layer_zero.ids"]
    _, vectors = project(saved_projections(arrays, "llmgr"), features)
    hidden = np.maximum(
        vectors / vectors.shape[1] @ weights["semantic.scaled_in"].T + weights["semantic.bias_in"], 0
    )
    text = hidden @ weights["semantic.scaled_out"].T / hidden.shape[1] + weights["semantic.bias_out"]
    logits = np.concatenate([own, text], axis=1) @ weights["semantic.gate"] + weights["semantic.gate_bias"]
    gates = 1 / (1 + np.exp(-logits[:, 0]))
    gates[20] = 0.0  # which no session has
    gates[0] = 1.0  # which has no text
    whole = gates[:, None] * own + (1 - gates[:, None]) * text
    if model.config.base == "niser":
        whole, own = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (whole, own))
    return whole, own, gates


def reading(model, table: np.ndarray):
    """The model with other item vectors: history → state."""
    groups = model.arrays()
    other = llmgr.Model(model.config)
    other.load_arrays(groups | {"weights": groups["weights"] | {"item_vectors": table.astype(np.float32)}})

    def state(history: list[int]) -> np.ndarray:
        asked = other.with_histories(Histories(np.array([0, len(history)]), np.array(history)))
        return np.linalg.lstsq(table, asked.score(np.array([0]))[0].astype(float), rcond=None)[0]

    return state


def place(scores: np.ndarray, user: int, item: int, data) -> int:
    rivals = [i for i in range(data.num_items) if i not in data.seen.of(user)]
    return 1 + sum(scores[i] > scores[item] for i in rivals)


def test_cases_are_those_of_sums_and_sessions_written_out(world):
    model, data, features, asked = world
    whole, own, gates = by_hand(model, features)
    state, bare = reading(model, whole), reading(model, own)
    effect = cold_effect(model, data, features, asked, max_degree=MOST, cutoff=21, num_cases=9)
    cold = [n for n, item in enumerate(TARGETS) if data.item_degrees[item] <= MOST]
    assert (effect.num_pairs, effect.num_hits, effect.num_hits_without) == (len(cold),) * 3
    assert [(case.user, case.item) for case in effect.cases] == [(n, TARGETS[n]) for n in cold]
    for case in effect.cases:
        history, item = ASKED[case.user], case.item
        assert case.degree == data.item_degrees[item]
        assert case.gate == pytest.approx(gates[item], abs=1e-3)
        assert case.place == place(whole @ state(history), case.user, item, data)
        without = whole.copy()
        without[item] = own[item]
        assert case.place_without_text == place(without @ state(history), case.user, item, data)
        assert case.place_without_texts == place(whole @ bare(history), case.user, item, data)
        assert [click.item for click in case.clicks] == list(dict.fromkeys(history))
        for click in case.clicks:
            left = [each for each in history if each != click.item]
            assert click.gate == pytest.approx(gates[click.item], abs=1e-3)
            if not left:
                assert click.drop is None
                continue
            chances = [log_chance(model, whole @ state(each), item) for each in (history, left)]
            assert click.drop == pytest.approx(chances[0] - chances[1], abs=1e-3)


def log_chance(model, scores: np.ndarray, item: int) -> float:
    logits = scores / TEMPERATURES[model.config.base]
    return float(logits[item] - np.log(np.exp(logits - logits.max()).sum()) - logits.max())


def test_only_cold_targets_among_the_best_are_cases(world):
    model, data, features, asked = world
    rare = cold_effect(model, data, features, asked, max_degree=0, cutoff=21)
    assert (rare.num_pairs, [case.item for case in rare.cases]) == (1, [20])
    whole, own, _ = by_hand(model, features)
    places = [
        place(table @ reading(model, table)(history), n, TARGETS[n], data)
        for table in (whole, own)
        for n, history in enumerate(ASKED)
    ]
    most = cold_effect(model, data, features, asked, max_degree=99, cutoff=6, num_cases=1)
    assert most.num_hits == sum(each <= 6 for each in places[:4])
    assert most.num_hits_without == sum(each <= 6 for each in places[4:])
    assert len(most.cases) == min(most.num_hits, 1)


def test_models_without_gates_are_refused(world):
    _, data, features, asked = world
    model = gcsan.Model(gcsan.Config(**QUICK))
    model.fit(data, features=features, seed=1, progress=no_progress)
    with pytest.raises(UsageError, match="gcsan has no gates between items and their texts"):
        cold_effect(model, data, features, asked)
    blind = llmgr.Model(llmgr.Config(**QUICK, base="stamp", fusion="none"))
    blind.fit(data, features=features, seed=1, progress=no_progress)
    with pytest.raises(UsageError, match="this llmgr reads no texts: fusion is none"):
        cold_effect(blind, data, features, asked)


def test_a_page_of_sessions_says_what_was_found_and_nothing_acts_on_it():
    clicks = (Click(4, 0.25, 1.5), Click(5, 1.0, None))
    case = SessionCase(1, 2, 3, 0.125, 4, 31, 9, clicks)
    texts = {2: "A | <b>", 4: "word " * 60, 5: "[link](http://x)"}
    page = render_sessions(
        ColdEffect(20, 10, 2_000, 7, 3, (case,)), texts, title="Cases", source="Of a test."
    )
    assert page.startswith("# Cases\n\nOf a test.\n\nOf 2,000 sessions whose next item at most 10 training")
    assert "7 have it among their best 20; 3 where no item has a text. Below: 1 of the former" in page
    assert (
        "## A / &lt;b&gt;\n\nIn 3 training sessions, gate 0.12. Place 4; 31 without its text, 9 where" in page
    )
    long = " ".join(["word"] * 32) + " …"
    assert f"| {long} | 0.25 | +1.500 |\n| (link)(http://x) | 1.00 |  |\n" in page


def test_a_saved_llmgr_gives_a_page(toy, tmp_path):
    settings = QUICK_ON_TOY | {"epochs": "10", "base": "stamp"}
    train_models(toy.release(), TrainRequest("llmgr", settings, feature="item_text"), tmp_path / "ours")
    page = session_cases(tmp_path / "ours", toy.release(), max_degree=99, num_cases=2)
    assert page.startswith(
        "# What drove sessions to cold items\n\nWritten by `scripts/session_cases.py`: do not edit it by "
        "hand. `llmgr`, seed 0, epoch 10; vectors of items: item_text.\n"
    )
    assert "## Item " in page
    train_models(toy.release(), TrainRequest("llmgr", settings), tmp_path / "bare")
    with pytest.raises(UsageError, match="holds llmgr, which reads no sessions of items with texts"):
        session_cases(tmp_path / "bare", toy.release())
