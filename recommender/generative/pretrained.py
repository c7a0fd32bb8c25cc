"""A T5 that others trained: read from a folder or a hub, and made again, empty, of what a saved model keeps.

Another kind of model is refused, and a T5 without some of its weights (sentence-T5 is an encoder alone): it
would begin with random ones, and say otherwise.
"""

from collections import Counter
from collections.abc import Collection
from typing import Any

from featurestore.errors import SetupError, missing_extra
from featurestore.spec import Frozen
from recommender.generative.tokens import TaskWords, words_of


class Pretrained(Frozen):
    """What a saved model keeps of the T5 that it began with, so that nobody needs the T5's folder again.

    Attributes:
        t5: Its ``T5Config``, of the vocabulary that the model has.
        words: Tokens of the tasks' words.
    """

    t5: dict[str, Any]
    words: TaskWords


def read_t5(name: str, dropout: float) -> tuple[Any, TaskWords]:
    """A ``T5ForConditionalGeneration`` with its weights, float32, and the tasks' words in its tokens.

    Args:
        name: A folder, or a hub's name.
        dropout: Of all its layers, in place of the stored one.

    Raises:
        SetupError: If transformers is not installed, or there is no whole T5 and tokenizer.
    """
    transformers = load_transformers()
    try:
        kind = transformers.PreTrainedConfig.get_config_dict(name)[0].get("model_type")
        if kind != "t5":
            raise _unreadable(name, f"config.json says model_type {kind!r}, not 't5'.")
        t5, found = transformers.T5ForConditionalGeneration.from_pretrained(
            name, dropout_rate=dropout, dtype="float32", output_loading_info=True
        )
        _require_whole(name, found["missing_keys"])
        tokenizer = transformers.AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise _unreadable(name, str(error)) from error
    words = words_of(
        lambda text: tokenizer.encode(text, add_special_tokens=False),
        num_tokens=max(len(tokenizer), t5.config.vocab_size),
    )
    return t5, words


def config_of(t5: Any) -> dict[str, Any]:  # noqa: ANN401 - a class of transformers
    """What `empty_t5` makes one like it from: JSON values."""
    return {key: value for key, value in t5.config.to_dict().items() if key != "_name_or_path"}


def empty_t5(config: dict[str, Any]) -> Any:  # noqa: ANN401 - a class of transformers
    """A T5 of a stored configuration, with random weights."""
    transformers = load_transformers()
    return transformers.T5ForConditionalGeneration(transformers.T5Config.from_dict(config))


def load_transformers() -> Any:  # noqa: ANN401 - a module
    """The package.

    Raises:
        SetupError: If it is not installed.
    """
    try:
        import transformers
    except ModuleNotFoundError as error:
        raise missing_extra("transformers", "encode") from error
    return transformers


def _require_whole(name: str, missing: Collection[str]) -> None:
    if missing:
        parts = Counter(key.partition(".")[0] for key in missing)
        named = ", ".join(f"{count} of {part}" for part, count in sorted(parts.items()))
        raise _unreadable(name, f"weights are missing: {named}, such as {min(missing)}.")


def _unreadable(name: str, why: str) -> SetupError:
    return SetupError(
        f"no T5 and tokenizer can be read from {name!r}: {why}",
        hint="Name a folder with config.json, all weights (decoder included) and tokenizer, or a hub's model "
        "such as google-t5/t5-small where one can be reached; weights=none begins with random ones.",
    )
