"""How the models of docs/results/sequential.md were trained: from the declared runs and the models' files."""

from collections.abc import Iterator, Mapping
from typing import Final

from featurestore.spec import Frozen
from recommender.registry import find_model, parse_settings
from scripts.study.core import AMAZON
from scripts.study.isrf import MODEL as ISRF
from scripts.study.isrf import TASKS
from scripts.study.runs import Run
from scripts.study.sequential import CONTROLS, MODELS, minimum
from scripts.study.tables import table

_HEAD: Final = """## Settings

Models were not tuned alike. What was searched for, was on Beauty's validation part (weights and fusion of
ISRF: on colakg-lastfm's), and is used on Toys as it is. A value that is not that of the model's file has the
file's beside it. Rows of *the paper's loss* have the same settings.
"""
_SEARCHED: Final[Mapping[str, str]] = {
    "sasrec": "temperature, dropout",
    "fdsa": "as `sasrec`",
    ISRF: "tried: " + ", ".join(f"`{name}`" for name in TASKS["sequential"] if name != "task"),
}
"""What a model's own file, or a study's, says of it; nothing of the others."""


def settings_table() -> Iterator[str]:
    """A line for each model that is trained."""
    yield _HEAD
    order = ("sasrec", ISRF, *(model for model, _ in MODELS))
    runs = {run.model: run for run in minimum() if run.dataset == AMAZON[0] and run.model not in CONTROLS}
    columns = ["temperature", "dropout", "reg", "learning rate", "epochs at most", "ends after"]
    yield from table(["model", "searched for", *columns], [_row(runs[model]) for model in order])


def _row(run: Run) -> list[str]:
    config_type = find_model(run.model).config_type
    ours, file = (_shown(parse_settings(config_type, given)) for given in (run.settings, {}))
    cells = [
        ours[name] if ours[name] == file[name] else f"{ours[name]} (file: {file[name]})" for name in ours
    ]
    return [f"`{run.model}`", _SEARCHED.get(run.model, "nothing"), *cells]


def _shown(config: Frozen) -> dict[str, str]:
    """Setting → its value; ISRF has a temperature of its contrast besides that of its softmax."""
    values = config.model_dump()
    temperature = values.get("softmax_temperature", values["temperature"])
    return {
        "temperature": "none" if temperature is None else f"{temperature:g}",
        **{name: f"{values[name]:g}" for name in ("dropout", "reg", "learning_rate", "epochs")},
        "ends after": f"{values['eval_every'] * values['patience']}",
    }
