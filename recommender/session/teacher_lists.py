"""What a teacher would recommend after each training session, and how far a student is from it.

    L_KL = Σ_{i ∈ top-k} p_i log(p_i / q_i)

p and q are softmaxes of the teacher's and of the student's scores, both over the teacher's k best items.
LLMGR's ranker is a language model (arXiv 2402.16539); a small model learns from its lists and is served
instead. Our reconstruction: of each session all but its last event is read, so that the list stands beside an
event whose next one is known. A file holds ``items`` (U, k) int64, -1 where there is no list, and ``scores``
(U, k) float32. Letters: U sessions, b of a batch, k items of a list, I items, d dimensions.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from torch.nn.functional import kl_div, log_softmax

from featurestore.errors import InputError, StoreError, UsageError
from recommender.data import FloatArray, IntArray

_ITEMS: Final = "items"
_SCORES: Final = "scores"


@dataclass(frozen=True, slots=True)
class TeacherLists:
    """Lists of a teacher.

    Attributes:
        items: (U, k) int64 rows of items, distinct within a list; -1 where a session has none.
        scores: (U, k) float32 the teacher's scores of these.
    """

    items: IntArray
    scores: FloatArray

    def save(self, path: Path) -> None:
        """Write them to a file; its folder is made if need be."""
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"{path.name}.fresh")
        save_file({_ITEMS: self.items, _SCORES: self.scores}, fresh)
        fresh.replace(path)


def load_teacher(path: Path, *, num_users: int, num_items: int) -> TeacherLists:
    """The lists of a file.

    Raises:
        InputError: If there is no such file.
        StoreError: If it holds no lists.
        UsageError: If they are of other sessions, or of other items.
    """
    if not path.is_file():
        raise InputError(
            f"there are no lists of a teacher at {path}.",
            hint="Write them with: featurestore tune llmgr --stage behaviour --teacher FILE",
        )
    try:
        arrays = load_file(path)
        lists = TeacherLists(arrays[_ITEMS], arrays[_SCORES])
    except (SafetensorError, KeyError) as error:
        raise StoreError(f"{path} holds no lists of a teacher: {error}.", hint="Write them again.") from error
    if len(lists.items) != num_users or int(lists.items.max(initial=-1)) >= num_items:
        raise UsageError(
            f"the lists in {path} are of {len(lists.items):,} sessions and name items up to row "
            f"{int(lists.items.max(initial=-1)):,}; the release has {num_users:,} sessions and {num_items:,} "
            "items.",
            hint="Write them on the release that is trained on.",
        )
    return lists


def teacher_divergence(
    states: torch.Tensor, items: torch.Tensor, lists: TeacherLists, rows: IntArray
) -> torch.Tensor:
    """Mean L_KL over the sessions of a batch that have a list; zero if none has.

    Args:
        states: (b, d) states of the student after all but the last event of each session.
        items: (I, d) its item vectors.
        lists: Of all sessions.
        rows: (b,) int64 which session each is.
    """
    known = lists.items[rows, 0] >= 0
    if not known.any():
        return states.sum() * 0.0
    offered = torch.from_numpy(lists.items[rows[known]]).to(states.device)  # (b', k)
    taught = torch.from_numpy(lists.scores[rows[known]]).to(states.device)
    asked = states[torch.from_numpy(np.flatnonzero(known)).to(states.device)]
    scores = (items[offered] @ asked.unsqueeze(2)).squeeze(2)  # (b', k)
    return kl_div(
        log_softmax(scores, dim=1), log_softmax(taught, dim=1), log_target=True, reduction="batchmean"
    )
