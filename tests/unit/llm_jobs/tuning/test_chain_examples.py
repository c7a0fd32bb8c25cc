"""What is learned from: stored answers whose inputs are what they were, instructions, and their mix."""

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from chains_world import INSTRUCTIONS, QUICK, answer_all, fill, write_prompt, writer_entry
from generation_world import put_items

from featurestore.errors import InputError, UnknownNameError, UsageError
from featurestore.stores.memory import MemoryStore
from llm_jobs.tuning.chain_examples import OUTDATED, read_chains
from llm_jobs.tuning.general_set import Instruction, read_instructions
from llm_jobs.tuning.mixture import mix
from llm_jobs.tuning.writer import Writer, load_writer


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore("chains")


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Writer:
    return load_writer(writer_entry(tmp_path_factory.mktemp("writer")), QUICK)


def test_examples_are_what_was_asked_and_what_was_answered(store: MemoryStore, tmp_path: Path) -> None:
    prompt = write_prompt(tmp_path)
    chains = read_chains(store, fill(store, prompt, tmp_path, size=8), prompt, "item_kind")
    assert [each.entity_id for each in chains.examples] == [f"i{n:02d}" for n in range(8)]
    first = chains.examples[0]
    assert [message.role for message in first.messages] == ["system", "user"]
    assert first.messages[0].content == "Say what it is."
    assert first.messages[1].content.startswith("<data>red drum 0</data>\n\nWhat?\n\nAnswer with one JSON")
    assert first.answer == '{"quote": "drum", "kind": "a drum for the house"}'
    assert first.source == "<data>red drum 0</data>"
    assert chains.left_out == {}
    assert chains.event_sets == ()


def test_answers_to_other_inputs_are_left_out(store: MemoryStore, tmp_path: Path) -> None:
    prompt = write_prompt(tmp_path)
    released = fill(store, prompt, tmp_path, size=8)
    put_items(store, {f"i{n:02d}": {"title": "a lamp" if n == 3 else f"red drum {n}"} for n in (0, 3, 4)})
    chains = read_chains(store, released, prompt, "item_kind.text")
    assert [each.entity_id for each in chains.examples] == ["i00", "i04"]
    assert chains.left_out == {OUTDATED: 1}
    put_items(store, {"i03": {"title": "a lamp"}})
    with pytest.raises(InputError, match=r"has no answer to learn from \(outdated 1\)") as caught:
        read_chains(store, released, prompt, "item_kind")
    assert "featurestore generate --prompt item_kind" in caught.value.hint


def test_features_that_no_prompt_of_today_asked_for_are_refused(store: MemoryStore, tmp_path: Path) -> None:
    prompt = write_prompt(tmp_path)
    released = fill(store, prompt, tmp_path, size=8)
    with pytest.raises(UnknownNameError, match="unknown text feature 'item_kinds'"):
        read_chains(store, released, prompt, "item_kinds")
    with pytest.raises(UnknownNameError, match="unknown view"):
        read_chains(store, released, prompt, "item_kind.fused")
    reworded = prompt.model_copy(
        update={"stages": (prompt.stages[0].model_copy(update={"template": "Which?"}),)}
    )
    with pytest.raises(UsageError, match=r"item_kind\.text were asked for by another version of the prompt"):
        read_chains(store, released, reworded, "item_kind")
    assert answer_all(store, reworded, tmp_path).number == 2


def test_instructions_are_read_from_both_forms_of_file(tmp_path: Path) -> None:
    rows = [
        {"instruction": "Add.", "input": "1 and 1", "output": "2", "source": "x"},
        {"instruction": " Greet. ", "input": None, "output": "Hello\u2028there."},
        {"instruction": "Add.", "input": "1 and 1", "output": "2"},
    ]
    lines = tmp_path / "general.jsonl"
    lines.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n\n", "utf-8")
    expected = [Instruction("Add.\n\n1 and 1", "2"), Instruction("Greet.", "Hello\u2028there.")]
    assert read_instructions(lines) == expected
    table = tmp_path / "general.parquet"
    pl.DataFrame(
        [{**row, "source": None} for row in rows], schema_overrides={"source": pl.String}
    ).write_parquet(table)
    assert read_instructions(table) == expected
    assert [message.role for message in expected[0].messages] == ["user"]


def test_broken_rows_are_named_with_what_to_do(tmp_path: Path) -> None:
    broken = [
        "{",
        "[1]",
        '{"output": "a"}',
        '{"instruction": "a", "output": " "}',
        '{"instruction": 1, "output": "a"}',
        "x",
    ]
    file = tmp_path / "general.jsonl"
    file.write_text('{"instruction": "a", "output": "b"}\n' + "\n".join(broken))
    with pytest.raises(InputError, match=r"6 rows of .* are no instructions") as caught:
        read_instructions(file)
    said = str(caught.value)
    assert "line 2: not JSON (Expecting property name" in said
    assert "line 3: list, not an object" in said
    assert "line 4: lacks 'instruction'" in said
    assert "line 5: 'output' is empty" in said
    assert "line 6: 'instruction' is int, not text" in said
    assert "and 1 more" in said
    assert "Mend or remove them" in caught.value.hint
    file.write_text("\n")
    with pytest.raises(InputError, match="holds no instructions"):
        read_instructions(file)
    with pytest.raises(InputError, match=r"ends with '\.csv'"):
        read_instructions(tmp_path / "general.csv")
    with pytest.raises(InputError, match="cannot be read"):
        read_instructions(tmp_path / "absent.jsonl")
    pl.DataFrame({"prompt": ["a"], "output": ["b"]}).write_parquet(tmp_path / "other.parquet")
    with pytest.raises(InputError, match="has no column instruction; it has prompt, output"):
        read_instructions(tmp_path / "other.parquet")


def test_what_is_held_out_depends_on_neither_share_nor_size(
    store: MemoryStore, tmp_path: Path, writer: Writer
) -> None:
    prompt = write_prompt(tmp_path)
    chains = read_chains(store, fill(store, prompt, tmp_path), prompt, "item_kind").examples
    mixed = mix(writer, chains, INSTRUCTIONS, QUICK, seed=1)
    assert (len(mixed.chains), len(mixed.held_chains)) == (18, 6)
    assert (len(mixed.general), len(mixed.held_general)) == (18, 6)
    assert (mixed.num_general_wanted, mixed.general_share) == (18, 0.5)
    scarce = mix(writer, chains, INSTRUCTIONS[:8], QUICK, seed=1)  # a quarter is held out
    assert (len(scarce.general), scarce.num_general_wanted, scarce.general_share) == (6, 18, 0.25)
    third = QUICK.model_copy(update={"general_share": 1 / 3, "max_examples": 10})
    fewer = mix(writer, chains, INSTRUCTIONS, third, seed=1)
    assert (len(fewer.chains), len(fewer.general)) == (10, 5)
    assert fewer.judged_identity == mixed.judged_identity
    assert set(fewer.learned) < set(mixed.learned)
    pure = mix(writer, chains, (), QUICK.model_copy(update={"general_share": 0.0}), seed=1)
    assert (pure.chains, pure.general, pure.held_general) == (mixed.chains, (), ())
    assert (pure.num_general_wanted, pure.general_share) == (0, 0.0)
    assert pure.held_chains == mixed.held_chains
    assert mix(writer, chains, INSTRUCTIONS, QUICK, seed=2).judged_identity != mixed.judged_identity
    held = {example.entity_id for example, _ in mixed.held_chains}
    assert len(held) == 6
    answers = {example.answer: tokens for example, tokens in mixed.held_chains}
    for text, tokens in answers.items():
        assert writer.tokenizer.decode(list(tokens.answer)) == f"{text}<|end|>"


def test_what_is_asked_of_two_entities_alike_is_held_out_of_both_or_none(
    store: MemoryStore, tmp_path: Path, writer: Writer
) -> None:
    """Variants of an item have one text, and so one answer."""
    prompt = write_prompt(tmp_path)
    chains = read_chains(store, fill(store, prompt, tmp_path), prompt, "item_kind").examples
    twins = [
        *chains,
        *(replace(each, entity_id=f"twin of {each.entity_id}") for each in chains),
    ]
    for seed in range(3):
        mixed = mix(writer, twins, INSTRUCTIONS, QUICK, seed=seed)
        held = {example.prompt for _, example in mixed.held_chains}
        assert len(mixed.held_chains) == 12
        assert held.isdisjoint(example.prompt for example in mixed.chains)


def test_a_mixture_without_its_parts_is_refused(store: MemoryStore, tmp_path: Path, writer: Writer) -> None:
    prompt = write_prompt(tmp_path)
    chains = read_chains(store, fill(store, prompt, tmp_path, size=8), prompt, "item_kind").examples
    with pytest.raises(UsageError, match=r"general_share is 0\.5, but there are no general instructions"):
        mix(writer, chains, (), QUICK, seed=1)
    short = QUICK.model_copy(update={"max_tokens": 16})
    with pytest.raises(InputError, match=r"0 chains of at most 16 tokens .* \(8 are longer\)"):
        mix(writer, chains, INSTRUCTIONS, short, seed=1)
    longer = Instruction("Tell a story.", "word " * 400)
    mixed = mix(writer, chains, [*INSTRUCTIONS, longer], QUICK, seed=1)
    assert mixed.num_too_long == 1
