"""The generative form as a model: fitted on a release's events, asked for lists.

It is no `recommender.base.Recommender`: it writes the best items instead of scoring all of them. A list is as
long as the beam at most, so HR and NDCG are exact up to there and unknown beyond.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
import torch

from featurestore.errors import SetupError, StoreError, UsageError
from featurestore.ids import RowArray, digest, digest_bytes
from featurestore.progress import Progress, no_progress
from recommender.base import ArrayGroups, FitReport
from recommender.checkpoint import CheckpointFile
from recommender.data import FloatArray, HeldOut, Histories, IntArray, TrainingData, UserItems
from recommender.features import NodeFeatures
from recommender.generative.config import GenerativeConfig
from recommender.generative.decode import write_items
from recommender.generative.inputs import Inputs, make_inputs
from recommender.generative.network import GenerativeNetwork
from recommender.generative.ranks import list_ranks, of_users
from recommender.generative.tokens import Vocabulary, require_distinct
from recommender.generative.training import MONITOR, train_generative
from recommender.generative.trie import CandidateTrie, CatalogueTrie, Trie
from recommender.generative.words import Sources, lookup
from recommender.generative.writer import Writer, new_writer
from recommender.metrics import ranking_metrics
from recommender.model_arrays import fit_projections, load_parameters, parameter_arrays, project
from recommender.user_graph import user_neighbors

SeenItems: TypeAlias = Literal["drop", "keep"]
_Ask: TypeAlias = Callable[[IntArray], tuple[Inputs, Trie]]
"""Places of some lines → what T5 reads of them, and what it may write."""
_LINES_AT_A_TIME: Final = 256


@dataclass(frozen=True, slots=True)
class _Fitted:
    writer: Writer
    vocabulary: Vocabulary
    table: torch.Tensor | None  # what whole words are read from


class GenerativeModel:
    """ISRF's generative form, or P5, POD, ELMRec: see `recommender.generative.config`.

    Args:
        config: Settings.
        item_digits: (I, w) int64 names of items, see `recommender.generative.tokens`.

    Raises:
        InputError: If two items have one name.
    """

    def __init__(self, config: GenerativeConfig, item_digits: IntArray) -> None:
        self.config = config
        self._item_digits = require_distinct(item_digits)
        self._trie = CatalogueTrie.of(item_digits)
        self._fitted: _Fitted | None = None

    def fit(
        self,
        data: TrainingData,
        *,
        features: NodeFeatures | None,
        seed: int,
        progress: Progress = no_progress,
        checkpoint: CheckpointFile | None = None,
    ) -> FitReport:
        """Learn from training events; validation items choose the epoch that is kept.

        Args:
            data: Training and validation events.
            features: Vectors of items, for E_V and the graph of users; of users, for that graph alone.
            seed: The one source of randomness.
            progress: Told about epochs.
            checkpoint: See `train_generative`.

        Raises:
            UsageError: If the names are not those of the data's items, or vectors are asked for and absent.
        """
        config = self.config
        if len(self._item_digits) != data.num_items:
            raise UsageError(
                f"{len(self._item_digits)} items have names, the training data have {data.num_items}.",
                hint="Make the names from the same release.",
            )
        item_vectors, neighbors = _item_vectors(config, features), None
        if config.has_groups:
            neighbors = user_neighbors(config.user_graph, config.num_neighbors, data, features, seed=seed)
        sources = Sources(data, item_vectors, neighbors)
        network = GenerativeNetwork(config, sources, self._item_digits, seed).to(_device(config))
        valid = _some_users(data.valid, config.valid_users)

        def validate() -> float | None:
            if not len(valid):
                return None
            self._fitted = _freeze(network)
            users = np.unique(valid.users)
            lists, _ = self.lists(users, data.histories, valid.seen, 10)
            return ranking_metrics(list_ranks(lists, users, valid), (10,)).means()[MONITOR]

        report = train_generative(network, validate, seed=seed, progress=progress, checkpoint=checkpoint)
        self._fitted = _freeze(network)
        return report

    def lists(
        self,
        users: RowArray,
        histories: Histories,
        seen: UserItems,
        top_k: int,
        *,
        seen_items: SeenItems = "drop",
        progress: Progress = no_progress,
    ) -> tuple[IntArray, FloatArray]:
        """What comes next in users' histories: the sequential task.

        Args:
            users: (n,) int64 rows.
            histories: Row u is user u's.
            seen: Items that are no news to a user.
            top_k: Items of a list, ``beam_size`` at most.
            seen_items: ``drop`` keeps them out of the beams; ``keep`` lets them take places, as P5 does.
            progress: Told about users.

        Returns:
            (n, top_k) int64 item rows, best first, -1 where a list ends, and their (n, top_k) float32 scores:
            logarithms of chances, -inf there.
        """
        items = histories.newest(users, self.config.max_history)

        def ask(part: IntArray) -> tuple[Inputs, Trie]:
            inputs = make_inputs(self._require_fitted().vocabulary, "sequential", users[part], items[part])
            return inputs, self._trie.without(self._left_out(users[part], seen, seen_items))

        return self._write(np.argsort((items >= 0).sum(axis=1), kind="stable"), top_k, ask, progress)

    def choices(
        self, users: RowArray, candidates: IntArray, top_k: int, *, progress: Progress = no_progress
    ) -> tuple[IntArray, FloatArray]:
        """The best of some candidates: the direct task; as `lists`.

        Args:
            users: (n,) int64 rows.
            candidates: (n, c) int64 item rows, at most as many as the model was trained with.
            top_k: Items of a list, ``beam_size`` at most.
            progress: Told about users.
        """

        def ask(part: IntArray) -> tuple[Inputs, Trie]:
            inputs = make_inputs(self._require_fitted().vocabulary, "direct", users[part], candidates[part])
            nothing = torch.zeros(len(part), len(self._item_digits), dtype=torch.bool)
            left_out = nothing.to(self._require_fitted().writer.device)
            return inputs, CandidateTrie(self._item_digits, inputs.items, left_out)

        return self._write(np.arange(len(users)), top_k, ask, progress)

    def arrays(self) -> ArrayGroups:
        """Everything that lists need: ``weights``, and ``names`` of items."""
        fitted = self._require_fitted()
        weights = parameter_arrays(fitted.writer)
        if fitted.table is not None:
            weights["words"] = fitted.table.cpu().numpy()
        names = {
            "item_digits": self._item_digits.astype(np.float32),
            "num_users": np.array([len(fitted.vocabulary.user_tokens)], np.float32),
        }
        return {"weights": weights, "names": names}

    def load_arrays(self, groups: ArrayGroups) -> None:
        """Take over what `arrays` gave; the names must be those that the model was made with.

        Raises:
            StoreError: If they are others.
        """
        weights, names = groups["weights"], groups["names"]
        if not np.array_equal(names["item_digits"].astype(np.int64), self._item_digits):
            raise StoreError(
                "these weights were learned for other names of items.",
                hint="Make the model with the saved names: item_digits of the file names.",
            )
        writer, vocabulary = new_writer(self.config, self._item_digits, int(names["num_users"][0]), 0)
        load_parameters(writer, weights)
        device = _device(self.config)
        table = torch.from_numpy(weights["words"]).to(device) if "words" in weights else None
        self._fitted = _Fitted(writer.to(device).eval(), vocabulary, table)

    @property
    def digest(self) -> str:
        """Of the settings and all weights."""
        sums = {
            f"{group}.{name}": digest_bytes(np.ascontiguousarray(array).tobytes())
            for group, arrays in self.arrays().items()
            for name, array in arrays.items()
        }
        return digest({"config": self.config.model_dump(mode="json"), "arrays": sums})

    def _write(
        self, order: IntArray, top_k: int, ask: _Ask, progress: Progress
    ) -> tuple[IntArray, FloatArray]:
        fitted = self._require_fitted()
        if top_k > self.config.beam_size:
            raise UsageError(f"lists of {top_k} items need beam_size {top_k}; it is {self.config.beam_size}.")
        items = np.full((len(order), top_k), -1, np.int64)
        scores = np.full((len(order), top_k), -np.inf, np.float32)
        fitted.writer.eval()
        for start in range(0, len(order), _LINES_AT_A_TIME):
            part = order[start : start + _LINES_AT_A_TIME]
            inputs, trie = ask(part)
            with torch.no_grad():
                words = None if fitted.table is None else self._words(fitted.table, inputs)
                encoded = fitted.writer.encode(inputs, words)
            found, values = write_items(
                fitted.writer, fitted.vocabulary, encoded, trie, self.config.beam_size
            )
            width = min(top_k, found.shape[1])
            items[part, :width], scores[part, :width] = found[:, :width], values[:, :width]
            progress(start + len(part), len(order), "users")
        return items, scores

    def _words(self, table: torch.Tensor, inputs: Inputs) -> torch.Tensor:
        return lookup(self.config.word_embeddings, table, inputs)

    def _left_out(self, users: RowArray, seen: UserItems, seen_items: SeenItems) -> torch.Tensor:
        left_out = torch.zeros(len(users), len(self._item_digits), dtype=torch.bool)
        if seen_items == "drop":
            lines, items = seen.pairs_of(users)
            left_out[torch.from_numpy(lines), torch.from_numpy(items)] = True
        return left_out.to(self._require_fitted().writer.device)

    def _require_fitted(self) -> _Fitted:
        if self._fitted is None:
            raise StoreError("this generative model is empty.", hint="Call fit or load_arrays first.")
        return self._fitted


def _freeze(network: GenerativeNetwork) -> _Fitted:
    return _Fitted(network.writer, network.vocabulary, network.words.table())


def _item_vectors(config: GenerativeConfig, features: NodeFeatures | None) -> FloatArray | None:
    if config.word_embeddings != "graph" or config.fusion == "none":
        return None
    if features is None or features.items is None:
        raise UsageError(
            f"fusion={config.fusion} reads vectors of items, and there are none.",
            hint="Give vectors of a release, or set fusion=none.",
        )
    items = NodeFeatures(features.items)
    return project(fit_projections(items, config.pca_components), items)[1]


def _some_users(valid: HeldOut, most: int) -> HeldOut:
    """Validation pairs of at most so many users, the same for every model and seed."""
    users = np.unique(valid.users)
    return of_users(valid, np.random.default_rng(0).permutation(users)[:most])


def _device(config: GenerativeConfig) -> torch.device:
    if config.device == "cuda" and not torch.cuda.is_available():
        raise SetupError("device=cuda, but torch finds no CUDA device.", hint="Leave device out.")
    return torch.device(config.device)
