"""Which file a prompt's name stands for."""

from pathlib import Path

import pytest

from featurestore.errors import ConfigError, UnknownNameError, UsageError
from llm_jobs.catalog import copy_prompt, find_prompt, list_prompts

PACKAGED = ["item_cot", "item_semantic_id", "user_cot"]


def test_packaged_prompts_are_all_found(tmp_path: Path) -> None:
    assert [(prompt.name, origin) for prompt, origin in list_prompts(tmp_path)] == [
        (name, "package") for name in PACKAGED
    ]
    assert [prompt.name for prompt, _ in list_prompts(None)] == PACKAGED


def test_a_projects_own_prompt_comes_first(tmp_path: Path) -> None:
    path = copy_prompt("item_cot", "item_cot", tmp_path)
    path.write_text(path.read_text(encoding="utf-8").replace("Weigh both", "Weigh the two"), encoding="utf-8")
    assert "Weigh the two" in find_prompt("item_cot", tmp_path).stages[-1].template
    assert "Weigh both" in find_prompt("item_cot", None).stages[-1].template
    assert {prompt.name: origin for prompt, origin in list_prompts(tmp_path)} == {
        "item_cot": "project",
        "item_semantic_id": "package",
        "user_cot": "package",
    }


def test_a_copy_under_a_new_name_is_the_same_prompt(tmp_path: Path) -> None:
    path = copy_prompt("my_items", "item_cot", tmp_path)
    assert path == tmp_path / "prompts" / "my_items.toml"
    assert find_prompt("my_items", tmp_path).digest == find_prompt("item_cot", None).digest


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    path = copy_prompt("mine", "item_cot", tmp_path)
    path.write_text("my work", encoding="utf-8")
    with pytest.raises(UsageError, match=r"mine.toml exists already; it was left as it is"):
        copy_prompt("mine", "user_cot", tmp_path)
    assert path.read_text(encoding="utf-8") == "my work"


@pytest.mark.parametrize("name", ["../evil", "a b", "", "9x", "a/b", "é"])
def test_names_that_are_no_file_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be a prompt's name"):
        copy_prompt(name, "item_cot", tmp_path)


def test_an_unknown_prompt_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError) as caught:
        find_prompt("item_cto", tmp_path)
    said = str(caught.value)
    assert "unknown prompt 'item_cto'. Did you mean 'item_cot'?" in said
    assert "Known: item_cot, item_semantic_id, user_cot." in said
    assert "featurestore prompts new NAME --from item_cot" in said


def test_a_broken_file_of_the_project_is_named(tmp_path: Path) -> None:
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "item_cot.toml").write_text("entity = 'item'", encoding="utf-8")
    with pytest.raises(
        ConfigError, match=r"item_cot.toml is no usable prompt:\n  - description: Field required"
    ):
        find_prompt("item_cot", tmp_path)
