"""Every gate there is: what it measures, which side of its threshold is good, what to do when it refuses."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_MOVED_ON: Final = (
    "To see what moved, publish it with --no-promote and --accept, then run `featurestore diff`."
)
_ACCEPT: Final = "If it is meant, publish with --accept"


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate.

    Attributes:
        measures: What its value is.
        remedy: What to do when it refuses.
        at_least: Whether values must reach the threshold; else they must not exceed it.
        acceptable: Whether a person may accept a refusal for one release. What would make the release wrong,
            rather than different, may not be accepted.
    """

    measures: str
    remedy: str
    at_least: bool = False
    acceptable: bool = True


_SOUNDNESS: Final = {
    "rows": Gate(
        "rows",
        "Run the job that makes the feature, or leave it out with --feature.",
        at_least=True,
        acceptable=False,
    ),
    "unique_ids": Gate(
        "rows that repeat an id",
        "The table is damaged: make the feature again into a new store.",
        acceptable=False,
    ),
    "finite": Gate("vectors with NaN or infinity", "Encode the feature again.", acceptable=False),
    "zero_norm": Gate(
        "vectors of length zero",
        "Their texts say nothing to the encoder: look at them, encode again.",
        acceptable=False,
    ),
    "current_texts": Gate(
        "vectors that were made of another text than this release's",
        "Texts changed after they were encoded: run `featurestore embed` again.",
        acceptable=False,
    ),
    "current_vectors": Gate(
        "items whose codes are of another vector than this release's, or absent",
        "Vectors changed after they were coded: run `featurestore semantic-ids` again.",
        acceptable=False,
    ),
    "lineage": Gate(
        "upstream versions that are not in this release",
        "Texts or vectors moved on: run `featurestore embed`, `graph` or `semantic-ids` again.",
        acceptable=False,
    ),
    "event_set": Gate(
        "event sets of another split than the current one",
        "Texts were made from events of an earlier split: generate, embed and build the graph again. Vectors "
        "by an adapter that learned from them: tune it again, or encode without it.",
        acceptable=False,
    ),
    "unique_codes": Gate(
        "items that share codes and collision digit with another one",
        "The table is damaged: run `featurestore semantic-ids` again.",
        acceptable=False,
    ),
}

_TEXTS: Final = {
    "coverage": Gate(
        "share of entities with a good text",
        "Generate the missing rows, or lower gates.min_coverage, or min_coverage of the stratum.",
        at_least=True,
    ),
    "failure_rate": Gate(
        "share of failed rows", "Run generate --only-failed, or raise gates.max_failure_rate."
    ),
    "refusal_rate": Gate(
        "share of rows in which the model declined",
        "Look at them with `featurestore show`: change the prompt or the model. Or raise "
        "gates.max_refusal_rate.",
    ),
    "think_leaks": Gate(
        "share of good texts in which a model thinks aloud",
        "Declare the model's reasoning tags, delete these texts, generate again. Or raise "
        "gates.max_think_leaks.",
    ),
    "empty_texts": Gate("good texts without a word", "Delete these rows and make them again."),
    "duplicate_texts": Gate(
        "share of good texts that repeat another one",
        "Look at `featurestore show`: the model may have collapsed. Or raise gates.max_duplicate_text_share.",
    ),
    "lost_texts": Gate(
        "share of entities with a text in the parent release and none here",
        f"Generate the missing rows. {_ACCEPT} lost_texts, or raise gates.max_lost_texts.",
    ),
}

_CHANGES: Final = {
    "embedding_space": Gate(
        "embedding spaces that differ from the parent's",
        "Models and indices made for the parent's vectors misread these: encode with the parent's encoder. "
        f"{_ACCEPT} embedding_space.",
    ),
    "unexplained_moves": Gate(
        "share of vectors that differ from the parent's though text and encoder are the same",
        "The encoder is not what its spec says, or rows were mixed up: encode the feature again.",
    ),
    "centroid_cosine": Gate(
        "cosine of the mean vector with the parent's",
        f"{_MOVED_ON} {_ACCEPT} centroid_cosine, or lower gates.min_centroid_cosine.",
        at_least=True,
    ),
    "mmd": Gate(
        "distance between the distributions of the vectors and of the parent's (MMD)",
        f"{_MOVED_ON} {_ACCEPT} mmd, or raise gates.max_mmd.",
    ),
    "knn_churn": Gate(
        "share of the parent's nearest neighbours that are none any more",
        f"{_MOVED_ON} {_ACCEPT} knn_churn, or raise gates.max_knn_churn.",
    ),
    "code_churn": Gate(
        "share of items whose codes differ from the parent's",
        f"{_MOVED_ON} {_ACCEPT} code_churn, or raise gates.max_code_churn.",
    ),
    "probe": Gate(
        "share of its validation metric that the probe model loses against the parent's vectors",
        f"{_MOVED_ON} Train the probe anew, or {_ACCEPT[0].lower()}{_ACCEPT[1:]} probe, or raise "
        "gates.max_probe_drop.",
    ),
}

_SHAPES: Final = {
    "stale_edges": Gate(
        "share of edges whose weight is not the similarity of their ends in this release",
        "Vectors or events changed after the graph was built: run `featurestore graph` again.",
    ),
    "isolated_nodes": Gate(
        "share of nodes without an edge",
        "Build the graph again with more neighbours. Or raise gates.max_isolated_share.",
    ),
    "hub_edges": Gate(
        "share of edges that end in hubs, nodes of more than five times the mean in-degree",
        "Look for equal or collapsed vectors. Or raise gates.max_hub_edge_share.",
    ),
    "connected_share": Gate(
        "share of nodes in the largest connected component",
        "Build the graph again with more neighbours, or look for equal vectors. Or lower "
        "gates.min_connected_share.",
        at_least=True,
    ),
    "code_collisions": Gate(
        "share of items that share all codes with another one",
        "Use more levels or larger codebooks, or look for equal texts. Or raise gates.max_code_collisions.",
    ),
}

GATES: Final[Mapping[str, Gate]] = _SOUNDNESS | _TEXTS | _CHANGES | _SHAPES
