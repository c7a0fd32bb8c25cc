"""A decoder that reads vectors among its words, and what goes in and comes out at its ends.

LLMGR (arXiv 2402.16539), its hybrid encoding and output layer:

    x̃_v = W_p x_v + b_p       a node, from the frozen vector of its item
    z̃_s = W_g Z_s + b_g       a graph, from the frozen vector of its session (its own map: ours)
    h = F(X) at the last position,   ŷ = softmax(W_o (h - m) / s), the quotient by column

Our reconstruction: W_p and W_g begin at a size that makes the mean square of x̃ and z̃ that of a word's
embedding, whatever model made x and Z: much longer or shorter ones a decoder has never read. W_o begins as a
random map of x, so that alike items begin alike: most of them are the answer to no prompt at all, or to one,
and what is learned of one row must say something of the others; or as the map that a ridge regression of x
on h finds (Kumar et al., "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution",
ICLR 2022: what is tuned from a random head loses what it knew); or, for prompts in words alone, as noise,
so that no score says anything of x. And m and s,
mean and standard deviation of h over a stage's prompts before it is tuned: the states of prompts that share
most of their words are nearly one (SmolLM2: a root mean square of 1.87, 0.11 of which tells prompts apart).

Letters: b inputs, t tokens, p places, h hidden size, d dimensions of x and Z, I items.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import torch

from featurestore.errors import InputError
from llm_jobs.encoders.hidden_state import batches_by_length
from llm_jobs.tuning.hybrid_input import Graph, HybridInput, Node

_MAX_BATCH_TOKENS: Final = 16_384
_OUTPUT_STD: Final = 0.02


class HybridDecoder(torch.nn.Module):
    """A decoder whose inputs hold vectors.

    Args:
        network: A causal model of transformers, with a LoRA adapter of peft or as it is.
    """

    def __init__(self, network: Any) -> None:  # noqa: ANN401 - a type of transformers or peft
        super().__init__()
        self.network = network

    @property
    def trunk(self) -> Any:  # noqa: ANN401 - a type of transformers
        """The decoder without its output layer, whose products over the vocabulary nobody reads."""
        whole = self.network.get_base_model() if hasattr(self.network, "get_base_model") else self.network
        return whole.base_model

    @property
    def words(self) -> torch.Tensor:
        """(V, h) embeddings of the vocabulary."""
        return self.trunk.get_input_embeddings().weight

    def forward(self, inputs: Sequence[HybridInput], placed: torch.Tensor) -> torch.Tensor:
        """(b, h) float32 states at the last position of each input.

        Args:
            inputs: b of them; padded here at their ends, where no token that is read sees it.
            placed: (p, h) what stands at the places, input after input.
        """
        device, longest = self.words.device, max(map(len, inputs))
        lengths = torch.tensor([len(each) for each in inputs])
        padded = torch.tensor([_padded(each.token_ids, longest) for each in inputs])  # (b, t)
        mask = (torch.arange(longest) < lengths.unsqueeze(1)).long()  # (b, t)
        embedded = self.trunk.get_input_embeddings()(padded.to(device))  # (b, t, h)
        flat = [row * longest + place for row, each in enumerate(inputs) for place, _ in each.places]
        places = torch.tensor(flat, dtype=torch.int64, device=device)
        mixed = embedded.flatten(0, 1).index_copy(0, places, placed.to(embedded.dtype)).view_as(embedded)
        found = self.trunk(inputs_embeds=mixed, attention_mask=mask.to(device), use_cache=False)
        states = found.last_hidden_state.float()
        return states[torch.arange(len(inputs), device=device), (lengths - 1).to(device)]


class HybridEnds(torch.nn.Module):
    """W_p, W_g, W_o, and the fixed m and 1 / s, which are 0 and 1 until they are measured.

    Args:
        nodes: (I, d) float32 x of all items, frozen.
        words: (V, h) embeddings that x̃ and z̃ begin as long as.
        seed: Of the first weights.
        first_output: W_o begins as a random map of x, or as noise that has nothing of it.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(
        self,
        nodes: torch.Tensor,
        words: torch.Tensor,
        *,
        seed: int,
        first_output: Literal["nodes", "noise"] = "nodes",
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        width, hidden = nodes.shape[1], words.shape[1]
        # Drawn ahead of W_p and W_g, whose draws are as many as x has columns.
        noise = _noise(len(nodes), hidden, generator) if first_output == "noise" else None
        wanted = float(words.float().square().mean().sqrt())
        known = nodes[nodes.any(dim=1)]
        found = float(known.square().sum(dim=1).mean().sqrt()) if len(known) else 1.0
        self.node = _new_map(width, hidden, wanted / max(found, 1e-8), generator)
        self.graph = _new_map(width, hidden, wanted / max(found, 1e-8), generator)
        output = _mapped(nodes.cpu(), hidden, generator) if noise is None else noise
        self.output = torch.nn.Parameter(output)  # W_o
        self.register_buffer("mean", torch.zeros(hidden))
        self.register_buffer("scale", torch.ones(hidden))
        self.to(nodes.device)

    def measure(self, states: torch.Tensor) -> None:
        """Take m and s from (n, h) states of n prompts; of fewer than two there is no s, and nothing is done.

        Raises:
            InputError: If all prompts have the same state.
        """
        if len(states) < 2:
            return
        deviation = states.std(dim=0)
        if not deviation.any():
            raise InputError(
                f"all {len(states)} prompts have the same state.",
                hint="Are their titles, or their items' vectors, all the same?",
            )
        self.mean.copy_(states.mean(dim=0))
        self.scale.copy_(torch.where(deviation > 0, 1 / deviation, 0.0))

    @torch.no_grad()
    def fit_output(self, states: torch.Tensor, nodes: torch.Tensor, answers: torch.Tensor) -> None:
        """Let W_o begin as the map of x that fits some prompts: A of min ‖Z A - X‖² + 2n ‖A‖², W_o = x Aᵀ.

        Rows of items without x stay as they are; so does W_o if no answer has x. How far A is shrunk is ours.

        Args:
            states: (n, h) of n prompts.
            nodes: (I, d) x.
            answers: (n,) int64 the right item of each.
        """
        known = nodes.any(dim=1)
        asked = known.cpu()[answers]
        if not asked.any():
            return
        centred = (nodes - nodes[known].mean(dim=0)).double()
        inputs, wanted = self.standard(states[asked.to(states.device)]).double(), centred[answers[asked]]
        ridge = 2 * len(inputs) * torch.eye(inputs.shape[1], dtype=inputs.dtype, device=inputs.device)
        found = torch.linalg.solve(inputs.T @ inputs + ridge, inputs.T @ wanted)  # (h, d) A
        mapped = (centred[known] @ found.T).float()
        self.output[known] = mapped / mapped.std().clamp(min=1e-12) * _OUTPUT_STD

    def standard(self, states: torch.Tensor) -> torch.Tensor:
        """(b, h) what W_o reads of (b, h) states."""
        return (states - self.mean) * self.scale

    def place(
        self, inputs: Sequence[HybridInput], nodes: torch.Tensor, sessions: torch.Tensor
    ) -> torch.Tensor:
        """(p, h) what stands at the places of some inputs.

        Args:
            inputs: Whose nodes and graphs are rows of these:
            nodes: (I, d) x.
            sessions: (s, d) Z.
        """
        found = [what for each in inputs for _, what in each.places]
        items = torch.tensor([w.item for w in found if isinstance(w, Node)], dtype=torch.int64)
        rows = torch.tensor([w.session for w in found if isinstance(w, Graph)], dtype=torch.int64)
        is_node = torch.tensor([isinstance(what, Node) for what in found], dtype=torch.bool)
        device = nodes.device
        order = torch.cat([is_node.nonzero(), (~is_node).nonzero()]).flatten().to(device)
        both = torch.cat(
            [self.node(nodes[items.to(device)]), self.graph(sessions[rows.to(device)])]
        )  # (p, h), nodes first
        return torch.zeros_like(both).index_copy(0, order, both)

    def tensors(self) -> dict[str, torch.Tensor]:
        """All weights, m and 1 / s, on the CPU."""
        return {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}

    @torch.no_grad()
    def load(self, tensors: Mapping[str, torch.Tensor], *, maps: bool) -> None:
        """Begin at weights that were learned before.

        Args:
            tensors: What `tensors` gave.
            maps: Whether W_p and W_g are taken as well: they read vectors of one model only.
        """
        for name, tensor in self.state_dict().items():
            if maps or name in {"output", "mean", "scale"}:
                tensor.copy_(tensors[name])


def read_states(
    model: HybridDecoder,
    ends: HybridEnds,
    inputs: Sequence[HybridInput],
    vectors: tuple[torch.Tensor, torch.Tensor],
    *,
    batch_size: int,
) -> npt.NDArray[np.float32]:
    """(n, h) float32 (h - m) / s of inputs, in order. Inputs of like length share a batch.

    Args:
        model: The decoder.
        ends: Places nodes and graphs, and knows m and s.
        inputs: n of them.
        vectors: (I, d) x and (s, d) Z.
        batch_size: Inputs that go through the decoder together at most.
    """
    states = np.empty((len(inputs), model.words.shape[1]), np.float32)
    model.eval()
    with torch.inference_mode():
        for rows in batches_by_length([len(each) for each in inputs], batch_size, _MAX_BATCH_TOKENS):
            chosen = [inputs[row] for row in rows]
            found = model(chosen, ends.place(chosen, *vectors))
            states[rows] = ends.standard(found).cpu().numpy()
    return states


def _noise(num_items: int, hidden: int, generator: torch.Generator) -> torch.Tensor:
    """(I, h) of standard deviation 0.02."""
    return torch.randn(num_items, hidden, generator=generator) * _OUTPUT_STD


def _mapped(nodes: torch.Tensor, hidden: int, generator: torch.Generator) -> torch.Tensor:
    """(I, h) of standard deviation 0.02: a random map of (I, d) x about their mean; noise where x is zero."""
    rows = _noise(len(nodes), hidden, generator)
    known = nodes.any(dim=1)
    if known.sum() > 1:
        centred = nodes[known] - nodes[known].mean(dim=0)  # what all have in common tells no items apart
        mapped = centred @ torch.randn(nodes.shape[1], hidden, generator=generator)
        rows[known] = mapped / mapped.std().clamp(min=1e-8) * _OUTPUT_STD
    return rows


def _padded(ids: tuple[int, ...], length: int) -> list[int]:
    return [*ids, *ids[-1:] * (length - len(ids))]


def _new_map(width: int, hidden: int, size: float, generator: torch.Generator) -> torch.nn.Linear:
    """W of standard deviation ``size`` and b of zeros."""
    new = torch.nn.Linear(width, hidden, device="meta").to_empty(device="cpu")
    with torch.no_grad():
        new.weight.normal_(0.0, size, generator=generator)
        new.bias.zero_()
    return new
