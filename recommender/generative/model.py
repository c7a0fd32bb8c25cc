"""The generative form as a model: fitted on a release's events, asked for lists.

It is no `recommender.base.Recommender`: it writes the best items instead of scoring all of them. A list is as
long as the beam at most, so HR and NDCG are exact up to there and unknown beyond.
"""

from typing import Literal, TypeAlias

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
from recommender.generative.fitted import Fitted, decode_lines
from recommender.generative.inputs import Inputs, make_inputs
from recommender.generative.network import GenerativeNetwork
from recommender.generative.pretrained import Pretrained
from recommender.generative.ranks import list_ranks, of_users
from recommender.generative.sources import read_sources
from recommender.generative.tokens import require_distinct
from recommender.generative.training import MONITOR, train_generative
from recommender.generative.trie import CandidateTrie, CatalogueTrie, Trie
from recommender.generative.writer import empty_writer, pretrained_of
from recommender.metrics import ranking_metrics
from recommender.model_arrays import load_parameters, parameter_arrays

SeenItems: TypeAlias = Literal["drop", "keep"]


class GenerativeModel:
    """ISRF's generative form, or P5, POD, ELMRec: see `recommender.generative.config`.

    Args:
        config: Settings.
        item_digits: (I, w) int64 names of items, see `recommender.generative.tokens`.

    Attributes:
        num_parameters: Numbers that learned in `fit`; 0 before.

    Raises:
        InputError: If two items have one name.
    """

    def __init__(self, config: GenerativeConfig, item_digits: IntArray) -> None:
        self.config = config
        self._item_digits = require_distinct(item_digits)
        self._trie = CatalogueTrie.of(item_digits)
        self._fitted: Fitted | None = None
        self.num_parameters = 0

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
        sources = read_sources(config, data, features, seed=seed)
        network = GenerativeNetwork(config, sources, self._item_digits, seed).to(_device(config))
        self.num_parameters = sum(weight.numel() for weight in network.parameters())
        valid = _some_users(data.valid, config.valid_users)

        def validate() -> float | None:
            if not len(valid):
                return None
            self._fitted = Fitted.of(network)
            users = np.unique(valid.users)
            lists, _ = self.lists(users, data.histories, valid.seen, 10)
            return ranking_metrics(list_ranks(lists, users, valid), (10,)).means()[MONITOR]

        report = train_generative(network, validate, seed=seed, progress=progress, checkpoint=checkpoint)
        self._fitted = Fitted.of(network)
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

        order = np.argsort((items >= 0).sum(axis=1), kind="stable")  # of one length together: little padding
        fitted = self._require_fitted()
        return decode_lines(fitted, self.config, order, top_k, ask=ask, progress=progress)

    def choices(
        self, users: RowArray, candidates: IntArray, top_k: int, *, progress: Progress = no_progress
    ) -> tuple[IntArray, FloatArray]:
        """The best of some candidates: the direct task; as `lists`.

        Args:
            users: (n,) int64 rows.
            candidates: (n, c) int64 item rows, at most as many as the model was trained with; -1 where a
                line has fewer.
            top_k: Items of a list, ``beam_size`` at most.
            progress: Told about users.

        Raises:
            UsageError: If the model did not learn to choose, or from fewer items.
        """
        if not self.config.direct_every:
            raise UsageError(
                "this model did not learn the direct task: direct_every=0.",
                hint="Train it with direct_every=2.",
            )
        if candidates.shape[1] > self.config.candidates:
            raise UsageError(
                f"{candidates.shape[1]} candidates were given; the model learned to choose from "
                f"{self.config.candidates}.",
                hint="Give fewer, or train with more candidates.",
            )

        def ask(part: IntArray) -> tuple[Inputs, Trie]:
            inputs = make_inputs(self._require_fitted().vocabulary, "direct", users[part], candidates[part])
            nothing = torch.zeros(len(part), len(self._item_digits), dtype=torch.bool)
            left_out = nothing.to(self._require_fitted().writer.device)
            return inputs, CandidateTrie(self._item_digits, inputs.items, left_out)

        fitted, order = self._require_fitted(), np.arange(len(users))
        return decode_lines(fitted, self.config, order, top_k, ask=ask, progress=progress)

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

    @property
    def pretrained(self) -> Pretrained | None:
        """What `load_arrays` needs beside the arrays if the settings name weights."""
        fitted = self._require_fitted()
        return pretrained_of(self.config, fitted.writer, fitted.vocabulary)

    def load_arrays(self, groups: ArrayGroups, pretrained: Pretrained | None = None) -> None:
        """Take over what `arrays` gave; the names must be those that the model was made with.

        Args:
            groups: The arrays.
            pretrained: What the attribute of this name gave.

        Raises:
            StoreError: If the names are others, or the settings name weights and nothing was kept of them.
        """
        weights, names = groups["weights"], groups["names"]
        if not np.array_equal(names["item_digits"].astype(np.int64), self._item_digits):
            raise StoreError(
                "these weights were learned for other names of items.",
                hint="Make the model with the saved names: item_digits of the file names.",
            )
        num_users = int(names["num_users"][0])
        writer, vocabulary = empty_writer(self.config, self._item_digits, num_users, pretrained)
        load_parameters(writer, weights)
        device = _device(self.config)
        table = torch.from_numpy(weights["words"]).to(device) if "words" in weights else None
        self._fitted = Fitted(writer.to(device).eval(), vocabulary, table)

    @property
    def digest(self) -> str:
        """Of the settings and all weights."""
        sums = {
            f"{group}.{name}": digest_bytes(np.ascontiguousarray(array).tobytes())
            for group, arrays in self.arrays().items()
            for name, array in arrays.items()
        }
        return digest({"config": self.config.model_dump(mode="json"), "arrays": sums})

    def _left_out(self, users: RowArray, seen: UserItems, seen_items: SeenItems) -> torch.Tensor:
        left_out = torch.zeros(len(users), len(self._item_digits), dtype=torch.bool)
        if seen_items == "drop":
            lines, items = seen.pairs_of(users)
            left_out[torch.from_numpy(lines), torch.from_numpy(items)] = True
        return left_out.to(self._require_fitted().writer.device)

    def _require_fitted(self) -> Fitted:
        if self._fitted is None:
            raise StoreError("this generative model is empty.", hint="Call fit or load_arrays first.")
        return self._fitted


def _some_users(valid: HeldOut, most: int) -> HeldOut:
    """Validation pairs of at most so many users, the same for every model and seed."""
    users = np.unique(valid.users)
    return of_users(valid, np.random.default_rng(0).permutation(users)[:most])


def _device(config: GenerativeConfig) -> torch.device:
    if config.device == "cuda" and not torch.cuda.is_available():
        raise SetupError("device=cuda, but torch finds no CUDA device.", hint="Leave device out.")
    return torch.device(config.device)
