import torch

from recommender.data import training_data
from recommender.graph.history_mean import HistoryMean

NOBODY = (torch.zeros(0, dtype=torch.int64).numpy(),) * 2
PAIRS = [(0, 1), (0, 3), (2, 1), (2, 2), (2, 3)]


def test_means_and_gradients_by_hand():
    users, items = torch.tensor(PAIRS).T.numpy()
    data = training_data(num_users=4, num_items=5, train=(users, items), valid=NOBODY)
    vectors = torch.randn(5, 2, generator=torch.Generator().manual_seed(0), requires_grad=True)
    found = HistoryMean(data)(vectors)
    expected = torch.stack(
        [
            (vectors[1] + vectors[3]) / 2,
            torch.zeros(2),
            (vectors[1] + vectors[2] + vectors[3]) / 3,
            torch.zeros(2),
        ]
    )
    torch.testing.assert_close(found, expected)
    weights = torch.arange(8.0).view(4, 2)
    (ours,) = torch.autograd.grad((found * weights).sum(), vectors)
    (theirs,) = torch.autograd.grad((expected * weights).sum(), vectors)
    torch.testing.assert_close(ours, theirs)
