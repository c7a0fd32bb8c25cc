from pathlib import Path

import pytest
from generation_world import PROMPTS, item_cot
from gullible_engine import GullibleEngine

from featurestore.errors import UsageError
from llm_jobs.engines import OpenModel
from llm_jobs.models import find_model, model_spec
from llm_jobs.prompt import Prompt, load_prompt
from llm_jobs.redteam import redteam
from llm_jobs.redteam_attacks import Attack, in_turns, load_attacks
from llm_jobs.redteam_report import RedteamReport, Share
from llm_jobs.redteam_world import PlacedText, build_world, has_data_rule, without_defence


def _attack(prompt: Prompt, attacks: tuple[Attack, ...], *, undefended: bool = True) -> RedteamReport:
    entry = find_model("echo", {})
    model = OpenModel(entry, model_spec(entry), GullibleEngine())
    return redteam(prompt, model, attacks, undefended=undefended)


def test_a_gullible_model_obeys_only_without_the_defence() -> None:
    attacks = load_attacks()
    report = _attack(item_cot(), attacks)
    total = report.total
    assert total.success == Share(0, len(attacks))
    assert total.success_undefended == Share(len(attacks), len(attacks))
    assert total.copied == total.copied_undefended == Share(0, len(attacks))
    assert total.twins_failed == Share(0, len(attacks))
    assert report.has_data_rule
    assert report.successes == ()
    assert {kind.kind for kind in report.kinds} == {attack.kind for attack in attacks}
    assert sum(kind.success.of for kind in report.kinds) == len(attacks)


@pytest.mark.parametrize("name", ["user_cot", "item_semantic_id"])
def test_every_packaged_prompt_can_be_attacked(name: str) -> None:
    attacks = in_turns(load_attacks(), 12)
    report = _attack(load_prompt(PROMPTS / f"{name}.toml"), attacks)
    assert report.total.success == Share(0, 12)
    assert report.total.success_undefended is not None
    assert report.total.success_undefended.count >= 10


def test_a_prompt_without_the_data_rule_is_open() -> None:
    prompt = item_cot()
    rule = next(line for line in prompt.system.splitlines() if "<data>" in line)
    bare = prompt.model_copy(update={"system": prompt.system.replace(rule, "")})
    attack = next(attack for attack in load_attacks() if attack.name == "ignore-previous")
    report = _attack(bare, (attack,), undefended=False)
    assert not report.has_data_rule
    assert report.total.success == Share(1, 1)
    assert report.total.success_undefended is None
    assert report.successes[0].shown_in == ("forward", "backward", "fused")


def test_raw_text_reaches_the_model_as_it_is() -> None:
    attack = next(attack for attack in load_attacks() if attack.name == "closing-tag")
    engine = GullibleEngine()
    entry = find_model("echo", {})
    redteam(item_cot(), OpenModel(entry, model_spec(entry), engine), [attack])
    told = [request.messages[1].content for request in engine.requests]
    raw = [text for text in told if attack.text in text]
    assert len(raw) == 3
    assert all(text.count("<data>") == 1 for text in raw)  # the attack's own
    clean = [text for text in told if attack.canary in text and text not in raw]
    assert clean
    assert all(text.count("<data>") == text.count("</data>") == 1 for text in clean[:3])


def test_without_defence_only_the_defence_is_gone() -> None:
    prompt = item_cot()
    bare = without_defence(prompt)
    assert has_data_rule(prompt)
    assert not has_data_rule(bare)
    assert "<data>" not in bare.data
    assert "title: {{ title }}" in bare.data
    assert "Answer in the JSON form" in bare.system
    assert [stage.template for stage in bare.stages] == [stage.template for stage in prompt.stages]


def test_a_review_goes_where_the_prompt_reads_it() -> None:
    placed = [PlacedText("a", "review", "Nice.", 0)]
    pasted = build_world(item_cot(), placed).read("source.items").to_pylist()[0]
    assert pasted["description"].endswith("Wash by hand. Customer review: Nice.")
    own = item_cot().model_copy(update={"data": "<data>\n{{ title }} {{ reviews }}\n</data>"})
    row = build_world(own, placed).read("source.items").to_pylist()[0]
    assert row["reviews"] == "Nice."
    assert "Nice." not in row["description"]


def test_a_prompt_that_reads_nothing_cannot_be_attacked() -> None:
    blind = item_cot().model_copy(update={"data": "<data>\nan item\n</data>"})
    with pytest.raises(UsageError, match="reads no field: nothing hostile can reach it"):
        build_world(blind, [PlacedText("a", "title", "x", 0)])


def test_json_names_every_attack() -> None:
    report = _attack(item_cot(), in_turns(load_attacks(), 3))
    data = report.as_dict()
    assert data["total"]["success"]["of"] == 3
    assert [case["attack"] for case in data["attacks"]].count("dislike-rival") == 2
    assert len(data["attacks_undefended"]) == 6
    assert data["attacks"][0]["texts"]["fused"]


@pytest.mark.parametrize(
    ("share", "low", "high"),
    [
        # Newcombe (1998, Statistics in Medicine 17, 857-872), table I, method 3
        (Share(81, 263), 0.2553, 0.3662),
        (Share(15, 148), 0.0624, 0.1605),
        (Share(0, 20), 0.0000, 0.1611),
        (Share(1, 29), 0.0061, 0.1718),
        (Share(0, 0), 0.0, 1.0),
    ],
)
def test_wilson_intervals(share: Share, low: float, high: float) -> None:
    assert share.interval == pytest.approx((low, high), abs=5e-5)


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    _attack(item_cot(), in_turns(load_attacks(), 1))
    assert list(tmp_path.iterdir()) == []
