"""Coverage by degree, lost texts, refusals and empty texts: what the gates of texts measure."""

import pytest
from gate_world import ITEMS, NUM_ITEMS, TEXT, add_catalogue, good_texts, write_texts
from store_samples import ITEM_IDS, add_sources, add_texts

from featurestore.errors import ConfigError, GateFailedError, UnknownNameError, UsageError
from featurestore.gate_result import GateResult
from featurestore.gates.policy import DEFAULT_STRATA, GatePolicy
from featurestore.gates.rules import accept, describe, ids_in_row, judged, require_passed
from featurestore.gates.strata import Stratum, entity_degrees
from featurestore.releases.publish import publish
from featurestore.spec import PlainTextSpec, table_name
from featurestore.store import Store
from featurestore.stores.memory import MemoryStore

LONG_TAIL = Stratum(name="long tail", max_degree=19, min_coverage=0.95)
PLAIN = PlainTextSpec(feature="f", view="v", entity="item", fields=(), template_digest="0" * 32)


@pytest.fixture
def store() -> Store:
    filled = MemoryStore()
    add_catalogue(filled)
    return filled


def gate(store: Store, name: str, policy: GatePolicy | None = None) -> dict[str, GateResult]:
    """Stratum → what one gate says of the text feature in the next release."""
    results = publish(store, gates=policy or GatePolicy()).manifest.gates
    return {r.stratum: r for r in results if r.gate == name and r.feature == "text item_cot.fused"}


def test_degrees_count_distinct_training_partners(store):
    small = MemoryStore()
    split = add_sources(small)
    items = small.latest("source.items").version
    found = entity_degrees(
        small, "item", entities_version=items, interactions_version=split.interactions_version
    )
    assert found["id"].to_list() == list(ITEM_IDS)
    assert found["degree"].sum() == split.counts["train"] == 12
    none = entity_degrees(small, "item", entities_version=items, interactions_version=None)
    assert none["degree"].to_list() == [0] * 6


def test_every_stratum_has_a_coverage_of_its_own(store):
    write_texts(store, {i: text for i, text in good_texts().items() if int(i[1:]) < 200})
    said = gate(store, "coverage")
    assert said[""].value == 0.5
    assert list(said) == [
        "",
        "no events (degree 0)",
        "tail (degree 1 to 9)",
        "middle (degree 10 to 49)",
        "head (degree 50 and more)",
    ]
    assert (said["no events (degree 0)"].value, said["tail (degree 1 to 9)"].value) == (1.0, 1.0)
    assert 0.2 < said["middle (degree 10 to 49)"].value < 0.9
    assert said["head (degree 50 and more)"].note == "0 entities"
    counted = [int(result.note.split()[0]) for stratum, result in said.items() if stratum]
    assert sum(counted) == NUM_ITEMS


def test_a_hybrid_deployment_covers_the_long_tail_only(store):
    policy = GatePolicy(strata=(LONG_TAIL,))
    texts = good_texts()
    write_texts(store, {i: texts[i] for i in ITEMS[:240]})
    assert gate(store, "coverage", policy)["long tail (degree 0 to 19)"].passed
    sparse = MemoryStore()
    add_catalogue(sparse)
    write_texts(sparse, {i: texts[i] for i in ITEMS[20:240]})
    with pytest.raises(GateFailedError) as caught:
        publish(sparse, gates=policy)
    (line,) = caught.value.message.splitlines()[1:]
    assert (
        "coverage of text item_cot.fused, long tail (degree 0 to 19): share of entities with a good" in line
    )
    assert "at least 0.95 is needed" in line
    assert "Rows: i01" in line, "those that most events speak of come first"


def test_new_bounds_are_measured_although_nothing_changed(store):
    write_texts(store, good_texts())
    first = gate(store, "coverage", GatePolicy(strata=(LONG_TAIL,)))
    store.replace("source.quarantine", store.read("source.items").select(["item_id"]))
    wider = LONG_TAIL.model_copy(update={"max_degree": 30})
    assert list(gate(store, "coverage", GatePolicy(strata=(wider,)))) == ["", "long tail (degree 0 to 30)"]
    assert list(first) == ["", "long tail (degree 0 to 19)"]


def test_a_tighter_threshold_is_measured_again_and_names_rows(store):
    write_texts(store, good_texts() | dict.fromkeys(ITEMS[:40]))
    publish(store, gates=GatePolicy())
    with pytest.raises(GateFailedError, match=r"is 0\.9; at least 0\.95 is needed\. Rows: i0"):
        publish(store, gates=GatePolicy(min_coverage=0.95))


def test_deleted_items_are_not_lost(store):
    write_texts(store, good_texts())
    publish(store, gates=GatePolicy())
    store.delete("source.items", list(ITEMS[:100]), key="item_id")
    store.delete(table_name(TEXT), list(ITEMS[:100]), key="id")
    assert gate(store, "lost_texts")[""].value == 0
    assert gate(store, "coverage")[""].value == 1


def test_texts_that_vanish_are_lost(store):
    write_texts(store, good_texts())
    publish(store, gates=GatePolicy())
    store.delete(table_name(TEXT), list(ITEMS[:40]), key="id")
    with pytest.raises(GateFailedError, match=r"none here is 0\.1; at most 0\.05 .* Rows: i000, i001, i002"):
        publish(store, gates=GatePolicy())
    accepted = publish(store, gates=GatePolicy(), accepted_gates=["lost_texts"]).manifest
    (lost,) = [g for g in accepted.gates if g.gate == "lost_texts"]
    assert (lost.accepted, len(lost.rows)) == (True, 20)


def test_words_of_the_entity_itself_are_not_taken_for_a_models(store):
    add_texts(store, dict.fromkeys(ITEM_IDS[:1], "Let's look at animals: I am sorry, Bear"))
    publish(store, gates=GatePolicy())


@pytest.mark.parametrize(
    ("text", "gate_name"),
    [
        ("I cannot provide a description.", "refusal_rate"),
        ("As an AI language model, I have no taste.", "refusal_rate"),
        ("Hmm, wait. The item is a pen.", "think_leaks"),
        ("A pen.</think>A pen.", "think_leaks"),
        (" \n ", "empty_texts"),
    ],
)
def test_what_says_nothing_is_counted(store, text, gate_name):
    write_texts(store, good_texts() | dict.fromkeys(ITEMS[:8], text))
    policy = GatePolicy(max_refusal_rate=0.01)
    with pytest.raises(GateFailedError) as caught:
        publish(store, gates=policy)
    (line,) = caught.value.message.splitlines()[1:]
    assert line.strip().startswith(f"{gate_name} of text item_cot.fused: ")
    assert line.endswith("Rows: i000, i001, i002, i003, i004, ...")


def test_accepting_needs_a_gate_that_can_be_accepted():
    failed = judged(PLAIN, "coverage", 0.1, 0.5)
    assert [result.accepted for result in accept([failed], ["coverage"])] == [True]
    assert not accept([judged(PLAIN, "coverage", 0.9, 0.5)], ["coverage"])[0].accepted, "it passed"
    with pytest.raises(UnknownNameError, match=r"unknown gate 'coverge'\. Did you mean 'coverage'"):
        accept([failed], ["coverge"])
    with pytest.raises(UsageError, match="the gate 'event_set' cannot be accepted"):
        accept([failed], ["event_set"])


def test_a_refusal_says_stratum_note_and_at_most_twenty_rows():
    result = judged(
        PLAIN,
        "coverage",
        0.25,
        0.5,
        rows=lambda: (f"i{n}" for n in range(100)),
        stratum="tail (degree 1 to 9)",
        note="8 entities",
    )
    assert len(result.rows) == 20
    assert describe(result) == (
        "coverage of text f.v, tail (degree 1 to 9): share of entities with a good text is 0.25; "
        "at least 0.5 is needed (8 entities). Rows: i0, i1, i2, i3, i4, ..."
    )
    passed = judged(PLAIN, "coverage", 1.0, 0.5, rows=lambda: pytest.fail("rows of a passed gate"))
    require_passed([passed, result.model_copy(update={"accepted": True})], standing="")


def test_strata_are_checked_with_the_configuration():
    from cli.config import parse_config

    table = {"gates": {"strata": [{"name": "tail", "min_degree": 9, "max_degree": 1}]}}
    with pytest.raises(ConfigError, match="stratum 'tail': max_degree is below min_degree"):
        parse_config(table, origin="x")
    twice = {"gates": {"strata": [{"name": "tail"}, {"name": "tail"}]}}
    with pytest.raises(ConfigError, match="each stratum needs a name of its own, got tail, tail"):
        parse_config(twice, origin="x")
    assert parse_config({}, origin="x").gates.strata == DEFAULT_STRATA


def test_ids_are_found_in_the_rows_of_a_refusal():
    assert "u1" in ids_in_row("u1")
    assert "u1 (b)" in ids_in_row("u1 (b) (no_json)")
    assert {"u1", "u7"} <= ids_in_row("u1 > u7")
    assert "u1" not in ids_in_row("u10 (no_json)")
