"""What a teacher would recommend after each training session, and how far a student is from it.

    L_KL = Σ_{i ∈ top-k} p_i log(p_i / q_i)

p and q are softmaxes of the teacher's and of the student's scores, both over the teacher's k best items.
LLMGR's ranker is a language model (arXiv 2402.16539); a small model learns from its lists and is served
instead. Our reconstruction: of each session all but its last event is read, so that the list stands beside an
event whose next one is known. A file holds ``items`` (U, k) int64, -1 where there is no list, and ``scores``
(U, k) float32; its metadata say which sessions were read, and by what. Letters: U sessions, b of a batch, k
items of a list, I items, d dimensions.
"""

from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch.nn.functional import kl_div, log_softmax

from featurestore.errors import InputError, StoreError, UsageError
from featurestore.ids import digest, digest_bytes
from featurestore.objects import disk_error
from recommender.data import FloatArray, Histories, IntArray, TrainingData

_ITEMS: Final = "items"
_SCORES: Final = "scores"
_AGAIN: Final = "featurestore tune llmgr --stage behaviour --teacher FILE"


@dataclass(frozen=True, slots=True)
class TeacherOrigin:
    """What lists were made of; words, as they stand in a file.

    Attributes:
        sessions: Digest of the training sessions, see `sessions_digest`. Releases that differ in features
            alone share it.
        release: Number of the release that these were read of.
        split: Its training events by name; empty if it has no split.
        adapter: Digest of the teacher's adapter.
    """

    sessions: str
    release: str
    split: str
    adapter: str


@dataclass(frozen=True, slots=True)
class TeacherLists:
    """Lists of a teacher.

    Attributes:
        items: (U, k) int64 rows of items, distinct within a list; -1 where a session has none.
        scores: (U, k) float32 the teacher's scores of these.
        origin: What they were made of.
    """

    items: IntArray
    scores: FloatArray
    origin: TeacherOrigin

    def save(self, path: Path) -> None:
        """Write them to a file, whole or not at all; its folder is made if need be.

        Raises:
            StoreError, StorageFullError: If it cannot be written.
        """
        fresh = path.with_name(f"{path.name}.fresh")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file({_ITEMS: self.items, _SCORES: self.scores}, fresh, asdict(self.origin))
            fresh.replace(path)
        except (OSError, SafetensorError) as error:
            raise disk_error(error, str(path)) from error
        finally:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)


def sessions_digest(histories: Histories) -> str:
    """Identity of training sessions: what was clicked in which row of the id maps, in order."""
    arrays = (np.ascontiguousarray(each, "<i8") for each in (histories.indptr, histories.items))
    return digest([digest_bytes(each.tobytes()) for each in arrays])


def load_teacher(path: Path, data: TrainingData) -> TeacherLists:
    """The lists of a file.

    Args:
        path: What `TeacherLists.save` wrote.
        data: Has the sessions that they must be of.

    Raises:
        InputError: If there is no such file.
        StoreError: If it holds no lists.
        UsageError: If they are of other sessions, of other items, or do not say of which.
    """
    if not path.is_file():
        raise InputError(f"there are no lists of a teacher at {path}.", hint=f"Write them with: {_AGAIN}")
    try:
        with safe_open(path, framework="numpy") as opened:
            said: dict[str, str] = opened.metadata() or {}
            items, scores = opened.get_tensor(_ITEMS), opened.get_tensor(_SCORES)
    except SafetensorError as error:
        raise StoreError(f"{path} holds no lists of a teacher: {error}.", hint="Write them again.") from error
    try:
        lists = TeacherLists(items, scores, TeacherOrigin(**said))
    except TypeError:
        raise UsageError(
            f"the lists in {path} do not say which sessions they are of, so that nothing tells whether they "
            "fit the release.",
            hint=f"Write them again on the release that is trained on: {_AGAIN}",
        ) from None
    _require_fit(path, lists, data)
    return lists


def _require_fit(path: Path, lists: TeacherLists, data: TrainingData) -> None:
    origin, wanted = lists.origin, sessions_digest(data.histories)
    if origin.sessions != wanted:
        raise UsageError(
            f"the lists in {path} are of other training sessions: the adapter {origin.adapter[:16]} read "
            f"{origin.sessions[:16]}, of release {origin.release} ({origin.split or 'no split'}). "
            f"The release that is trained on has {data.num_users:,} sessions, {wanted[:16]}.",
            hint="Train on a release of the same split and events, or write the lists again on this one: "
            f"{_AGAIN}",
        )
    if len(lists.items) != data.num_users or int(lists.items.max(initial=-1)) >= data.num_items:
        raise UsageError(
            f"the lists in {path} are of {len(lists.items):,} sessions and name items up to row "
            f"{int(lists.items.max(initial=-1)):,}; the release has {data.num_users:,} sessions and "
            f"{data.num_items:,} items.",
            hint="Write them on the release that is trained on.",
        )


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
