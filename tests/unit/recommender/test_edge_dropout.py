import torch
from dense_graph import dense_adjacency

from recommender.graph.edge_dropout import EdgeDropout
from recommender.graph.nodes import training_graph
from recommender.graph.propagation import Adjacency
from recommender.testing import checkerboard

DATA, _ = checkerboard()
GRAPH = training_graph(DATA)


def dense(graph: Adjacency) -> torch.Tensor:
    return graph.matmul(torch.eye(graph.num_nodes))


def test_edges_are_dropped_in_both_directions_and_the_others_weigh_more():
    dropped = dense(EdgeDropout(GRAPH, 0.25)(torch.Generator().manual_seed(1)))
    whole = dense_adjacency(DATA).float()
    torch.testing.assert_close(dropped, dropped.T)
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], whole[kept] / 0.75)
    share = kept.sum() / (whole != 0).sum()
    assert 0.68 < share < 0.82
    again = dense(EdgeDropout(GRAPH, 0.25)(torch.Generator().manual_seed(1)))
    assert torch.equal(dropped, again)


def test_on_average_it_is_the_graph():
    dropout, noise = EdgeDropout(GRAPH, 0.5), torch.Generator().manual_seed(0)
    mean = torch.stack([dense(dropout(noise)) for _ in range(400)]).mean(dim=0)
    torch.testing.assert_close(mean, dense(GRAPH), atol=0.03, rtol=0)


def test_without_dropout_it_is_the_graph_itself():
    assert EdgeDropout(GRAPH, 0.0)(torch.Generator()) is GRAPH
