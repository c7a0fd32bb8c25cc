"""``featurestore.toml``: what it accepts, and what it says about what it does not."""

from pathlib import Path

import pytest

from cli.config import ProjectConfig, load_config, parse_config
from cli.project import open_project
from cli.scaffold import CONFIG_TEMPLATE, create_project
from featurestore.errors import ConfigError, UsageError


def test_the_template_holds_the_defaults(tmp_path: Path) -> None:
    create_project(tmp_path)
    assert open_project(tmp_path).config == ProjectConfig()


def test_the_template_explains_every_key() -> None:
    lines = [line.removeprefix("# ") for line in CONFIG_TEMPLATE.splitlines()]
    shown = {line.partition(" = ")[0] for line in lines if " = " in line}
    config = ProjectConfig()
    for section in (
        config.store,
        config.generate,
        config.engine,
        config.encode,
        config.graph,
        config.gates,
        config.ingest.split,
    ):
        assert set(type(section).model_fields) <= shown


def test_unknown_keys_are_refused_with_the_nearest_and_the_known_ones() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(
            {"ingest": {"split": {"metod": "ratio"}}, "gates": {"min_cover": 1}, "stor": {}}, origin="f.toml"
        )
    text = str(caught.value)
    assert text.startswith("f.toml: ")
    assert "unknown key 'ingest.split.metod', did you mean 'method'?" in text
    assert "unknown key 'gates.min_cover', did you mean 'min_coverage'?" in text
    assert "unknown key 'stor', did you mean 'store'? known: encode, encoders, engine, gates," in text


def test_wrong_values_name_their_key() -> None:
    with pytest.raises(
        ConfigError, match=r"generate.max_attempts: input should be greater than or equal to 1"
    ):
        parse_config({"generate": {"max_attempts": 0}}, origin="f.toml")
    with pytest.raises(ConfigError, match=r"ingest.split.method: input should be 'leave_one_out'"):
        parse_config({"ingest": {"split": {"method": "loo"}}}, origin="f.toml")
    with pytest.raises(ConfigError, match=r"store.uri: string should have at least 1 character"):
        parse_config({"store": {"uri": ""}}, origin="f.toml")


def test_own_models_pass_through() -> None:
    config = parse_config({"models": {"mine": {"folder": "weights"}}}, origin="f.toml")
    assert config.models == {"mine": {"folder": "weights"}}


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"a = = 1", "is no valid TOML: "), (b"a = '\xe4'", "is not UTF-8: byte 5 cannot be read")],
)
def test_unreadable_files_say_why(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "featurestore.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load_config(tmp_path / "featurestore.toml")


def test_a_folder_without_a_project_points_to_init(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"there is no .*featurestore.toml.\n  Create a project with `featurestore init`"
    ):
        open_project(tmp_path)


def test_a_relative_store_lies_in_the_project(tmp_path: Path) -> None:
    create_project(tmp_path)
    project = open_project(tmp_path)
    assert project.store_uri == str(tmp_path / "store")
    assert project.work_folder == tmp_path / ".featurestore"
    assert project.store.tables() == []
    assert not (tmp_path / "store").exists()


def test_other_stores_keep_their_address(tmp_path: Path) -> None:
    (tmp_path / "featurestore.toml").write_text('[store]\nuri = "s3://bucket/shop"\n', encoding="utf-8")
    assert open_project(tmp_path).store_uri == "s3://bucket/shop"


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("mine\n", encoding="utf-8")
    written = create_project(tmp_path)
    assert tmp_path / ".gitignore" not in written
    assert (tmp_path / ".gitignore").read_text(encoding="utf-8") == "mine\n"
    with pytest.raises(UsageError, match="exists already and is not overwritten"):
        create_project(tmp_path)
