"""Lists for users: one at a time for people to look at, or all of them into the store.

Items that a user had in training or validation are not recommended. Test events are not looked at: lists may
be evaluated on them.
"""

from dataclasses import dataclass, replace
from difflib import get_close_matches

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from featurestore import columns as c
from featurestore import schema
from featurestore.errors import UsageError
from featurestore.features import FeatureRegistry, FeatureVersion
from featurestore.id_maps import IdMap
from featurestore.ids import RowArray, digest
from featurestore.jobs.lock import FeatureLock
from featurestore.progress import Progress, no_progress
from featurestore.reader import Release
from featurestore.spec import RecommendationsSpec, table_name
from featurestore.store import Store
from recommender.base import ReadsHistories
from recommender.data import FloatArray, IntArray, UserItems, load_histories, load_seen
from recommender.evaluate import chunk_size
from recommender.saved import SavedModel

_MOST_NAMES_COMPARED = 100_000


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One line of a list.

    Attributes:
        rank: From 1.
        item_id: External id.
        title: The item's title, if it has one.
        score: The model's score.
        text: The fused description of the item, if the release has one.
    """

    rank: int
    item_id: str
    title: str | None
    score: float
    text: str | None


@dataclass(frozen=True, slots=True)
class UserList:
    """A user's recommendations.

    Attributes:
        user_id: External id.
        num_seen: Items the user had in training and validation.
        lines: Best first; fewer than asked for if the user had almost everything.
    """

    user_id: str
    num_seen: int
    lines: tuple[Recommendation, ...]


def recommend_to_user(saved: SavedModel, release: Release, user_id: str, *, top_k: int = 10) -> UserList:
    """The best unseen items of one user, with titles and fused descriptions.

    Raises:
        UsageError: If the release has no such user; the nearest ids are named.
    """
    user_map, item_map = release.id_map("user"), release.id_map("item")
    users = np.array([_user_row(user_map, user_id, release.number)])
    seen = load_seen(release)
    items, scores = top_items(_asked_now(saved, release), users, seen, top_k)
    kept = items[0] >= 0
    item_ids = item_map.ids_of(items[0][kept])
    titles, texts = _titles(release), _fused_texts(release)
    lines = tuple(
        Recommendation(rank, item_id, titles.get(item_id), float(score), texts.get(item_id))
        for rank, (item_id, score) in enumerate(zip(item_ids, scores[0][kept], strict=True), start=1)
    )
    return UserList(user_id, len(seen.of(int(users[0]))), lines)


def write_recommendations(
    store: Store,
    saved: SavedModel,
    release: Release,
    *,
    name: str,
    top_k: int = 10,
    progress: Progress = no_progress,
) -> FeatureVersion:
    """Store the lists of all users as the feature ``name``, for the next release to pin.

    Args:
        store: The release's store.
        saved: A model fitted on ``release``.
        release: An opened release.
        name: Feature name, such as ``lightgcn``.
        top_k: Items per user.
        progress: Told about users.

    Returns:
        The feature version. Its spec digests the model's settings, seed and weights.

    Raises:
        UsageError: If ``name`` cannot name a feature.
        LockHeldError: If another job stores the same lists.
    """
    try:
        spec = RecommendationsSpec(
            feature=name,
            view="top",
            entity="user",
            model=name,
            config_digest=digest(saved.info.model_dump(mode="json")),
            release=str(release.number),
            top_k=top_k,
        )
    except ValidationError:
        raise UsageError(
            f"{name!r} cannot name a feature.",
            hint="Use letters, digits, - and _, at most 64, starting with a letter or digit.",
        ) from None
    with FeatureLock(store.objects, table_name(spec)) as lock:
        rows = _lists(saved, release, top_k, progress)
        lock.check()
        store.replace(table_name(spec), rows)
        return FeatureRegistry(store).register(spec)


def _asked_now(saved: SavedModel, release: Release) -> SavedModel:
    """The model as it is evaluated: one that reads histories knows those of train and validation."""
    if not isinstance(saved.model, ReadsHistories):
        return saved
    return replace(saved, model=saved.model.with_histories(load_histories(release, c.TRAIN, c.VALID)))


def top_items(saved: SavedModel, users: RowArray, seen: UserItems, top_k: int) -> tuple[IntArray, FloatArray]:
    """The best unseen items of each user; equal scores by ascending item row.

    Args:
        saved: A model.
        users: (n,) rows, few enough to score at once.
        seen: Items that are left out.
        top_k: k ≥ 1.

    Returns:
        (n, k) int64 item rows and (n, k) float32 scores; -1 and 0 where a user has no more unseen items.
    """
    scores = saved.model.score(users)
    lines, items = seen.pairs_of(users)
    scores[lines, items] = -np.inf
    k = min(top_k, scores.shape[1])
    bounds = np.partition(scores, scores.shape[1] - k, axis=1)[:, scores.shape[1] - k]
    chosen = np.full((len(users), top_k), -1, np.int64)
    values = np.zeros((len(users), top_k), np.float32)
    for line, (row, bound) in enumerate(zip(scores, bounds, strict=True)):
        candidates = np.flatnonzero((row >= bound) & (row > -np.inf))
        best = candidates[np.argsort(-row[candidates], kind="stable")[:k]]
        chosen[line, : len(best)] = best
        values[line, : len(best)] = row[best]
    return chosen, values


def _lists(saved: SavedModel, release: Release, top_k: int, progress: Progress) -> pa.Table:
    user_map, item_map = release.id_map("user"), release.id_map("item")
    seen, size = load_seen(release), chunk_size(len(item_map))
    user_ids, item_ids = pa.array(user_map.ids, pa.string()), pa.array(item_map.ids, pa.string())
    known, asked = user_map.known_rows(), _asked_now(saved, release)
    parts: list[pa.Table] = []
    for start in range(0, len(known), size):
        users = known[start : start + size]
        items, scores = top_items(asked, users, seen, top_k)
        line, rank = np.nonzero(items >= 0)
        columns = [
            user_ids.take(pa.array(users[line])),
            item_ids.take(pa.array(items[line, rank])),
            pa.array(rank.astype(np.int32)),
            pa.array(scores[line, rank]),
        ]
        parts.append(pa.Table.from_arrays(columns, schema=schema.RECOMMENDATIONS))
        progress(start + len(users), len(known), "users")
    return pa.concat_tables(parts) if parts else schema.RECOMMENDATIONS.empty_table()


def _user_row(users: IdMap, user_id: str, release: int) -> int:
    if user_id in users:
        return int(users.row_of([user_id])[0])
    near = get_close_matches(user_id, users.ids[:_MOST_NAMES_COMPARED], n=3, cutoff=0.4) or users.ids[:3]
    raise UsageError(
        f"release {release} has no user {user_id!r} among its {len(users):,} users.",
        hint=f"The nearest ids are {', '.join(repr(name) for name in near)}.",
    )


def _titles(release: Release) -> dict[str, str]:
    items = release.items()
    if c.TITLE not in items.columns:
        return {}
    return {i: title for i, title in items.select(c.ITEM_ID, c.TITLE).iter_rows() if title}


def _fused_texts(release: Release) -> dict[str, str]:
    for pin in release.features("text"):
        if pin.spec.view == "fused" and pin.spec.entity == "item":
            # People read these texts, no model does: what events they were made from leaks nothing here.
            texts = release.texts(pin.spec.feature, "fused", allow_parts=c.PARTS)
            return dict(texts.select(c.ID, c.TEXT).iter_rows())
    return {}
