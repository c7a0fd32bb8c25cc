import numpy as np
import pytest
import torch
from dense_graph import BATCH, bpr, check_loss_and_gradients, dense_adjacency, info_nce, mean
from pydantic import ValidationError

from featurestore.progress import no_progress
from recommender.checkpoint import CheckpointFile
from recommender.models.ncl import Config, Model, Network
from recommender.testing import checkerboard

SETTINGS = {
    "embedding_dim": 4,
    "num_layers": 3,
    "init_std": 0.5,
    "reg": 0.3,
    "contrast_weight": 0.7,
    "prototype_weight": 0.4,
    "temperature": 0.5,
    "num_clusters": 3,
}
SIDES = (range(41), sorted({*BATCH.users})), (range(41, 62), sorted({*(BATCH.positives + 41)}))
NOISE = torch.Generator()


def network(**settings) -> Network:
    return Network(Config(**(SETTINGS | settings)), checkerboard()[0], (None, None), seed=1)


def propagated(ids: torch.Tensor) -> list[torch.Tensor]:
    layers = [ids]
    for _ in range(4):
        layers.append(dense_adjacency(checkerboard()[0]) @ layers[-1])
    return layers


def contrast(one: torch.Tensor, other: torch.Tensor, against: str, item_weight: float) -> torch.Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for weight, (side, nodes) in zip((1.0, item_weight), SIDES, strict=True):
        candidates = list(side) if against == "all" else nodes
        for node in nodes:
            cosines = torch.cosine_similarity(one[node][None], other[candidates]) / 0.5
            chances = torch.log_softmax(cosines, dim=0)
            total = total - weight * chances[candidates.index(node)] / len(nodes)
    return total


@pytest.mark.parametrize("against", ["batch", "all"])
@pytest.mark.parametrize("contrast_layer", [2, 4])
def test_structure_and_its_gradients_equal_the_formula(against, contrast_layer):
    def expected(ids: torch.Tensor) -> torch.Tensor:
        layers = propagated(ids)
        structure = contrast(layers[contrast_layer], ids, against, 0.2)
        return bpr(mean(layers[:4]), ids, 41, reg=0.3) + 0.7 * structure

    ours = network(contrast_against=against, contrast_layer=contrast_layer, item_weight=0.2)
    check_loss_and_gradients(ours, expected, NOISE)


def test_prototypes_and_their_gradients_equal_the_formula():
    ours = network(epochs_without_prototypes=0, item_weight=0.2)
    ours.epoch(np.random.default_rng(5))
    assert ours._clusters is not None
    clusters = [(centres.double(), nearest) for centres, nearest in ours._clusters]
    assert [len(centres) for centres, _ in clusters] == [3, 3]

    def expected(ids: torch.Tensor) -> torch.Tensor:
        layers, total = propagated(ids), torch.zeros((), dtype=torch.float64)
        for weight, (side, nodes), (centres, nearest) in zip((1.0, 0.2), SIDES, clusters, strict=True):
            for node in nodes:
                own = ((ids[node] - centres) ** 2).sum(dim=1).argmin()
                assert own == nearest[node - side[0]]
                chances = torch.log_softmax(torch.cosine_similarity(ids[node][None], centres) / 0.5, dim=0)
                total = total - weight * chances[own] / len(nodes)
        structure = contrast(layers[2], ids, "batch", 0.2)
        return bpr(mean(layers[:4]), ids, 41, reg=0.3) + 0.7 * structure + 0.4 * total

    check_loss_and_gradients(ours, expected, NOISE)


def test_without_contrasts_it_is_lightgcn():
    ours = network(contrast_weight=0.0, prototype_weight=0.0, epochs_without_prototypes=0)
    ours.epoch(np.random.default_rng(5))
    check_loss_and_gradients(ours, lambda ids: bpr(mean(propagated(ids)[:4]), ids, 41, reg=0.3), NOISE)
    assert ours._clusters is None
    both = info_nce(*[ours.layer_zero.ids.detach().double()] * 2, 41, temperature=0.5)
    assert both > 0


def test_the_first_epochs_go_without_prototypes():
    ours = network(epochs_without_prototypes=2)
    made = []
    for _ in range(4):
        ours.epoch(np.random.default_rng(5))
        made.append(ours._clusters is not None)
    assert made == [False, False, True, True]


def test_training_goes_on_from_a_checkpoint_to_the_bit(tmp_path):
    data, _ = checkerboard()
    config = Config(**(SETTINGS | {"epochs": 6, "eval_every": 2, "epochs_without_prototypes": 3}))
    file = CheckpointFile(tmp_path / "c.safetensors", "this run")

    def stop(done: int, total: int, note: str = "") -> None:
        del total, note
        if done == 5:
            raise KeyboardInterrupt

    found = []
    for checkpoint, progress in ((None, no_progress), (file, stop), (file, no_progress)):
        model = Model(config)
        model.fit(data, features=None, seed=3, progress=progress, checkpoint=checkpoint)
        found.append(model.arrays()["weights"])
    for name, array in found[0].items():
        np.testing.assert_array_equal(array, found[2][name], err_msg=name)


def test_an_odd_layer_is_refused():
    with pytest.raises(ValidationError, match="an odd layer describes nodes of the other side; take an even"):
        Config(contrast_layer=3)
