"""Gates of graphs with self loops, which must hide nothing."""

from gate_world import ITEMS, TEXT, encode, fill, good_texts, write_texts

from featurestore.gates.policy import GatePolicy
from featurestore.graphs.build import GraphReport, build_graph
from featurestore.graphs.edges import GraphShape
from featurestore.graphs.exact import ExactGraphBuilder
from featurestore.releases.publish import publish
from featurestore.store import Store
from featurestore.stores.memory import MemoryStore

ANYTHING = GatePolicy(max_isolated_share=1, min_connected_share=0, max_knn_churn=1, max_mmd=1.5)


def build(store: Store, *, self_loops: bool) -> GraphReport:
    return build_graph(
        store,
        feature=TEXT.feature,
        view=TEXT.view,
        entity_users="own",
        num_neighbors=2,
        builder=ExactGraphBuilder(),
        shape=GraphShape(symmetry="mutual", self_loops=self_loops),
    )


def measured(*, self_loops: bool) -> dict[str, float]:
    """Values of the gates of a mutual graph after 150 texts were rewritten."""
    store = MemoryStore()
    texts = fill(store)
    build(store, self_loops=self_loops)
    publish(store, gates=ANYTHING)
    texts |= {item: good_texts(seed=9)[item] for item in ITEMS[:150]}
    write_texts(store, texts)
    encode(store, texts)
    report = build(store, self_loops=self_loops)
    gates = publish(store, gates=ANYTHING).manifest.gates
    values = {gate.gate: gate.value for gate in gates if gate.feature.startswith("graph ")}
    assert values["isolated_nodes"] == report.quality.degrees.num_isolated / len(ITEMS) > 0.05
    return values


def test_self_loops_hide_neither_isolated_nodes_nor_churn() -> None:
    with_loops, without = measured(self_loops=True), measured(self_loops=False)
    for gate in ("isolated_nodes", "connected_share", "hub_edges"):
        assert with_loops[gate] == without[gate]
    assert with_loops["knn_churn"] >= without["knn_churn"] > 0.5, "nodes that lost all neighbours count too"


def test_a_graph_of_self_loops_alone_is_all_isolated() -> None:
    store = MemoryStore()
    fill(store)
    lonely = build(store, self_loops=True)
    edges = store.read(lonely.table.table)
    loops = edges.filter(
        [src == dst for src, dst in zip(*edges.select([0, 1]).to_pydict().values(), strict=True)]
    )
    store.replace(lonely.table.table, loops)
    gates = publish(store, gates=ANYTHING).manifest.gates
    values = {gate.gate: gate.value for gate in gates if gate.feature.startswith("graph ")}
    assert (values["isolated_nodes"], values["connected_share"], values["hub_edges"]) == (1, 0, 0)
