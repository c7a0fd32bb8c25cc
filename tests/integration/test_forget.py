"""A forgotten user is in no release, table or file; nothing else changes."""

import json
from pathlib import Path

import polars as pl
import pytest
from forget_checks import asked, change_a_text, check_equal, check_readable, content, expected
from forget_world import (
    BARTHOLOMEW,
    LIONEL,
    OTHERS,
    POLICY,
    USERS,
    add_lists,
    fill,
    ingest_events,
    leave_traces,
    naming,
)
from store_samples import ENCODER
from typer.testing import CliRunner

from cli.main import app
from featurestore.adapters import Adapter, AdapterOrigin
from featurestore.codes.build import build_codes
from featurestore.codes.generations import SemanticIdOptions
from featurestore.errors import LockHeldError, MissingVersionError, UsageError
from featurestore.features import FeatureRegistry
from featurestore.forget import ForgetReport, ForgetRequest, forget
from featurestore.ingest import IngestRequest, ingest
from featurestore.jobs.lock import FeatureLock
from featurestore.jobs.log import read_records
from featurestore.jobs.receipts import read_receipts, read_segment
from featurestore.jobs.runcard import read_run_card
from featurestore.reader import FeatureStore
from featurestore.release import ReleaseCatalog
from featurestore.releases.promote import rollback
from featurestore.releases.publish import PUBLISH_LOCK, publish
from featurestore.releases.verify import require_sound, verify
from featurestore.splits import every_split
from featurestore.store import Store
from featurestore.stores import connect
from featurestore.stores.memory import MemoryStore


@pytest.fixture(params=["memory", "lance"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else connect(str(tmp_path / "store"))


@pytest.fixture
def memory() -> Store:
    """For what does not depend on files."""
    return MemoryStore()


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "work"


def test_nothing_names_a_forgotten_user(store: Store, work: Path) -> None:
    fill(store, work)
    leave_traces(store, work)
    before = naming(store, work, BARTHOLOMEW)
    kinds = {path.partition("/")[0] for path in before if not path.startswith("/")}
    assert kinds >= {"graphs", "runs", "segments", "snapshots"}
    assert kinds >= {"tables"} or isinstance(store, MemoryStore)
    assert any("logs" in path for path in before), "the log names the user"

    report = forget(store, asked(work=work))

    assert naming(store, work, BARTHOLOMEW, "about bartholomew") == []
    assert (report.logs, report.segments, report.reports) == (1, 1, 1)
    assert report.searched_files > 0
    assert report.answers >= 2, "a rejected answer is among them"
    for table in store.tables():
        for each in store.versions(table):
            rows = pl.DataFrame(store.read(table, version=each.version))
            for column in rows.select(pl.col(pl.String)).columns:
                assert not rows[column].drop_nulls().str.contains(BARTHOLOMEW).any(), (table, column)
    assert "bartholomew" not in json.dumps(report.as_dict())
    logged = [record["id"] for path in (work / "logs").rglob("*.log") for record in read_records(path)]
    assert logged == [OTHERS[0]]
    (receipt,) = read_receipts(store.objects, "lost-run")
    assert [row["id"] for _, row in read_segment(store.objects, receipt)] == [OTHERS[0]]
    assert read_run_card(store, "20260101T000000000-bbbbbb").error == "no row of '[forgotten]'"


@pytest.mark.parametrize("users", [(BARTHOLOMEW,), (BARTHOLOMEW, OTHERS[2])])
def test_releases_are_what_they_were_without_the_user(
    store: Store, work: Path, users: tuple[str, ...]
) -> None:
    fill(store, work)
    change_a_text(store)
    publish(store, gates=POLICY)
    catalog = FeatureStore(store)
    before = {number: content(catalog.release(str(number))) for number in catalog.releases()}
    manifests = {number: catalog.release(str(number)).manifest for number in catalog.releases()}

    report = forget(store, asked(*users))

    assert dict(report.releases) == {1: 4, 2: 5, 3: 6}
    assert catalog.releases() == [4, 5, 6]
    for old, new in report.releases.items():
        release = catalog.release(str(new))
        after = content(release)
        assert after.keys() == before[old].keys()
        for name, rows in after.items():
            check_equal(rows, expected(name, before[old][name], users), name)
        kept = [pin for pin in release.manifest.pins if pin in manifests[old].pins]
        assert {pin.name for pin in kept} >= {"items.rows", "item_ids.rows", "item_plain.text"}
        check_readable(release, users)
        split, was = release.manifest.split, manifests[old].split
        assert split is not None
        assert was is not None
        assert (split.checksum, split.method) == (was.checksum, was.method), "texts carry the split's name"
        assert sum(split.counts.values()) == sum(was.counts.values()) - 5 * len(users)
    require_sound(verify(store))


def test_aliases_move_and_originals_are_superseded(memory: Store, work: Path) -> None:
    fill(memory, work)
    report = forget(memory, asked())
    catalog = FeatureStore(memory)
    assert catalog.aliases() == {"production": 4} == dict(report.aliases)
    with pytest.raises(
        MissingVersionError, match="release 1 is gone, superseded by release 3: a user was"
    ) as caught:
        catalog.release("1")
    assert "Read release 3. Train models again that were fitted on release 1." in caught.value.hint
    manifest = catalog.release().manifest
    assert (manifest.supersedes, manifest.parent) == (2, 3)
    assert rollback(memory).release == 3, "the redacted form of the release before"
    assert report.retrain == ("recommendations toy, of release 1",)


def test_adapters_that_learned_from_the_user_are_listed(memory: Store, work: Path) -> None:
    fill(memory, work)
    learned, other = (tuned_on(memory, release) for release in (1, 77))
    report = forget(memory, asked())
    assert f"adapter {learned[:16]} (chains), of release 1" in report.retrain
    assert not any(other[:16] in line for line in report.retrain)


def test_codebooks_of_users_are_listed(memory: Store, work: Path) -> None:
    fill(memory, work)
    options = SemanticIdOptions(num_levels=1, codebook_size=2)
    made = [
        build_codes(memory, feature=feature, view=view, options=options).spec.codebook
        for feature, view in (("user_cot", "fused"), ("item_reviews", "text"))
    ]
    report = forget(memory, asked())
    for codebook in made:
        assert any(codebook[:16] in line for line in report.retrain), report.retrain


def tuned_on(store: Store, release: int) -> str:
    """Store an adapter that learned from a release; gives its digest."""
    origin = AdapterOrigin(
        job="chains", base=ENCODER, settings={}, seed=0, release=release, texts={}, num_examples=1
    )
    adapter = Adapter({"adapter.safetensors": b"%d" % release}, origin)
    adapter.save(store.objects)
    return adapter.digest


def test_publishing_afterwards_finds_nothing_new(store: Store, work: Path) -> None:
    fill(store, work)
    forget(store, asked())
    again = publish(store, gates=POLICY)
    assert (again.created, again.manifest.number) == (False, 4)
    assert len(every_split(store)) == 1


def test_forgetting_again_finds_nothing(memory: Store, work: Path) -> None:
    fill(memory, work)
    forget(memory, asked())
    manifests = ReleaseCatalog(memory).numbers()
    again = forget(memory, asked())
    assert not again.found_something
    assert ReleaseCatalog(memory).numbers() == manifests
    stranger = forget(memory, asked("nobody-at-all"))
    assert not stranger.found_something


def test_one_user_after_another(store: Store, work: Path) -> None:
    fill(store, work)
    change_a_text(store)
    publish(store, gates=POLICY)
    forget(store, asked(BARTHOLOMEW))
    second = forget(store, asked(OTHERS[1]))
    assert dict(second.releases) == {4: 7, 5: 8, 6: 9}
    assert naming(store, work, BARTHOLOMEW, OTHERS[1]) == []
    for number in (7, 8, 9):
        check_readable(FeatureStore(store).release(str(number)), (BARTHOLOMEW, OTHERS[1]))
    with pytest.raises(MissingVersionError, match="release 2 is gone, superseded by release 8"):
        FeatureStore(store).release("2")
    past = [table for table in store.tables() if table.startswith("past.")]
    assert all(pinned(store, table) for table in past), "what no release pins is dropped"


def pinned(store: Store, table: str) -> bool:
    catalog = ReleaseCatalog(store)
    return any(pin.table == table for number in catalog.numbers() for pin in catalog.manifest(number).pins)


def test_a_user_who_left_the_data_before_is_found_in_old_releases_and_hidden_rows(
    store: Store, work: Path
) -> None:
    fill(store, work)
    ingest_events(store, work / "later", tuple(user for user in USERS if user != BARTHOLOMEW))
    head = FeatureRegistry(store).head("text", "user_cot", "fused")
    store.delete(head.table, [BARTHOLOMEW], key="id")
    report = forget(store, asked())
    assert dict(report.releases) == {1: 3, 2: 4}
    assert naming(store, work, BARTHOLOMEW) == []


def test_releases_that_never_knew_the_user_stay_and_keep_their_place(memory: Store, work: Path) -> None:
    ingest_events(memory, work, USERS[1:])
    publish(memory, gates=POLICY)
    fill(memory, work)
    ingest_events(memory, work / "later", tuple(user for user in USERS if user != BARTHOLOMEW))
    newest = publish(memory, gates=POLICY, features=["item_plain"]).manifest
    number = newest.number
    report = forget(memory, asked())
    assert 1 not in report.releases
    assert ReleaseCatalog(memory).manifest(1).number == 1
    if number not in report.releases:
        assert ReleaseCatalog(memory).newest() == newest, "a redacted one stands where its original stood"


def test_ids_of_one_letter_are_told_from_items_of_the_same_id(tmp_path: Path) -> None:
    store = MemoryStore()
    pl.DataFrame({"item_id": ["1", "2", "3"], "title": ["One", "Two", "Three"]}).write_csv(
        tmp_path / "items.csv"
    )
    rows = [{"user_id": user, "item_id": item} for user in "123" for item in "321"]
    pl.DataFrame(rows).write_csv(tmp_path / "events.csv")
    ingest(store, IngestRequest({"items": tmp_path / "items.csv", "interactions": tmp_path / "events.csv"}))
    publish(store, gates=POLICY)
    report = forget(store, asked("1"))
    assert report.searched_files == 0, "one letter is everywhere"
    release = FeatureStore(store).release()
    assert sorted(release.items()["item_id"]) == ["1", "2", "3"]
    assert sorted(release.id_map("item").ids) == ["1", "2", "3"]
    assert set(release.interactions("train", "valid", "test")["user_id"]) == {"2", "3"}
    assert set(release.interactions("train", "valid", "test")["item_id"]) == {"1", "2", "3"}


@pytest.mark.parametrize("lock", [PUBLISH_LOCK, "source-tables"])
def test_a_running_job_is_not_disturbed(memory: Store, work: Path, lock: str) -> None:
    ingest_events(memory, work)
    publish(memory, gates=POLICY)
    with (
        FeatureLock(memory.objects, lock),
        pytest.raises(LockHeldError, match=f"another job works on {lock}"),
    ):
        forget(memory, asked())
    assert FeatureStore(memory).releases() == [1]
    assert BARTHOLOMEW in FeatureStore(memory).release().id_map("user")


@pytest.mark.parametrize("users", [(), ("",), (BARTHOLOMEW, "")])
def test_nobody_cannot_be_forgotten(users: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="name the users to forget: at least one, and none of them empty"):
        forget(MemoryStore(), ForgetRequest(users))


def test_the_command_says_what_it_did_and_what_is_left_to_do(tmp_path: Path) -> None:
    runner = CliRunner()
    assert runner.invoke(app, ["init", str(tmp_path)]).exit_code == 0
    store = connect(str(tmp_path / "store"))
    ingest_events(store, tmp_path / "data")
    publish(store, gates=POLICY)
    add_lists(store, 1)
    model = tmp_path / "models" / "toy"
    model.mkdir(parents=True)
    (model / "config.json").write_text(json.dumps({"binding": {"release": 1}}))
    done = runner.invoke(app, ["forget", "--user", BARTHOLOMEW, "-u", LIONEL, "-C", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "superseded: erasure\n  release  redacted as\n  1        2\n" in done.output
    assert "alias 'production' now names release 2" in done.output
    assert "models/toy" in done.output
    assert "recommendations toy, of release 1" in done.output
    assert "events.csv" in done.output, "the source still names them"
    assert BARTHOLOMEW not in done.output
    again = runner.invoke(app, ["forget", "--user", BARTHOLOMEW, "-C", str(tmp_path), "--json"])
    assert json.loads(again.stdout)["releases"] == {}
    assert f"user '{BARTHOLOMEW}' is unknown here, or was forgotten before: nothing found\n" in again.stderr


def test_the_command_names_the_user_that_is_unknown(tmp_path: Path) -> None:
    """A forgotten user and a misspelt one look the same: nothing is left that could tell them apart."""
    runner = CliRunner()
    assert runner.invoke(app, ["init", str(tmp_path)]).exit_code == 0
    ingest_events(connect(str(tmp_path / "store")), tmp_path / "data")
    asked_for = ["forget", "-u", "bartholomew", "-u", BARTHOLOMEW, "-C", str(tmp_path), "--json"]
    done = runner.invoke(app, asked_for)
    assert done.exit_code == 0, done.output
    assert done.stderr.startswith("user 'bartholomew' is unknown here, or was forgotten before\n")
    assert (json.loads(done.stdout)["unknown"], json.loads(done.stdout)["num_users"]) == ([0], 2)
    again = runner.invoke(app, asked_for)
    assert again.exit_code == 0, again.output
    for user in ("bartholomew", BARTHOLOMEW):
        assert f"user '{user}' is unknown here, or was forgotten before: nothing found\n" in again.stderr
    assert json.loads(again.stdout)["unknown"] == [0, 1]


def test_the_report_knows_whether_anything_was_found() -> None:
    assert not ForgetReport(num_users=1).found_something
    assert ForgetReport(num_users=1, rows={"source.users": 1}).found_something
