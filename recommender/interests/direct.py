"""ISRF's direct task on a graph: rank a user's items by e_u + w h_u.

    score(u, i) = <e_u + w h_u, e_i>
    loss = ranking loss + reg · L2 of the batch's E(0) and H(0) + λ_DS L_DS or λ_SA L_SA

E, H and the turns: `recommender.interests.refinement`; w is group_weight. H(0) is in L2 only if H is in
scores. Letters: U users, I items, b pairs of a batch, M negatives of each, m aligned users, d embedding_dim.
"""

from collections.abc import Iterator

import numpy as np
import torch

from recommender.data import IntArray, TrainingData
from recommender.interests.refinement import InterestConfig, Interests, Turn, TurnBatch, means_of, take_turns
from recommender.text.layer_zero import NodeVectors
from recommender.training.losses import l2_penalty
from recommender.training.ranking_loss import pair_sampler, ranking_loss
from recommender.training.sampling import PairBatch


class DirectNetwork(torch.nn.Module):
    """The trainable part.

    Args:
        neighbors: (U, K) int64 of `recommender.interests.user_graph`.
        config: Settings.
        data: Its training pairs become the graph.
        vectors: Projected vectors of items; those of users are not read.
        seed: Of the first weights.
    """

    def __init__(
        self, neighbors: IntArray, config: InterestConfig, data: TrainingData, vectors: NodeVectors, seed: int
    ) -> None:
        super().__init__()
        self._config = config
        self._seen = data.seen
        self._sampler = pair_sampler(config, data)
        generator = torch.Generator().manual_seed(seed)
        self.interests = Interests(config, data, vectors[1], neighbors, generator)

    @property
    def num_batches(self) -> int:
        """See `Trainable.num_batches`."""
        return self._sampler.num_batches

    def epoch(self, generator: np.random.Generator) -> Iterator[TurnBatch[PairBatch]]:
        """See `Trainable.epoch`."""
        return take_turns(self._sampler.epoch(generator), generator)

    def loss(self, batch: TurnBatch[PairBatch], noise: torch.Generator) -> torch.Tensor:
        """Ranking loss + reg · L2 + the loss whose turn it is."""
        del noise
        config, interests, pairs = self._config, self.interests, batch.batch
        asked, places, counts = np.unique(pairs.users, return_inverse=True, return_counts=True)
        aligned = self._aligned(batch)  # (m,) of them
        taught, lines = self._teachers(batch.turn, aligned)
        items = np.concatenate([pairs.positives, pairs.negatives.ravel()]) + interests.num_users
        layer_zero = interests.layer_zero()
        device = layer_zero.device
        parts = [len(pairs), len(items), len(taught)]
        rows = torch.from_numpy(np.concatenate([pairs.users, items, taught])).to(device)
        final, first = interests.propagation.rows(layer_zero, rows)
        users, ranked, teachers = final.split(parts)
        penalty = l2_penalty(first[: len(pairs) + len(items)], len(pairs))
        read = asked if config.group_weight else aligned
        groups, own = interests.groups(read)  # (read, d) each
        if config.group_weight:
            repeated = torch.from_numpy(places).to(device)
            users = users + config.group_weight * groups.index_select(0, repeated)
            pairs_of_user = torch.from_numpy(counts).to(device)
            penalty = penalty + (own.square().sum(dim=1) * pairs_of_user).sum() / (2 * len(pairs))
        loss = ranking_loss(config, torch.cat([users, ranked]), len(pairs)) + config.reg * penalty
        if not len(aligned):
            return loss
        means = means_of(teachers, torch.from_numpy(lines).to(device), len(aligned))
        own_groups = groups.index_select(0, torch.from_numpy(np.searchsorted(read, aligned)).to(device))
        return loss + interests.agreement(batch.turn, means, own_groups)

    @torch.no_grad()
    def score_vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(U, d) e_u + w h_u and (I, d) e_i in memory of their own."""
        users, items = self.interests.individual()
        return users + self._config.group_weight * self.interests.groups.everything(), items.clone()

    def _aligned(self, batch: TurnBatch[PairBatch]) -> IntArray:
        """Distinct users, ascending, of the first pairs of the batch; none if the loss has no weight."""
        if not self._config.weight_of(batch.turn):
            return np.empty(0, np.int64)
        return np.unique(batch.batch.users[: self._config.aligned_users])

    def _teachers(self, turn: Turn, aligned: IntArray) -> tuple[IntArray, IntArray]:
        """Nodes whose means teach, and whose line in ``aligned``: the users, or their training items."""
        if turn == "distil":
            return aligned, np.arange(len(aligned))
        lines, items = self._seen.pairs_of(aligned)
        return items + self.interests.num_users, lines
