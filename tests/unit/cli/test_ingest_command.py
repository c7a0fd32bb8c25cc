"""``featurestore init``, ``ingest`` and ``import`` as people run them: output, messages and exit codes."""

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from cli.main import run

Outcome = tuple[int, str, str]
ITEMS = "item_id,name,plot\na,Tea pot,A pot of clay for two cups\nb,Mug,\n,No id,x\na,Again,y\n"
EVENTS = "user_id,item_id,when,split\nu,a,2024-01-01,train\nu,b,2024-01-02,test\nv,b,soon,train\nv,a,,train\n"


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    def run_command(*words: str | Path) -> Outcome:
        capsys.readouterr()
        code = run([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_command


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    assert run(["init", str(folder)]) == 0
    (folder / "items.csv").write_text(ITEMS, encoding="utf-8")
    (folder / "events.csv").write_text(EVENTS, encoding="utf-8")
    config = folder / "featurestore.toml"
    text = config.read_text(encoding="utf-8")
    text = text.replace('# items = "items.parquet"', 'items = "items.csv"')
    text = text.replace('# interactions = "interactions.parquet"', 'interactions = "events.csv"')
    text = text.replace('# description = "plot"', 'description = "plot"\ntitle = "name"')
    text = text.replace('# timestamp = "time"', 'timestamp = "when"')
    config.write_text(text.replace('method = "leave_one_out"', 'method = "official"'), encoding="utf-8")
    return folder


def test_init_writes_a_project_and_overwrites_none(command: Callable[..., Outcome], tmp_path: Path) -> None:
    code, out, _ = command("init", tmp_path / "new")
    assert code == 0
    assert "wrote" in out
    assert "run `featurestore ingest`" in out
    assert (tmp_path / "new" / "prompts").is_dir()
    code, _, err = command("init", tmp_path / "new")
    assert code == 2
    assert "exists already and is not overwritten" in err


def test_ingest_reads_what_the_project_names(command: Callable[..., Outcome], project: Path) -> None:
    code, out, _ = command("ingest", "-C", project)
    assert code == 0
    assert "items.csv   items         4     2     2" in out
    assert "items.csv   empty_id       1" in out
    assert "items.csv   duplicate_id   1" in out
    assert "events.csv  bad_timestamp  1" in out
    assert "(official): train 2, valid 0, test 1" in out
    assert "item.description  50.0%" in out
    assert "item_cot over all items would take about" in out
    code, out, _ = command("ingest", "-C", project)
    assert "no new version" in out


def test_json_is_one_object(command: Callable[..., Outcome], project: Path) -> None:
    code, out, _ = command("ingest", "-C", project, "--json")
    report = json.loads(out)
    assert code == 0
    assert report["files"][0]["quarantined"] == {"duplicate_id": 1, "empty_id": 1}
    assert report["split"]["method"] == "official"
    assert report["suitability"]["num_items"] == 2
    assert "source.items" in report["changed_tables"]


def test_options_come_before_the_project(
    command: Callable[..., Outcome], project: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text('{"item_id": "a", "label": "Pan"}\n{"item_id": "b", "label": "Pot"}\n', encoding="utf-8")
    words = ("--items", other, "--map", "items.title=label", "--map", "items.description=label")
    code, out, err = command("ingest", "-C", project, *words, "--split", "none", "--json")
    assert code == 0, err
    report = json.loads(out)
    assert report["split"]["method"] == "none"
    assert report["files"][0]["file"] == "other.jsonl"


def test_pauses_cut_sessions_by_option_and_by_project(
    command: Callable[..., Outcome], project: Path, tmp_path: Path
) -> None:
    clicks = tmp_path / "clicks.csv"
    rows = [
        f"{user},{item},{time}"
        for user in "pq"
        for item, time in (("a", 0), ("b", 10), ("a", 900), ("b", 905))
    ]
    clicks.write_text("\n".join(["user_id,item_id,when", *rows]) + "\n", encoding="utf-8")
    config = (project / "featurestore.toml").read_text(encoding="utf-8")
    for found, loose in (
        ("gap_seconds = 1800", "gap_seconds = 60"),
        ("item = 5", "item = 1"),
        ("shortest = 3", "shortest = 2"),
    ):
        assert config.count(found) == 1
        config = config.replace(found, loose)
    (project / "featurestore.toml").write_text(config, encoding="utf-8")
    words = ("ingest", "-C", project, "--interactions", clicks, "--split", "leave_one_out", "--json")
    counts = {}
    for name, options in {
        "none": (),
        "gap": ("--sessions", "gap"),
        "long gap": ("--sessions", "gap", "--gap-seconds", "3600"),
    }.items():
        code, out, err = command(*words, *options)
        assert code == 0, err
        counts[name] = json.loads(out)["suitability"]["num_users"]
    assert counts == {"none": 2, "gap": 4, "long gap": 2}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--items", "nowhere.csv"], 3, "there is no file nowhere.csv"),
        (["--format", "amazon"], 2, "unknown source format 'amazon'. Did you mean 'amazon-2023'? Known:"),
        (
            ["--map", "items.title=nam"],
            3,
            "items.csv has no column 'nam'. Nearest: 'name'. Found: item_id, name, plot",
        ),
        (["--gap-seconds", "60"], 2, "--gap-seconds ends sessions by a pause, and sessions are 'none' here"),
        (["--map", "title=name"], 2, "--map is FILE.OURS=THEIRS, got 'title=name'"),
        (["--map", "items.titel=name"], 2, "unknown column of items 'titel'. Did you mean 'title'?"),
        (["--split", "loo"], 2, "ingest.split.method: input should be 'leave_one_out', 'official'"),
        (["--sessions", "hour"], 2, "ingest.sessions.by: input should be 'none', 'user' or 'gap'"),
        (
            ["--gap-seconds", "-1"],
            2,
            "ingest.sessions.gap_seconds: input should be greater than or equal to 0",
        ),
        (["--test-share", "2"], 2, "ingest.split.test_share: input should be less than 1"),
        (
            ["--split", "temporal", "--map", "interactions.timestamp=item_id"],
            3,
            "none of the 4 rows of events.csv",
        ),
    ],
)
def test_what_ingest_refuses(
    command: Callable[..., Outcome], project: Path, words: list[str], code: int, message: str
) -> None:
    found, _, err = command("ingest", "-C", project, *words)
    assert (found, message in err) == (code, True), err
    assert not (project / "store").exists()


def test_a_file_of_the_wrong_encoding_or_empty(command: Callable[..., Outcome], project: Path) -> None:
    (project / "items.csv").write_bytes("item_id,name,plot\na,Käse,x\n".encode("latin-1"))
    code, _, err = command("ingest", "-C", project)
    assert code == 3
    assert "items.csv is not UTF-8: line 2 holds the byte 0xe4." in err
    assert "iconv -f latin1 -t utf8" in err
    (project / "items.csv").write_bytes(b"")
    code, _, err = command("ingest", "-C", project)
    assert code == 3
    assert "items.csv is empty (0 bytes)" in err


def test_nothing_to_ingest_and_no_project(command: Callable[..., Outcome], tmp_path: Path) -> None:
    code, _, err = command("ingest", "-C", tmp_path)
    assert code == 2
    assert "Create a project with `featurestore init`" in err
    command("init", tmp_path)
    code, _, err = command("ingest", "-C", tmp_path)
    assert code == 2
    assert "neither an items nor an interactions file was given" in err


def test_import_reports_what_it_left_out(
    command: Callable[..., Outcome], project: Path, tmp_path: Path
) -> None:
    command("ingest", "-C", project)
    table = tmp_path / "texts.parquet"
    pl.DataFrame({"id": ["a", "zz", "u"], "text": ["A", "Z", "U"]}).write_parquet(table)
    words = ("import", "-C", project, "--table", table, "--key", "id", "--producer", "hand", "--text", "text")
    code, out, _ = command(*words, "--feature", "notes")
    assert code == 0
    assert "text feature 'notes': 1 of 3 rows, 50.0% of the store's items." in out
    assert "unknown_id  2     zz, u" in out
    code, out, _ = command(*words, "--feature", "notes", "--json")
    assert json.loads(out)["is_new"] is False
    code, _, err = command(*words, "--feature", "tastes", "--entity", "user")
    assert code == 2
    assert "a feature of users needs --events" in err
    code, _, err = command(
        *words, "--feature", "tastes", "--entity", "user", "--events", "0123456789abcdef:train"
    )
    assert code == 8
    assert "--events names the split '0123456789abcdef'" in err
    code, out, _ = command(*words, "--feature", "tastes", "--entity", "user", "--events", "current:train")
    assert code == 0
    code, _, err = command(*words, "--feature", "tastes", "--entity", "users")
    assert code == 2
    assert "unknown entity 'users'. Did you mean 'user'?" in err
