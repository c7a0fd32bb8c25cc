"""The script that carries an alignment from one shop to another: its commands, and what is said of them."""

from pathlib import Path
from typing import Any

import pytest

from cli.project import open_project
from featurestore.errors import SetupError
from llm_jobs.models import find_encoder
from scripts import transfer
from scripts.study.command_steps import Steps
from scripts.study.recmind_transfer import transfer as told
from scripts.study.transfer_record import (
    Aligned,
    Difference,
    Rare,
    Trained,
    TransferRecord,
    Tuned,
    read_transfer,
    write_transfer,
)


class Commands(Steps):
    """Notes commands, and gives what they would have printed."""

    def __init__(self, printed: dict[str, dict[str, Any]]) -> None:
        self.given: list[str] = []
        self._printed = printed

    def command(self, project: Path, words: list[str], *, note: str = "") -> dict[str, Any]:
        """Nothing is run."""
        del project, note
        self.given.append(" ".join(words))
        return self._printed.get(words[0], {})


def test_the_second_shop_embeds_with_the_adapter_of_the_first(tmp_path):
    adapter, project = tmp_path / "adapter-of-beauty", tmp_path / "toys"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    project.mkdir()
    (project / "featurestore.toml").write_text("")
    steps = Commands({})
    for _ in range(2):
        transfer.carry(steps, adapter, project)
    opened = open_project(project)
    carried = find_encoder(transfer.BASE, opened.config.encoders, root=opened.root)
    base = find_encoder(transfer.BASE, {})
    assert carried.adapter == str(project / "adapter")
    assert carried.model_copy(update={"adapter": None}) == base
    assert steps.given[:2] == [
        "embed --feature item_text --encoder minilm",
        "publish --feature item_text --accept embedding_space --accept knn_churn",
    ]


def test_a_command_is_kept_with_the_memory_that_it_held(tmp_path):
    steps = Steps(tmp_path / "steps.json")
    listed = steps.command(tmp_path, ["prompts", "ls"])
    assert 10e6 < listed["peak_bytes"] < 2e9
    with pytest.raises(SetupError, match="`featurestore nonsense` ended with exit code"):
        steps.command(tmp_path, ["nonsense"])
    assert [(each.command, each.runs) for each in steps.times] == [
        ("featurestore prompts ls", 1),
        ("featurestore nonsense", 1),
    ]


def record(low: float, high: float) -> TransferRecord:
    trained = [
        Trained(
            name=name,
            epochs=epochs,
            metrics={"recall@10": 0.1, "ndcg@10": 0.05, "recall@20": recall, "ndcg@20": 0.06},
            rare=Rare(label="1-9", num_pairs=1200, metrics={"recall@20": 0.01}),
        )
        for name, epochs, recall in (("frozen vectors", 40, 0.2), ("carried alignment", 50, 0.21))
    ]
    test = Difference(difference=0.01, low=low, high=high, p_value=0.02)
    return TransferRecord(
        product="0",
        machine={"processor": "one, 2 cores", "threads": "1"},
        libraries={},
        data={},
        encoder="minilm",
        settings={"epochs": "2"},
        tuned=Tuned(
            adapter="ad",
            num_examples=1000,
            num_tokens=20_000,
            steps=100,
            epochs=2,
            steps_now=50,
            seconds=10.0,
            peak_bytes=2**30,
            before=Aligned(num_nodes=100, loss=4.6, hit_at_10=0.1),
            after=Aligned(num_nodes=100, loss=4.0, hit_at_10=0.3),
        ),
        trained=(trained[0], trained[1]),
        differences={"recall@20": test},
        num_users=1500,
        seed=0,
        steps=(),
    )


def test_the_rate_is_that_of_the_steps_that_were_timed():
    page = "\n".join(told(record(0.001, 0.02)))
    assert "**2,000 tokens/s** tuned, 1.00 GiB at most (one, 2 cores, threads: 1;" in page
    assert "1,000 items of 20,000 tokens, 2 epochs of 100 steps (`epochs=2`, else defaults)" in page


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.001, 0.02, "what was learned in Beauty helps in Toys."),
        (-0.01, 0.02, "no difference beyond chance."),
        (-0.03, -0.01, "what was learned in Beauty costs in Toys."),
    ],
)
def test_what_is_said_follows_from_the_interval(low, high, said):
    page = "\n".join(told(record(low, high)))
    assert page.count(said) == 1
    assert "| carried alignment | 50 | 0.1000 | 0.0500 | 0.2100 | 0.0600 | 0.0100 |" in page


def test_a_record_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "transfer.json"
    assert read_transfer(path) is None
    write_transfer(record(0.0, 0.1), path)
    assert read_transfer(path) == record(0.0, 0.1)
    assert [file.name for file in tmp_path.iterdir()] == ["transfer.json"]


def test_without_a_record_the_question_is_open():
    assert "Not run: `python scripts/transfer.py`" in "\n".join(told(None))
