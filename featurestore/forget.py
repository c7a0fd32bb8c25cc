"""Forgetting users: nothing that a store holds, in any release, is about them or names them any more.

Order: newest rows → redacted successors of releases → aliases → originals go → reports → the files of old
versions go → proof. Each step looks at what there is, so an erasure that was interrupted is finished by
running it again, and readers see an original release or its successor, whole, at any moment.

What models learned from the users cannot be taken out of them: such models are listed, to be trained again.
"""

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import polars as pl

from featurestore import columns as c
from featurestore import id_maps
from featurestore.adapters import adapters_of
from featurestore.erasure.objects import (
    erase_logs,
    erase_reports,
    erase_segments,
    erase_snapshots,
    erase_splits,
)
from featurestore.erasure.project_files import ProjectFiles, search_project
from featurestore.erasure.releases import replace_originals, write_successors
from featurestore.erasure.rows import holding_of, holdings
from featurestore.erasure.scan import (
    files_that_name,
    needles,
    versions_that_name,
)
from featurestore.erasure.subject import Subject, find_subject
from featurestore.erasure.tables import PAST, TableEraser, drop_unused_pasts
from featurestore.errors import StoreError, UsageError
from featurestore.features import FeatureRegistry
from featurestore.graphs.candidate_files import drop_candidates
from featurestore.ids import ExternalId
from featurestore.ingest import IngestRequest
from featurestore.jobs.answers import ANSWERS_TABLE, answers_lock
from featurestore.jobs.compaction import kept_versions, text_versions
from featurestore.jobs.lock import FeatureLock
from featurestore.progress import Progress, no_progress
from featurestore.release import ReleaseCatalog
from featurestore.releases.promote import aliases_lock
from featurestore.releases.publish import PUBLISH_LOCK
from featurestore.spec import CodesSpec, GraphSpec, RecommendationsSpec, SourceSpec
from featurestore.store import Store
from featurestore.table_upkeep import writers_lock

_STEPS: Final = 5
_IDS_PER_ERASURE: Final = 5_000


@dataclass(frozen=True, slots=True)
class ForgetRequest:
    """Whom to forget, and where beside the store.

    Attributes:
        user_ids: External ids.
        project: A project's folder, whose files are searched for the names; None leaves them alone.
        work_folder: Folder of this machine's job logs.
        sources: What the project ingests: the next ingest would bring the users back from there.
        trained_on: Gives the models that were fitted on one of some releases, in words.
    """

    user_ids: tuple[ExternalId, ...]
    project: Path | None = None
    work_folder: Path | None = None
    sources: IngestRequest | None = None
    trained_on: Callable[[Collection[int]], Sequence[str]] = lambda _: ()


@dataclass(frozen=True, slots=True)
class ForgetReport:
    """What an erasure did. It names nobody.

    Attributes:
        num_users: Users asked for.
        unknown: Places in the request, counted from 0, of users that the id map did not hold: misspelt, or
            forgotten before.
        rows: Table → rows removed or unnamed in its newest version.
        releases: Release that is gone → the redacted one in its place.
        aliases: Alias → release, of those that were moved.
        answers: Cached answers dropped: all that no remaining row refers to.
        reports: Run cards and other reports in which a name was replaced.
        segments: Segments of interrupted runs from which rows were taken.
        logs: Local logs from which rows were taken.
        retrain: Models, adapters, codebooks and lists that learned from the users.
        searched_files: Files of the store that were searched for the bytes of the ids; 0 if all ids are such
            that files hold them by chance.
        still_named_in: Files of the project, and files that it ingests, that name one of the users.
        not_searched: Of these files, those that may name them unseen, and why.
    """

    num_users: int
    unknown: tuple[int, ...] = ()
    rows: Mapping[str, int] = field(default_factory=dict[str, int])
    releases: Mapping[int, int] = field(default_factory=dict[int, int])
    aliases: Mapping[str, int] = field(default_factory=dict[str, int])
    answers: int = 0
    reports: int = 0
    segments: int = 0
    logs: int = 0
    retrain: tuple[str, ...] = ()
    searched_files: int = 0
    still_named_in: tuple[str, ...] = ()
    not_searched: tuple[str, ...] = ()

    @property
    def found_something(self) -> bool:
        """Whether the store held anything about the users."""
        return bool(self.rows or self.releases or self.reports or self.segments or self.logs)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def forget(store: Store, request: ForgetRequest, *, progress: Progress = no_progress) -> ForgetReport:
    """Remove users from the store: all releases, all tables, all files.

    Costs the tables that hold something about users: read once per version that a release pins; the files
    with their rows are written anew. Run `featurestore gc` before, to have fewer releases.

    Args:
        store: The store; no other job may write it meanwhile.
        request: Whom, and where else to look.
        progress: Told of steps.

    Raises:
        UsageError: If no user is named, or an empty id.
        LockHeldError: If a job is writing one of the tables, or publishing. Nothing was changed then.
        StorageFullError: If there is no room for redacted files; run it again when there is.
        StoreError: If something is about the users all the same: another tool wrote meanwhile.
    """
    if not request.user_ids or not all(request.user_ids):
        raise UsageError("name the users to forget: at least one, and none of them empty.")
    with _alone(store):
        return _Erasure(store, request, progress).run()


class _Erasure:
    def __init__(self, store: Store, request: ForgetRequest, progress: Progress) -> None:
        self._store = store
        self._request = request
        self._progress = progress
        self._step = 0
        subject = find_subject(store, request.user_ids, ReleaseCatalog(store).manifests())
        self._eraser = TableEraser(store, subject)
        known = id_maps.load(store, "user")
        self._unknown = tuple(at for at, user in enumerate(request.user_ids) if user not in known)

    @property
    def _subject(self) -> Subject:
        return self._eraser.subject

    def run(self) -> ForgetReport:
        self._tell("newest rows")
        self._eraser.erase_heads()
        self._tell("releases")
        made = write_successors(self._store, self._eraser)
        retrain = self._learned(made)
        with aliases_lock(self._store):
            aliases = replace_originals(self._store, made)
        self._tell("records")
        erase_splits(self._store, self._eraser)
        self._drop_candidates()
        logs = self._request.work_folder / "logs" if self._request.work_folder else None
        report = ForgetReport(
            num_users=len(self._subject.user_ids),
            unknown=self._unknown,
            rows=dict(self._eraser.num_rows),
            releases=made,
            aliases=aliases,
            reports=erase_reports(self._store.objects, self._subject),
            segments=erase_segments(self._store.objects, self._subject),
            logs=erase_logs(logs, self._subject) if logs else 0,
            answers=self._erase_answers(),
            retrain=retrain,
        )
        self._tell("files of old versions")
        self._remove_old_files()
        self._tell("proof")
        return self._proven(report)

    def _tell(self, note: str) -> None:
        self._progress(self._step, _STEPS, note)
        self._step += 1

    def _learned(self, made: Mapping[int, int]) -> tuple[str, ...]:
        """What was fitted on a release that held something about the users, and codebooks of such vectors."""
        gone = {*made, *ReleaseCatalog(self._store).successors()}
        specs = [version.spec for version in FeatureRegistry(self._store).every()]
        lists = {
            f"recommendations {spec.feature}, of release {spec.release}"
            for spec in specs
            if isinstance(spec, RecommendationsSpec) and spec.release in map(str, gone)
        }
        codebooks = {
            f"codebooks {spec.codebook[:16]}, of {spec.feature}.{spec.view}"
            for spec in specs
            if isinstance(spec, CodesSpec) and holding_of(spec) is not None
        }
        adapters = {
            f"adapter {digest[:16]} ({origin.job}), of release {origin.release}"
            for digest, origin in adapters_of(self._store.objects, gone).items()
        }
        return (*self._request.trained_on(gone), *sorted(lists), *sorted(adapters), *sorted(codebooks))

    def _drop_candidates(self) -> None:
        """Drop what graphs about users keep for their next build: it names all nodes."""
        for version in FeatureRegistry(self._store).every():
            if isinstance(version.spec, GraphSpec) and holding_of(version.spec) is not None:
                drop_candidates(self._store, version.spec)

    def _erase_answers(self) -> int:
        """Drop the cached answers that no row refers to any more, rejected ones about the users too."""
        store = self._store
        if store.latest(ANSWERS_TABLE) is None:
            return 0
        keys = pl.DataFrame(store.read(ANSWERS_TABLE, columns=[c.REQUEST_KEY]))
        for table, version in text_versions(store, ReleaseCatalog(store).manifests()):
            used = pl.DataFrame(store.read(table, version=version, columns=[c.REQUEST_KEY])).drop_nulls()
            keys = keys.join(used, on=c.REQUEST_KEY, how="anti")
        unused = keys[c.REQUEST_KEY].to_list()
        with answers_lock(store) as lock:
            for start in range(0, len(unused) + 1, _IDS_PER_ERASURE):
                lock.check()
                store.erase(ANSWERS_TABLE, unused[start : start + _IDS_PER_ERASURE], key=c.REQUEST_KEY)
            lock.check()
            store.compact(ANSWERS_TABLE, keep_versions=(), grace=timedelta(0))
        return len(unused)

    def _remove_old_files(self) -> None:
        store, manifests = self._store, ReleaseCatalog(self._store).manifests()
        erase_snapshots(store, manifests)
        drop_unused_pasts(store, [pin for manifest in manifests for pin in manifest.pins])
        tables = set(store.tables())
        for holding in holdings(store):
            for table in (holding.table, f"{PAST}{holding.table}"):
                if table in tables:
                    keep = kept_versions(store, table, manifests)
                    store.compact(table, keep_versions=keep, grace=timedelta(0))

    def _proven(self, report: ForgetReport) -> ForgetReport:
        store = self._store
        searched = needles(store, self._subject)
        left = versions_that_name(store, self._eraser) + files_that_name(store, searched)
        if left:
            raise StoreError(
                f"the users are forgotten but for {len(left)} places: {', '.join(left[:10])}.",
                hint="Another tool may have written meanwhile, or another id contains theirs. Stop all jobs "
                "and run the command again.",
            )
        files = self._project_files(searched)
        self._progress(_STEPS, _STEPS)
        return replace(
            report,
            searched_files=len(store.objects.sizes("")) if searched else 0,
            still_named_in=tuple(map(str, files.naming)),
            not_searched=files.not_searched,
        )

    def _project_files(self, searched: Collection[bytes]) -> ProjectFiles:
        request, store = self._request, Path(self._store.uri)
        if request.project is None:
            return ProjectFiles((), ())
        # The logs were read record by record.
        logs = [request.work_folder / "logs"] if request.work_folder else []
        return search_project(
            request.project,
            self._subject.user_ids,
            sources=request.sources,
            byte_forms=searched,
            without=[*logs, *([store] if store.is_dir() else [])],
        )


@contextmanager
def _alone(store: Store) -> Generator[None]:
    """Hold the lock of publishing and those of all who write tables about users."""
    specs = {version.table: version.spec for version in FeatureRegistry(store).every()}
    locks = {lock.name: lock for lock in (writers_lock(store, spec) for spec in specs.values())}
    sources = writers_lock(store, SourceSpec(feature="interactions", view="rows"))
    with ExitStack() as stack:
        stack.enter_context(FeatureLock(store.objects, PUBLISH_LOCK))
        stack.enter_context(sources)
        for name in sorted(locks):
            stack.enter_context(locks[name])
        yield
