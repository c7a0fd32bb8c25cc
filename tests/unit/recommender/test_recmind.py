"""RecMind: losses and scores against the formulas, and what each phase moves."""

from dataclasses import replace

import numpy as np
import pytest
import recmind_by_hand as by_hand
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from test_text_vectors import texts, world

from featurestore.progress import no_progress
from recommender.data import TrainingData, training_data
from recommender.model_arrays import parameter_arrays
from recommender.models import lightgcn
from recommender.models.recmind import Config, Network
from recommender.testing import checkerboard, checkerboard_features
from recommender.text.aligned_sides import AlignedSides
from recommender.text.alignment_phases import AlignmentPhase, JointPhase, Parts, fallback_loss
from recommender.training.rare_negatives import training_pairs
from recommender.training.sampling import PairBatch
from recommender.training.trainer import train, train_step

SETTINGS = {"embedding_dim": 3, "init_std": 0.5, "reg": 0.3, "alignment_weight": 0.7, "temperature": 0.4}
BATCH = PairBatch(np.array([0, 1, 0]), np.array([0, 2, 1]), np.array([[2], [4], [4]]))
NOISE = torch.Generator()
QUICK = {
    "epochs": 12,
    "batch_size": 128,
    "learning_rate": 0.05,
    "eval_every": 4,
    "embedding_dim": 8,
    "alignment_epochs": 3,
    "queue_size": 30,
}


def parts_of(data: TrainingData, vectors, **given_settings) -> Parts:
    config = Config(**(SETTINGS | given_settings))
    network = Network(config, data, vectors, seed=1)
    return Parts(config, network, AlignedSides(config, network.text), training_pairs(config, data))


def by_formulas(parts: Parts, items: np.ndarray) -> tuple[float, list[np.ndarray]]:
    """Eq. 10 of ``BATCH`` with empty queues and no hard negatives, and z^G, z^L, h."""
    config, network = parts.config, parts.network
    weights = {n.removeprefix("parameter."): a.astype(float) for n, a in parameter_arrays(network).items()}
    of_text = {name.removeprefix("text."): weight for name, weight in weights.items()}
    items = items / items.shape[1]
    text = by_hand.text_vectors(items.astype(float), [], of_text["items.scaled"], of_text)
    gate = weights["gate_weight"], weights["gate_bias"][0]
    graph, _ = by_hand.propagate(weights["ids"], text, *gate, num_layers=3)
    final = 0.8 * graph + 0.2 * text
    ranking, squares, alignment = [], [], 0.0
    for user, positive, negative in zip(BATCH.users, BATCH.positives, BATCH.negatives[:, 0], strict=True):
        triple = [user, 4 + positive, 4 + negative]
        ranking.append(-np.log(by_hand.sigmoid(final[user] @ (final[triple[1]] - final[triple[2]]))))
        squares += [weights["ids"][node] @ weights["ids"][node] for node in triple]
    for nodes in (sorted({*BATCH.users}), sorted({*(4 + BATCH.positives)})):
        views = [{int(n): view[n] for n in nodes} for view in (graph, text)]
        for one, other in (views, views[::-1]):
            alignment += by_hand.one_way(one, dict.fromkeys(one, other), config.temperature) / 2
    loss = np.mean(ranking) + 0.7 * alignment + 0.3 * sum(squares) / (2 * len(BATCH))
    return float(loss), [graph, text, final]


def unjudged(data: TrainingData) -> TrainingData:
    """Without a validation part the last weights are kept."""
    return replace(data, valid=replace(data.valid, users=data.valid.users[:0], items=data.valid.items[:0]))


def test_the_joint_loss_and_the_scores_equal_the_formulas():
    items = texts(5, without=3, seed=1)
    parts = parts_of(world(), (None, items), hard_negatives=0)
    expected, (_, _, final) = by_formulas(parts, items)
    assert JointPhase(parts).loss(BATCH, NOISE).item() == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(torch.cat(parts.network.score_vectors()), final, rtol=1e-4, atol=1e-5)


def test_the_second_step_tells_from_queued_and_hard_nodes():
    items = texts(5, without=3, seed=1)
    parts = parts_of(world(), (None, items), hard_negatives=1, align="items")
    _, (graph, text, _) = by_formulas(parts, items)
    first = PairBatch(np.array([0, 2]), np.array([1, 3]), np.array([[4], [4]]))
    JointPhase(parts).loss(first, NOISE)  # nothing moves: the queue holds items 1 and 3 as they are
    parts.sides._modules["sides"]["1"].hard[:] = torch.tensor([[4], [4], [1], [0], [0]])
    batch = PairBatch(np.array([0, 1]), np.array([0, 2]), np.array([[2], [4]]))
    rows = {4: [4, 6, 5, 7, 8], 6: [4, 6, 5, 7]}  # item 2's hard node, item 1, stands in the queue
    expected = sum(
        by_hand.one_way(
            {node: one[node] for node in rows},
            {node: {n: other[n] for n in nodes} for node, nodes in rows.items()},
            0.4,
        )
        for one, other in ((graph, text), (text, graph))
    )
    table = parts.network.text.table()
    nodes = parts.aligned_nodes(batch, table.device)
    read = parts.network.read(table, torch.tensor([0]), torch.cat(nodes), ids_learn=True)
    found = parts.sides.loss(read, nodes, table, parts.network.text)
    assert found.item() == pytest.approx(expected / 2, rel=1e-4)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 7), min_size=1, max_size=9), min_size=1, max_size=4))
def test_no_node_is_its_own_negative_whatever_repeats(batches):
    """And the queue, smaller than a side, holds each node once."""
    users, items = np.array(by_hand.USERS), np.array(by_hand.ITEMS)
    parts = parts_of(world(), (None, texts(5, without=3, seed=1)), hard_negatives=3, queue_size=3)
    for rows in batches:
        batch = PairBatch(users[rows], items[rows], np.full((len(rows), 1), 4))
        own = [set(side.tolist()) for side in parts.sides.nodes(batch)]
        for name, nodes in zip("01", own, strict=True):
            side = parts.sides._modules["sides"][name]
            places = torch.tensor(sorted(nodes)) - (4 if name == "1" else 0)
            queued = side.queue.nodes[side.queue.others(places)].tolist()
            assert not set(queued) & set(places.tolist())
            assert len(set(queued)) == len(queued)
        assert torch.isfinite(JointPhase(parts).loss(batch, NOISE))


def test_phase_1_leaves_ids_to_the_bit_and_moves_everything_else():
    data, _ = checkerboard()
    features = checkerboard_features()
    matrix = features.items.matrix.copy()
    matrix[3] = 0
    parts = parts_of(data, (None, matrix), batch_size=64)
    before = {name: weight.detach().clone() for name, weight in parts.network.named_parameters()}
    none = unjudged(data)
    train(AlignmentPhase(parts), none, Config(**QUICK, reg=0), seed=0, progress=no_progress)
    for name, weight in parts.network.named_parameters():
        same = torch.equal(weight, before[name])
        assert same == (name in {"ids", "text.largest_degree"}), name
    train(JointPhase(parts), none, Config(**(QUICK | {"epochs": 1})), seed=0, progress=no_progress)
    assert not torch.equal(parts.network.ids, before["ids"])


def test_phase_1_is_the_alignment_and_the_fallback():
    parts = parts_of(world(), (None, texts(5, without=3, seed=1)), hidden_share=0.0, hard_negatives=0)
    text = parts.network.text
    table = text.table()
    nodes = parts.aligned_nodes(BATCH, table.device)
    read = parts.network.read(table, torch.zeros(0, dtype=torch.int64), torch.cat(nodes), ids_learn=False)
    expected = parts.sides.loss(read, nodes, table, text)
    fresh = parts_of(world(), (None, texts(5, without=3, seed=1)), hidden_share=0.0, hard_negatives=0)
    torch.testing.assert_close(AlignmentPhase(fresh).loss(BATCH, NOISE), expected)
    hidden = torch.tensor([False] * 5 + [True, True] + [False] * 2)
    replaced = text.table(hidden)
    losses = [1 - by_hand.cosine(replaced[n].detach().numpy(), table[n].detach().numpy()) for n in (5, 6)]
    assert fallback_loss(text, replaced, hidden).item() == pytest.approx(np.mean(losses), rel=1e-4)
    assert fallback_loss(text, table, torch.zeros(9, dtype=torch.bool)).item() == 0.0


def clusters(num_clusters: int = 4, size: int = 12) -> tuple[TrainingData, np.ndarray]:
    """Users of a cluster had its items, whose texts are alike."""
    generator = np.random.default_rng(5)
    num_items = num_clusters * size
    users, items = np.meshgrid(np.arange(num_items), np.arange(num_items), indexing="ij")
    had = (users % num_clusters == items % num_clusters) & (generator.random(users.shape) < 0.6)
    none = np.zeros(0, np.int64)
    data = training_data(
        num_users=num_items, num_items=num_items, train=(users[had], items[had]), valid=(none, none)
    )
    centres = generator.normal(size=(num_clusters, 6))
    matrix = centres[np.arange(num_items) % num_clusters] + generator.normal(0, 0.3, (num_items, 6))
    return data, matrix.astype(np.float32)


def test_a_node_whose_text_is_taken_away_keeps_a_vector_like_it():
    data, matrix = clusters()
    parts = parts_of(data, (None, matrix), **(QUICK | {"reg": 0.0, "hidden_share": 0.2, "batch_size": 256}))
    config = parts.config.model_copy(update={"epochs": 15, "eval_every": 15})
    train(AlignmentPhase(parts), data, config, seed=0, progress=no_progress)
    text, num_items = parts.network.text, len(matrix)
    own = torch.nn.functional.normalize(text.table().detach()[num_items:], dim=1)
    nearer = []
    for item in range(num_items):
        hidden = torch.zeros(2 * num_items, dtype=torch.bool)
        hidden[num_items + item] = True
        replaced = torch.nn.functional.normalize(text.table(hidden).detach()[num_items + item], dim=0)
        assert torch.isfinite(replaced).all()
        cosines = own @ replaced
        others = torch.cat([cosines[:item], cosines[item + 1 :]])
        nearer.append(float((cosines[item] > others).float().mean()))
    assert np.mean(nearer) > 0.8


def test_the_graph_alone_is_lightgcn():
    data, _ = checkerboard()
    alone = {"alpha": 1.0, "fixed_gate": 1.0, "align": "none", "reg": 0.3}
    parts = parts_of(data, (None, checkerboard_features().items.matrix), **alone)
    other = lightgcn.Network(lightgcn.Config(embedding_dim=3, reg=0.3), data, (None, None), seed=0)
    with torch.no_grad():
        other.layer_zero.ids.copy_(parts.network.ids)
    losses = [JointPhase(parts).loss(BATCH, NOISE), other.loss(BATCH, NOISE)]
    for loss in losses:
        loss.backward()
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(parts.network.ids.grad, other.layer_zero.ids.grad)
    torch.testing.assert_close(torch.cat(parts.network.score_vectors()), torch.cat(other.score_vectors()))


def test_gates_begin_where_they_are_set_and_users_may_go_without():
    parts = parts_of(world(), (None, texts(5, without=3, seed=1)), first_gate=0.7)
    gates = parts.network.gates()
    assert gates.shape == (3, 9)
    torch.testing.assert_close(gates, torch.full((3, 9), 0.7), atol=0.05, rtol=0)
    of_items = parts_of(world(), (None, texts(5, without=3, seed=1)), gate_sides="items").network.gates()
    assert (of_items[:, :4] == 1).all()
    assert (of_items[:, 4:] < 1).all()


def test_isolated_nodes_have_finite_vectors_and_gradients():
    parts = parts_of(world(), (None, texts(5, without=3, seed=1)))
    optimizer = torch.optim.Adam([w for _, w in parts.named_parameters()], lr=0.01, fused=True)
    for phase in (AlignmentPhase(parts), JointPhase(parts)):
        for _ in range(3):
            assert torch.isfinite(train_step(phase.loss, optimizer, BATCH, NOISE, parts.config))
    assert all(torch.isfinite(weight).all() for _, weight in parts.named_parameters())
    assert torch.isfinite(torch.cat(parts.network.score_vectors())).all()


def test_another_fusion_is_refused():
    with pytest.raises(ValidationError, match="recmind mixes vectors into every layer by its gate"):
        Config(fusion="add")


def test_rare_items_come_more_often_below_zero():
    config = Config(negatives="popularity", popularity_power=-1.0, batch_size=64)
    users, items = np.arange(300), np.where(np.arange(300) < 240, 0, 1)
    data = training_data(num_users=300, num_items=4, train=(users, items), valid=(users[:1], items[:1] + 1))
    drawn, generator = [], np.random.default_rng(0)
    for _ in range(20):
        for batch in training_pairs(config, data).epoch(generator):
            assert not (batch.negatives[:, 0] == batch.positives).any()
            drawn += batch.negatives[batch.positives == 0, 0].tolist()
    counts = np.bincount(drawn, minlength=4) / len(drawn)
    expected = np.array([0, 1 / 60, 1, 1]) / (2 + 1 / 60)  # items 2 and 3 count as had once
    np.testing.assert_allclose(counts, expected, atol=0.02)
