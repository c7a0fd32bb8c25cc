"""Places of vectors among tokens, for tokenizers that join, split and prefix words in different ways."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_decoder import write_tiny_decoder
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from tuning_world import write_tiny_encoder

from featurestore.errors import InputError
from llm_jobs.encoders import encoder_spec
from llm_jobs.tuning.hybrid_input import Graph, HybridTokens, Node, Title, load_hybrid_tokens
from llm_jobs.tuning.llmgr_prompts import alignment_prompt, behaviour_prompt, title_prompt


def read(folder: Path | str):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(folder))


def _bytes(folder, *, frames: bool):
    return read(write_tiny_decoder(folder, frames=frames))


def _pieces(_folder):
    """Like SentencePiece: a space before every text, and merges across words' borders."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always", split=False)
    text = "Candidates: , . Title: Which node is it? Session graph: Nodes in click order: Recommend the next"
    letters = sorted({*text, "▁", '"', *"abcdefghijklmnopqrstuvwxyz<>|_012NODE"})
    tokenizer.train_from_iterator(
        [text] * 20,
        trainers.BpeTrainer(vocab_size=200, initial_alphabet=letters, special_tokens=["<unk>", "</s>"]),
    )
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="</s>")


def _words(folder):
    return read(write_tiny_encoder(folder))


TOKENIZERS: dict[str, Callable] = {
    "bytes": lambda folder: _bytes(folder, frames=False),
    "bytes that begin": lambda folder: _bytes(folder, frames=True),
    "pieces": _pieces,
    "words": _words,
}


@pytest.fixture(params=TOKENIZERS)
def tokenizer(request, tmp_path):
    return TOKENIZERS[request.param](tmp_path)


def hybrid(tokenizer, max_tokens: int = 200) -> HybridTokens:
    end = tokenizer.get_vocab().get("<|pool|>", len(tokenizer) - 1)
    return HybridTokens(tokenizer, [0], end, max_tokens)


def letters(text: str) -> str:
    return "".join(text.lower().split())


PROMPTS = {
    "alignment": (
        alignment_prompt([7, 3, 3, 0], "red drum"),
        'Candidates: □, □, □, □. Title: "red drum". Which node is it?',
    ),
    "title": (title_prompt("drum, <NODE_1>"), 'Title: "drum, <NODE_1>". Which node is it?'),
    "behaviour": (
        behaviour_prompt([5, 2, 5], 4),
        "Session graph: □. Nodes in click order: □, □, □. Recommend the next item.",
    ),
    "without a graph": (behaviour_prompt([5], None), "Nodes in click order: □. Recommend the next item."),
}


@pytest.mark.parametrize("name", PROMPTS)
def test_every_place_stands_where_the_prompt_has_it(tokenizer, name):
    parts, text = PROMPTS[name]
    found = hybrid(tokenizer).input(parts)
    assert [what for _, what in found.places] == [p for p in parts if isinstance(p, Node | Graph)]
    shown, last = [], 1  # after the token that begins it
    for place, _ in found.places:
        shown += [tokenizer.decode(found.token_ids[last:place]), "□"]
        last = place + 1
    shown.append(tokenizer.decode(found.token_ids[last:-1]))
    assert letters("".join(shown)) == letters(text)
    assert found.token_ids[0] == 0
    assert len(found) == len(found.token_ids)


def test_titles_are_cut_where_there_is_no_room_and_the_question_stays(tokenizer):
    whole = hybrid(tokenizer).input(alignment_prompt([1, 2], "a red drum"))
    num_title = len(tokenizer("a red drum", add_special_tokens=False)["input_ids"])
    cut = hybrid(tokenizer, len(whole) - 2).input(alignment_prompt([1, 2], "a red drum"))
    assert len(cut) == len(whole) - 2
    assert cut.places == whole.places
    assert cut.token_ids[-8:] == whole.token_ids[-8:]
    least = len(whole) - num_title
    with pytest.raises(InputError, match=f"a prompt takes {least} tokens without any title; {least - 1} are"):
        hybrid(tokenizer, least - 1).input(alignment_prompt([1, 2], "a red drum"))


def test_special_tokens_in_a_title_are_words(tmp_path):
    tokenizer = _bytes(tmp_path, frames=True)
    pool = tokenizer.convert_tokens_to_ids("<|pool|>")
    found = hybrid(tokenizer).input([Title("a <|pool|> b"), Node(1)])
    assert found.token_ids.count(pool) == 2  # at the node's place, and at the end
    assert tokenizer.decode(found.token_ids[1 : found.places[0][0]]) == "a <|pool|> b"


def test_a_folder_gives_the_tokens_that_begin_and_end_an_input(decoder):
    spec = encoder_spec(decoder, repo="tests/tiny-decoder", revision=None)
    tokens = load_hybrid_tokens(Path(decoder.folder), spec)
    found = tokens.input(["a", Node(2)])
    tokenizer = read(decoder.folder)
    ids = tokenizer.convert_tokens_to_ids(["<|begin|>", "a", "<|pool|>", "<|pool|>"])
    assert list(found.token_ids) == ids
    assert found.places == ((2, Node(2)),)
