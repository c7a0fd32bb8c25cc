"""Verification finds every byte that is not what was published, and blames nothing else."""

import shutil
import tarfile
from pathlib import Path

import pytest
from store_samples import add_texts, add_vectors, fill_store

from featurestore.errors import MissingVersionError, ServiceError, StoreDamagedError
from featurestore.gates.policy import GatePolicy
from featurestore.release import ReleaseCatalog
from featurestore.releases.publish import publish
from featurestore.releases.verify import VerifyReport, require_sound, verify
from featurestore.stores import connect
from featurestore.stores.memory import MemoryStore

POLICY = GatePolicy()


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two releases, of which the second has another text of i0, and its vector."""
    root = tmp_path_factory.mktemp("published")
    store = connect(str(root))
    fill_store(store)
    publish(store, gates=POLICY)
    text = add_texts(store, {"i0": "Another text about i0."})
    add_vectors(store, text, ["i0"], seed=1)
    publish(store, gates=POLICY)
    return root


@pytest.fixture
def root(published: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(published, tmp_path / "store"))


def check(root: Path, *names: str) -> VerifyReport:
    return verify(connect(str(root)), names)


def flip(path: Path, place: float = 0.5) -> None:
    """Change one byte of a file, as a failing disk does."""
    data = bytearray(path.read_bytes())
    data[int(len(data) * place)] ^= 0x10
    path.chmod(0o644)
    path.write_bytes(data)


def test_a_sound_store_is_sound(root):
    told: list[tuple[int, int]] = []
    report = verify(connect(str(root)), progress=lambda *step: told.append(step[:2]))
    assert report.damages == ()
    assert report.releases == (1, 2)
    require_sound(report)
    pins = [pin for number in (1, 2) for pin in ReleaseCatalog(connect(str(root))).manifest(number).pins]
    assert report.num_tables == len({(pin.table, pin.version) for pin in pins}) < len(pins)
    assert report.num_objects == len({pin.snapshot for pin in pins if pin.snapshot}) == 3
    assert told[-1] == (len(pins), len(pins))
    assert report.num_rows < sum(pin.num_rows for pin in pins), "what releases share is read once"


def test_one_release_is_verified_by_number_or_alias(root):
    assert check(root, "production").releases == (2,)
    assert check(root, "1", "production").releases == (1, 2)
    with pytest.raises(MissingVersionError, match="no release or alias 'canary'"):
        check(root, "canary")


def test_verification_works_in_memory():
    store = MemoryStore()
    fill_store(store)
    publish(store, gates=POLICY)
    assert verify(store).damages == ()


def test_a_changed_number_of_a_vector_is_found(root):
    (data,) = (root / "tables").glob("vector.user_cot.fused.*/data/*.lance")
    vector = connect(str(root)).read(data.parent.parent.stem)["vector"][2].values.to_numpy()
    flip(data, data.read_bytes().index(vector.tobytes()) / data.stat().st_size)
    report = check(root)
    assert {damage.what.partition(" version ")[0] for damage in report.damages} == {data.parent.parent.stem}
    assert {damage.release for damage in report.damages} == {1}
    with pytest.raises(StoreDamagedError, match=r"release 1, vector\.user_cot\.fused\.") as caught:
        require_sound(report)
    assert caught.value.exit_code == 14
    assert "Restore the files from a copy" in caught.value.hint


def test_every_byte_of_a_text_table_counts_or_is_padding(root):
    """No change of a byte gives other rows without being found."""
    (data,) = (root / "tables").glob("text.user_cot.forward.*/data/*.lance")
    sound = data.read_bytes()
    table = data.parent.parent.stem
    store = connect(str(root))
    rows = store.read(table)
    found = 0
    for place in range(0, len(sound), max(1, len(sound) // 30)):
        flip(data, place / len(sound))
        damaged = check(root, "2").damages
        found += bool(damaged)
        if not damaged:
            assert connect(str(root)).read(table).equals(rows)
        data.write_bytes(sound)
    assert found > 5


def test_missing_files_are_found(root):
    (data,) = (root / "tables").glob("text.user_cot.fused.*/data/*.lance")
    data.unlink()
    (damage,) = check(root, "2").damages
    assert damage.what.startswith("text.user_cot.fused.")
    assert data.stem in damage.found


def test_a_lost_deletion_is_found(root):
    """Rows that were deleted come back when Lance's list of deletions is lost or changed."""
    (deletions,) = (root / "tables").glob("text.item_text.*/_deletions/*")
    flip(deletions, 0.5)
    assert {damage.release for damage in check(root).damages} <= {2}
    deletions.unlink()
    assert [damage.release for damage in check(root).damages] == [2]
    assert check(root, "1").damages == ()


@pytest.mark.parametrize("name", ["vectors.npy", "ids.arrow"])
def test_a_damaged_snapshot_is_found(root, name):
    for number in (1, 2):
        manifest = ReleaseCatalog(connect(str(root))).manifest(number)
        (prefix,) = (pin.snapshot for pin in manifest.pins if pin.snapshot and pin.name == "item_text.text")
        path = root / prefix / name
        sound = path.read_bytes()
        flip(path, 0.97 if name == "vectors.npy" else 0.4)
        assert [(d.release, d.what) for d in check(root).damages] == [(number, prefix)]
        path.unlink()
        assert [(d.release, d.what) for d in check(root).damages] == [(number, prefix)]
        path.write_bytes(sound)
    assert check(root).damages == ()


def test_a_damaged_manifest_does_not_hide_the_rest(root):
    flip(root / "releases/000002.json", 0)
    (damage,) = check(root).damages
    assert (damage.release, damage.what) == (2, "manifest")
    assert "'releases/000002.json' is not one that product version" in damage.found


def test_a_manifest_that_says_something_else_is_found(root):
    path = root / "releases/000001.json"
    path.write_text(path.read_text().replace('"num_failed":1', '"num_failed":0'))
    (damage,) = check(root, "1").damages
    assert (damage.what, damage.found) == ("manifest", "it is not the one that was published")


def test_a_changed_sum_in_a_manifest_is_found(root):
    path = root / "releases/000001.json"
    pin = ReleaseCatalog(connect(str(root))).manifest(1).pins[0]
    path.write_text(path.read_text().replace(f'"checksum":"{pin.checksum}"', f'"checksum":"{"0" * 32}"'))
    table = f"{pin.table} version {pin.version}"
    assert [(damage.what, damage.found) for damage in check(root, "1").damages] == [
        ("manifest", "it is not the one that was published"),
        (table, f"fragment {pin.fragments[0].name}: its rows are not those that were published"),
    ]


def test_an_alias_that_names_nothing_is_found(root):
    (root / "aliases/canary").mkdir()
    (root / "aliases/canary/000001.json").write_text('{"release": 9, "created_at": "now"}')
    (damage,) = check(root).damages
    assert (damage.release, damage.what) == (None, "alias 'canary'")
    assert damage.found == "it names release 9, which does not exist"
    (root / "aliases/canary/000001.json").write_text("{")
    (damage,) = check(root).damages
    assert "the move of an alias 'aliases/canary/000001.json' is damaged" in damage.found


def test_a_damaged_move_behind_the_current_one_is_found(root):
    """It counts for a rollback, and for what garbage collection keeps; the alias itself is sound."""
    flip(root / "aliases/production/000001.json", 0)
    (damage,) = check(root).damages
    assert (damage.release, damage.what) == (None, "alias 'production'")
    assert "the move of an alias 'aliases/production/000001.json' is damaged" in damage.found
    assert "Restore the file from a copy, or delete it: an alias names what its last" in damage.found
    assert check(root, "production").damages == ()
    (root / "aliases/production/000001.json").unlink()
    assert check(root).damages == ()
    assert ReleaseCatalog(connect(str(root))).aliases() == {"production": 2}


def test_every_damaged_move_is_found_whatever_the_alias(root):
    (root / "aliases/canary").mkdir()
    for name in ("canary/000001", "canary/000002", "production/000001"):
        (root / f"aliases/{name}.json").write_text("{")
    (root / "aliases/canary/000003.json").write_text('{"release": 9, "created_at": "now"}')
    assert [
        (damage.what, damage.found.partition(" '")[2].partition("'")[0] or damage.found)
        for damage in check(root).damages
    ] == [
        ("alias 'canary'", "aliases/canary/000001.json"),
        ("alias 'canary'", "aliases/canary/000002.json"),
        ("alias 'canary'", "it names release 9, which does not exist"),
        ("alias 'production'", "aliases/production/000001.json"),
    ]


def test_releases_of_the_first_version_are_verified(project_root, tmp_path):
    """Their manifests hold one checksum per table."""
    with tarfile.open(project_root / "tests/fixtures/first_store.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    root = tmp_path / "first_store" / "store"
    report = check(root)
    assert (report.releases, report.damages) == ((1, 2), ())
    (matrix, *_) = sorted(root.glob("snapshots/*/vectors.npy"))
    flip(matrix, 0.99)
    (data, *_) = sorted(root.glob("tables/text.*/data/*.lance"))
    data.unlink()
    damaged = {damage.what.partition(" version ")[0] for damage in check(root).damages}
    assert damaged == {f"snapshots/{matrix.parent.name}", data.parent.parent.stem}


def test_a_service_that_does_not_answer_is_no_damage(monkeypatch):
    store = MemoryStore()
    fill_store(store)
    publish(store, gates=POLICY)

    def read_fragment(table, name, *, version):
        raise ServiceError(f"S3 does not answer for table {table!r}.")

    monkeypatch.setattr(store, "read_fragment", read_fragment)
    with pytest.raises(ServiceError, match=r"S3 does not answer for table 'source\.interactions'"):
        verify(store)
