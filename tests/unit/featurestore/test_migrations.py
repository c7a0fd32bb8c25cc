"""Stores of the first version: read as they are, refused to writers, migrated step by step.

The store is a real one: ``tests/fixtures/make_first_store.py`` made it with the first version's own code.
"""

import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from generation_world import run
from typer.testing import CliRunner

from cli.main import app
from featurestore import columns as c
from featurestore.errors import LockHeldError, OldStoreError
from featurestore.features import FeatureRegistry
from featurestore.gates.policy import GatePolicy
from featurestore.jobs.committer import CommitTarget, Committer
from featurestore.jobs.lock import FeatureLock
from featurestore.jobs.runcard import list_runs, read_run_card
from featurestore.migrations import MIGRATIONS, OLDEST_FORMAT, migrate, plan_migration
from featurestore.objects import LocalObjects
from featurestore.reader import open_store
from featurestore.releases.publish import publish
from featurestore.schema import TEXTS
from featurestore.store import Store
from featurestore.store_format import FORMAT, record_format, stored_format
from featurestore.stores import connect
from featurestore.stores.memory import MemoryStore

_ARCHIVE = Path(__file__).parents[2] / "fixtures" / "first_store.tar.xz"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    with tarfile.open(_ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "first_store"


@pytest.fixture
def old(project: Path) -> Store:
    """The store, opened to be migrated."""
    return connect(str(project / "store"), oldest_writable=OLDEST_FORMAT)


def _check_releases(project: Path) -> None:
    """Every release reads as the first version's own reader read it."""
    expected = json.loads((project / "expected.json").read_text())
    opened = open_store(str(project / "store"))
    assert opened.aliases() == expected["aliases"] == {"canary": 2, "production": 1}
    for number, facts in expected["releases"].items():
        release = opened.release(number)
        specs = {f"{pin.spec.kind}.{pin.name}": pin.spec.digest for pin in release.manifest.pins}
        assert specs == facts["specs"]
        assert release.items().sort("item_id").to_dicts() == facts["items"]
        assert release.interactions("train").to_dicts() == facts["train"]
        assert list(release.id_map("item").ids) == facts["item_ids"]
        for name, rows in facts["texts"].items():
            texts = release.texts(*name.split("."), status=None)
            assert texts.columns == TEXTS.names
            assert texts.drop(c.FLAGS, c.FIELD_DIGESTS).to_dicts() == rows
        for name, vectors in facts["vectors"].items():
            embeddings = release.embeddings(*name.split("."))
            assert list(embeddings.ids) == list(vectors)
            np.testing.assert_array_equal(embeddings.matrix, np.array(list(vectors.values()), np.float32))
        for name, (ids, edge_index) in facts["graphs"].items():
            graph = release.graph(*name.split("."))
            assert [list(graph.ids), graph.edge_index().tolist()] == [ids, edge_index]
        for model, rows in facts["lists"].items():
            assert release.recommendations(model).to_dicts() == rows
    assert len(expected["releases"]) == 2
    assert len(expected["releases"]["2"]["texts"]) == 8


def _text_tables(store: Store) -> list[str]:
    return [table for table in store.tables() if table.startswith("text.")]


def test_there_is_a_step_to_every_format():
    assert [step.format for step in MIGRATIONS] == list(range(OLDEST_FORMAT + 1, FORMAT + 1))


def test_releases_of_the_first_version_are_read_as_they_are(project: Path):
    _check_releases(project)
    store = connect(str(project / "store"))
    assert [read_run_card(store, run).status for run in list_runs(store)] == ["finished"] * 4
    assert store.objects.list("format/") == []


def test_the_first_versions_store_is_not_written(project: Path):
    store = connect(str(project / "store"))
    with pytest.raises(OldStoreError, match="has format 1; this version writes format 2"):
        publish(store, gates=GatePolicy())
    with pytest.raises(OldStoreError, match="has format 1"):
        run(store, project / ".featurestore")
    assert len(store.objects.list("releases/")) == 2


def test_a_migration_changes_what_is_written_next_and_no_release(project: Path, old: Store):
    plan = plan_migration(old)
    assert old.objects.list("format/") == []
    assert (plan.found, [step.format for step in plan.steps]) == (1, [2])
    assert sorted(change.table for change in plan.steps[0].changes) == _text_tables(old)
    versions = {table: old.latest(table) for table in old.tables()}
    assert migrate(old) == plan
    store = connect(str(project / "store"))
    assert stored_format(store.objects) == FORMAT
    assert migrate(store).steps == ()
    for table, before in versions.items():
        after = store.latest(table)
        assert before is not None
        assert after is not None
        assert after.num_rows == before.num_rows
        assert (after.version > before.version) == table.startswith("text.")
        if table.startswith("text."):
            rows = store.read(table)
            assert set(rows.column_names) == set(TEXTS.names)
            assert rows[c.FLAGS].null_count == rows[c.FIELD_DIGESTS].null_count == rows.num_rows
            rows = rows.drop_columns([c.FLAGS, c.FIELD_DIGESTS])
            assert rows.equals(store.read(table, version=before.version))
    _check_releases(project)


def test_work_goes_on_after_a_migration(project: Path, old: Store):
    """Rows that a killed run of the first version left in its log arrive; texts are replaced and released."""
    migrate(old)
    store = connect(str(project / "store"))
    head = FeatureRegistry(store).head("text", "item_cot", "fused")
    with FeatureLock(store.objects, head.table) as lock:
        target = CommitTarget(head.spec, TEXTS, lock)
        with Committer(store, [target], folder=project / ".featurestore" / "logs", run_id="r") as committer:
            assert committer.recover() == 1
    (row,) = store.read(head.table, ids=["i7"]).to_pylist()
    assert row[c.STATUS] == c.STATUS_OK
    notes = FeatureRegistry(store).head("text", "notes", "text").table
    (row,) = store.read(notes, ids=["i7"]).to_pylist()
    changed = row | {c.TEXT: "A new text.", c.FLAGS: ["cut:title:2>1"]}
    store.upsert(notes, pa.Table.from_pylist([changed], schema=TEXTS), key=c.ID)
    assert publish(store, gates=GatePolicy(), features=["notes"], alias="next").manifest.number == 3
    opened = open_store(store.uri)
    assert opened.release("next").texts("notes", ids=["i7"])[c.FLAGS].to_list() == [["cut:title:2>1"]]
    assert opened.release("production").texts("notes", ids=["i7"])[c.TEXT].to_list() == ["A note on 7."]


def test_an_interrupted_migration_goes_on(old: Store):
    (step,) = plan_migration(old).steps
    done, *left = step.changes
    old.add_columns(done.table, done.added)
    assert plan_migration(old).steps[0].changes == tuple(left)
    assert migrate(old).steps[0].changes == tuple(left)
    assert migrate(old).steps == ()


def test_a_table_that_a_job_writes_is_left_alone(old: Store):
    tables = _text_tables(old)
    with (
        FeatureLock(old.objects, tables[-1]),
        pytest.raises(LockHeldError, match="another job works on text"),
    ):
        migrate(old)
    assert stored_format(old.objects) == 1
    assert [change.table for change in plan_migration(old).steps[0].changes] == tables[-1:]
    migrate(old)
    assert stored_format(old.objects) == FORMAT


def test_nothing_is_migrated_while_somebody_publishes(old: Store):
    with FeatureLock(old.objects, "publish"), pytest.raises(LockHeldError, match="job works on publish"):
        migrate(old)
    assert len(plan_migration(old).steps[0].changes) == len(_text_tables(old))


def test_an_empty_store_needs_no_migration(tmp_path: Path):
    store = connect(str(tmp_path / "store"), oldest_writable=OLDEST_FORMAT)
    assert migrate(store).found == 0
    assert not (tmp_path / "store").exists()
    assert migrate(MemoryStore()).steps == ()


def test_the_command_shows_migrates_and_then_has_nothing_to_do(project: Path):
    def migrated(*options: str) -> str:
        done = CliRunner().invoke(app, ["migrate", "--project", str(project), *options])
        assert done.exit_code == 0, done.output
        return done.stdout

    shown = migrated("--dry-run")
    assert "gains field_digests, flags" in shown
    assert "the store has format 1 still" in shown
    report = json.loads(migrated("--json"))
    assert (report["found"], report["format"], report["dry_run"]) == (1, 2, False)
    assert len(report["steps"][0]["tables"]) == 8
    assert "the store has format 2 already: there is nothing to do" in migrated()


def test_a_command_says_how_to_go_on_with_an_old_store(project: Path):
    done = CliRunner().invoke(app, ["publish", "--project", str(project)])
    assert isinstance(done.exception, OldStoreError)
    record_format(LocalObjects(project / "store"), 99)
    done = CliRunner().invoke(app, ["ls", "--project", str(project)])
    assert done.exception.exit_code == 15
