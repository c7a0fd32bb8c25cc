"""The whole path on a small shop: rows in, texts by a real small language model, recommendations out.

``make demo`` runs it. It makes ``demo-project/`` and calls the same ``featurestore`` commands that you would,
printing each with a sentence on what it does. Commands skip what is done, so a second run is short; remove
the folder (``make clean``) to start over.
"""

import os
import shlex
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sample import write_sample

PROJECT = Path(__file__).resolve().parents[2] / "demo-project"
COMMAND = Path(sys.executable).with_name("featurestore")
MODELS = {
    "models/plain": [],
    "models/semantic": ["--features", "item_cot", "--fallback", "item_text"],
    "models/random": ["--features", "item_cot", "--fallback", "item_text", "--features-control", "random"],
}
NUM_SEEDS = 3
TRAINING = ["--set", "reg=0.01", "--seeds", str(NUM_SEEDS)]
"""The same for all three; the weight of the penalty was chosen on the validation part."""
USERS = ("U0001", "U0002", "U0003")


@dataclass
class Demo:
    """Runs commands in the project, and remembers how long each took."""

    started: float = field(default_factory=time.monotonic)
    steps: list[tuple[str, float]] = field(default_factory=list[tuple[str, float]])

    def step(self, title: str, why: str, *commands: Sequence[str]) -> None:
        """Say what comes, then run the commands, showing what they print."""
        self._announce(title, why)
        begun = time.monotonic()
        for words in commands:
            print(f"\n$ featurestore {shlex.join(words)}", flush=True)
            code = _call(words)
            if code != 0:
                sys.exit(_failed(words, code))
        self.steps.append((title, time.monotonic() - begun))

    def _announce(self, title: str, why: str) -> None:
        number = len(self.steps) + 1
        print(f"\n{'=' * 100}\n{number:2}. {title}   [{_clock(time.monotonic() - self.started)}]")
        print(textwrap.indent(textwrap.fill(why, 96), "    "), flush=True)


def main() -> None:
    """Run every step, then show what came of it."""
    demo = Demo()
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sample = write_sample(PROJECT / "data")
    print(
        f"The demo's shop: {len(sample.items)} items in 8 categories, {len(sample.users)} users, "
        f"{len(sample.interactions)} purchases.\n"
        "Its generator, examples/demo/sample.py, says how taste, text and purchases hang together."
    )
    _prepare(demo)
    _write_and_encode(demo)
    _recommend(demo)
    _summary(demo)


def _prepare(demo: Demo) -> None:
    if not (PROJECT / "featurestore.toml").exists():
        demo.step(
            "Start a project",
            "Writes featurestore.toml, where every option has its place.",
            ["init"],
        )
    files = ["--items", "data/items.jsonl", "--users", "data/users.csv"]
    demo.step(
        "Ingest",
        "Reads the rows, puts bad ones aside with a reason, keeps each user's last purchase for the test and "
        "the one before for validation, and says whether the texts are worth a model's time.",
        ["ingest", *files, "--interactions", "data/interactions.csv"],
    )
    demo.step(
        "Look at a prompt",
        "Renders what the model will read for one item. No model is needed for that.",
        ["prompts", "preview", "item_cot", "--limit", "1"],
    )


def _write_and_encode(demo: Demo) -> None:
    small = ["--model", "smollm2-135m", "--max-field-chars", "80"]
    demo.step(
        "Write about items",
        "A chain of three answers for 48 items: who would like it, who would not, what matters. A model of "
        "135 million parameters runs in vLLM on this CPU. It writes poorly and proves the machinery; answers "
        "are bounded by the grammar. Stop it and run it again: it goes on where it stopped.",
        ["generate", "--prompt", "item_cot", "--where", "item_id <= 'P0048'", *small],
    )
    demo.step(
        "Write about users",
        "The same chain for 16 users, over what they bought in the training part, and nothing held out.",
        ["generate", "--prompt", "user_cot", "--where", "user_id <= 'U0016'", *small],
    )
    demo.step(
        "Encode",
        "MiniLM turns the three views of item_cot into vectors, and the plain text of all items.",
        ["embed", "--feature", "item_cot"],
        ["embed", "--feature", "item_text"],
    )
    demo.step(
        "Connect users",
        "Users as the mean of the vectors of what they bought in training; each with its 20 nearest.",
        ["graph", "--feature", "item_text"],
    )
    demo.step(
        "Publish",
        "Checks the gates, pins every table at its version, and points the alias `production` to the result.",
        ["publish"],
        ["ls"],
    )


def _recommend(demo: Demo) -> None:
    for folder, options in MODELS.items():
        name = folder.partition("/")[2]
        why = {
            "plain": "LightGCN with an embedding per item, learned from purchases alone.",
            "semantic": "The same with item vectors: item_cot where the model wrote, plain text elsewhere.",
            "random": "The control: random vectors in place of the semantic ones. If it did as well, the "
            "text would have added nothing but parameters.",
        }[name]
        demo.step(f"Train LightGCN, {name}", why, ["train", "lightgcn", *options, *TRAINING, "-o", folder])
    demo.step(
        "Recommend",
        "For three users, what the semantic model would show them, with the text behind it.",
        *(["recommend", "--model", "models/semantic/seed-0", "--user", user, "-k", "5"] for user in USERS),
    )


def _summary(demo: Demo) -> None:
    demo.step(
        "Evaluate",
        "Ranks all items for each user's test purchase; what the user trained and validated on is masked. "
        "Each model stands for the mean of three seeds; popularity is the least that it must beat.",
        ["evaluate", *(f"{folder}/seed-{seed}" for folder in MODELS for seed in range(NUM_SEEDS))],
    )
    print(f"\n{'=' * 100}\nWhere the time went")
    for title, seconds in demo.steps:
        print(f"  {_clock(seconds):>6}  {title}")
    print(f"  {_clock(time.monotonic() - demo.started):>6}  in all")
    print(
        "\nThe shop is made up and small: its figures show that the path works, not how good the method is.\n"
        f"The project is {PROJECT.name}/. Go on there, for example with:\n"
        f"  featurestore show item_cot -C {PROJECT.name}\n"
        f"  featurestore ls -C {PROJECT.name}"
    )


def _call(words: Sequence[str]) -> int:
    """Run a command; it gets the signals that we get, and the time it needs to end in order."""
    with subprocess.Popen([COMMAND, *words], cwd=PROJECT) as process:
        signal.signal(signal.SIGINT, lambda *_: None)  # the terminal has told the command as well
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        return process.wait()


def _failed(words: Sequence[str], code: int) -> str:
    return (
        f"\nfeaturestore {words[0]} ended with {code}: see above. The demo goes on from there when run again."
    )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"


if __name__ == "__main__":
    main()
