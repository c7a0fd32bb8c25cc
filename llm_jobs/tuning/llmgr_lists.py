"""What the tuned decoder recommends after sessions: lists of a teacher, or lists of users in the store.

Two ways to serve LLMGR (arXiv 2402.16539) without a language model online, ours both: (a) all sessions are
read offline and their lists stored; (b) a small model of sessions learns from lists of training sessions
(`recommender.session.teacher_lists`), beside t_v. Letters: n sessions, k items of a list, I items.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch

from featurestore import columns as c
from featurestore.ids import RowArray
from featurestore.progress import Progress, no_progress
from featurestore.reader import Release
from llm_jobs.tuning.hybrid_model import read_states
from llm_jobs.tuning.llmgr_examples import SessionExamples, newest_examples, some_of
from llm_jobs.tuning.llmgr_job import Tuned
from llm_jobs.tuning.llmgr_sources import reading_of
from recommender.data import FloatArray, Histories, IntArray, UserItems, load_histories, load_seen
from recommender.session.teacher_lists import TeacherLists, TeacherOrigin, sessions_digest

_SESSIONS_AT_A_TIME: Final = 512


@dataclass(frozen=True)
class SessionScores:
    """Scores W_o h of sessions by a tuned decoder.

    Attributes:
        tuned: The decoder.
    """

    tuned: Tuned

    def top(
        self,
        examples: SessionExamples,
        top_k: int,
        seen: UserItems | None = None,
        rows: RowArray | None = None,
    ) -> tuple[IntArray, FloatArray]:
        """(n, k) int64 item rows, best first, and (n, k) float32 scores; -1 and 0 where a list ends.

        Args:
            examples: n sessions.
            top_k: k.
            seen: Items that are left out; None for none.
            rows: (n,) whose of these each session is.
        """
        scores = self._scores(examples)
        if seen is not None and rows is not None:
            lines, items = seen.pairs_of(rows)
            scores[lines, items] = -np.inf
        order = np.argsort(-scores, axis=1, kind="stable")[:, :top_k]
        values = np.take_along_axis(scores, order, axis=1)
        is_known = np.isfinite(values)
        return np.where(is_known, order, -1), np.where(is_known, values, 0.0).astype(np.float32)

    def _scores(self, examples: SessionExamples) -> FloatArray:
        tuned = self.tuned
        seed = tuned.adapter.origin.seed
        reading = reading_of(tuned.found, examples, tuned.tokens, tuned.config, seed=seed)
        inputs = [tuned.tokens.input(reading.session_prompt(examples, n)) for n in range(len(examples))]
        states = read_states(
            tuned.start.model,
            tuned.start.ends,
            inputs,
            (reading.nodes, reading.sessions),
            batch_size=tuned.config.batch_size,
        )
        with torch.no_grad():
            output = tuned.start.ends.output.detach().cpu().numpy()
        return states @ output.T


def write_teacher(
    tuned: Tuned,
    path: Path,
    *,
    top_k: int = 50,
    max_sessions: int | None = None,
    progress: Progress = no_progress,
) -> TeacherLists:
    """Write what the decoder recommends after all but the last event of each training session.

    Args:
        tuned: A decoder after stage 2.
        path: File to write.
        top_k: k; the catalogue at most.
        max_sessions: Of all of them so many, drawn by the adapter's seed; None for all.
        progress: Told about sessions.

    Raises:
        StoreError, StorageFullError: If the file cannot be written.
    """
    histories = tuned.found.training.histories
    examples, rows = newest_examples(histories, tuned.config.max_nodes)
    asked = some_of(np.arange(len(rows)), max_sessions, tuned.adapter.origin.seed)
    examples, rows = SessionExamples(histories, examples.starts[asked], examples.ends[asked]), rows[asked]
    k = min(top_k, len(tuned.found.nodes))
    items = np.full((len(histories), k), -1, np.int64)
    scores = np.zeros((len(histories), k), np.float32)
    for start in range(0, len(rows), _SESSIONS_AT_A_TIME):
        part = slice(start, start + _SESSIONS_AT_A_TIME)
        chosen = SessionExamples(histories, examples.starts[part], examples.ends[part])
        items[rows[part]], scores[rows[part]] = SessionScores(tuned).top(chosen, k)
        progress(min(part.stop, len(rows)), len(rows), "sessions")
    stated = tuned.adapter.origin
    origin = TeacherOrigin(
        sessions=sessions_digest(histories),
        release=str(stated.release),
        split=stated.event_set or "",
        adapter=tuned.adapter.digest,
    )
    lists = TeacherLists(items, scores, origin)
    lists.save(path)
    return lists


@dataclass(frozen=True)
class UserLists:
    """What the decoder recommends to users, as `recommender.generative.job.WritesLists`.

    Attributes:
        tuned: A decoder after stage 2.
        histories: What every user had.
        seen: Items that are left out.
        top_k: Items of a list.
    """

    tuned: Tuned
    histories: Histories
    seen: UserItems
    top_k: int

    @classmethod
    def of(cls, tuned: Tuned, release: Release, *, top_k: int) -> "UserLists":
        """Lists after train and validation of the release that the decoder was tuned on."""
        return cls(tuned, load_histories(release, c.TRAIN, c.VALID), load_seen(release), top_k)

    def __call__(self, users: RowArray) -> tuple[IntArray, FloatArray]:
        """See `WritesLists`; a user without events has no list."""
        items = np.full((len(users), self.top_k), -1, np.int64)
        scores = np.zeros((len(users), self.top_k), np.float32)
        known = np.flatnonzero(self.histories.lengths[users] > 0)
        if len(known):
            examples = _whole_sessions(self.histories, users[known], self.tuned.config.max_nodes)
            found, values = SessionScores(self.tuned).top(examples, self.top_k, self.seen, users[known])
            items[known, : found.shape[1]], scores[known, : found.shape[1]] = found, values
        return items, scores


def _whole_sessions(histories: Histories, rows: RowArray, max_nodes: int) -> SessionExamples:
    """All events of some sessions, with nothing that came next."""
    ends = histories.indptr[rows + 1]
    return SessionExamples(histories, np.maximum(histories.indptr[rows], ends - max_nodes), ends)
