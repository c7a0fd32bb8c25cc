"""What is recorded of neighbours, and what the document of LGHRec says of it."""

from dataclasses import replace

import numpy as np
import pytest
from study_world import FACTS, write_record

from featurestore.errors import InputError
from featurestore.spec import EncoderSpec
from scripts import record_neighbours
from scripts.study import codebook_kinds, neighbour_records
from scripts.study.codebook_kinds import QUANTIZERS, codes_of, train_codebooks
from scripts.study.datasets import find_dataset
from scripts.study.execute import Prepared
from scripts.study.groups import Study
from scripts.study.neighbour_figures import Case, Part, Side
from scripts.study.neighbour_records import NeighbourRecord, read, run_of, write
from scripts.study.neighbour_tables import CODES, ID, PROPAGATED, TEXT, near_items
from scripts.study.records import Records
from scripts.study.runs import Run

LASTFM = "colakg-lastfm"


def record_of(seed: int, taken_before: float) -> NeighbourRecord:
    """Two items that have a text and a user, of three."""
    given = {ID: (0.1, taken_before), PROPAGATED: (0.2, 0.4), TEXT: (1.0, 0.2)}
    sides = tuple(
        Side(kind=kind, overlap=overlap, together=0.5, taken_before=share, degree=3.0)
        for kind, (overlap, share) in given.items()
    )
    part = Part(
        least=1,
        most=4,
        num_items=2,
        num_taken=1,
        together_by_chance=0.25,
        taken_before_by_chance=None,
        sides=sides,
    )
    case = Case(item="7", degree=2, near={ID: ("8", "9"), TEXT: ("9", "3")}, together=("9",))
    return NeighbourRecord(
        dataset=LASTFM,
        seed=seed,
        protocol=neighbour_records.PROTOCOL,
        data=FACTS.data,
        best_epoch=5,
        best_metric=0.25,
        num_items=3,
        top_k=10,
        parts=(part,),
        cases=(case,),
    )


@pytest.fixture
def records(tmp_path) -> Records:
    """Current records of two trainings of the study."""
    found = Records(tmp_path / "runs")
    for seed in range(2):
        record = write_record(found, run_of(LASTFM, seed), [0] * 40)
        fit = replace(record.fit, best_metric=0.25)
        found.save(record.model_copy(update={"fit": fit}), np.zeros(40, np.int64), np.ones(40, np.int64))
    return found


def section(records: Records) -> str:
    runs = [run_of(LASTFM, seed) for seed in range(2)]
    return "\n".join(near_items(Study.read(runs, records)))


def test_a_record_is_read_as_it_was_written_and_takes_the_place_of_an_earlier_one(tmp_path):
    later, first = record_of(1, 0.2), record_of(0, 0.1)
    for record in (later, record_of(0, 0.9), first):
        write(record, tmp_path)
    assert read(LASTFM, tmp_path) == [first, later]
    assert not read("amazon14-beauty", tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {f"{LASTFM}.0.json", f"{LASTFM}.1.json"}


def test_the_section_shows_means_over_trainings(records, tmp_path):
    for seed, share in enumerate((0.1, 0.3)):
        write(record_of(seed, share), tmp_path / "neighbours")
    text = section(records)
    assert "colakg-lastfm has one text of each item" in text
    assert "2 trainings; 1 of 3 items are left out" in text
    assert "| 1 to 4 | 2 (1) | ID vector | 0.1000 | 0.5000 | 0.2000 ± 0.1414 | 3.0 |" in text
    assert "|  |  | text |  | 0.5000 | 0.2000 | 3.0 |" in text
    assert "|  |  | any other item |  | 0.2500 |  |  |" in text
    assert "taken before 1.00 times as often as those by ID vector, and 0.50 times as often" in text
    assert "They also have 1.0 and 1.0 times as many training users" in text
    assert "| 7 | 2 | 8, **9** | **9**, 3 |" in text


def test_missing_records_are_said(records):
    assert "`scripts/record_neighbours.py`: not run." in section(records)


@pytest.mark.parametrize(
    "changes",
    [{"protocol": 0}, {"data": "e" * 32}, {"best_epoch": 6}, {"best_metric": 0.26}, {"seed": 2}],
    ids=lambda changes: next(iter(changes)),
)
def test_records_of_another_training_than_the_studys_are_marked(records, tmp_path, changes):
    write(record_of(0, 0.1), tmp_path / "neighbours")
    assert "1 training; " in section(records)
    (tmp_path / "neighbours" / f"{LASTFM}.0.json").unlink()
    write(record_of(0, 0.1).model_copy(update=changes), tmp_path / "neighbours")
    assert "1 training†; " in section(records)


def test_records_are_marked_while_the_studys_training_is_due_again(records, tmp_path):
    write(record_of(0, 0.1), tmp_path / "neighbours")
    write_record(records, run_of(LASTFM, 0), [0] * 40, key="earlier")
    assert "1 training†; " in section(records)


def test_vectors_of_texts_and_of_both_kinds_of_codes_are_lined_up(release, monkeypatch):
    monkeypatch.setattr(codebook_kinds, "CODEBOOK_SIZE", 8)
    dataset = find_dataset("amazon14-beauty")  # its feature has the name of the release's
    found = record_neighbours.text_vectors(Prepared(dataset, "d" * 32, release))
    assert found.keys() == {TEXT, *CODES.values()}
    shape = (len(release.id_map("item").ids), 6)
    assert all(rows.shape == shape and rows.dtype == np.float32 for rows in found.values())
    stored = release.embeddings("item_text")
    rows = stored.find(release.id_map("item").ids)
    assert (found[TEXT] == stored.matrix[rows]).all()
    assert np.square(found[CODES["residual_quantizer"]] - found[TEXT]).mean() < found[TEXT].var()
    with pytest.raises(InputError, match="ml-100k has no texts of items"):
        record_neighbours.text_vectors(Prepared(find_dataset("ml-100k"), "d" * 32, release))


def test_a_training_is_measured_by_its_id_vectors(release, rng, monkeypatch):
    settings = {"epochs": "2", "batch_size": "64", "embedding_dim": "8"}
    run = Run(dataset=LASTFM, model="lightgcn", settings=settings)
    monkeypatch.setattr(neighbour_records, "run_of", lambda *_: run)
    prepared = Prepared(find_dataset(LASTFM), "d" * 32, release)
    num_items = prepared.training.num_items
    texts = {TEXT: rng.normal(size=(num_items, 5)).astype(np.float32)}
    found = record_neighbours.measure(prepared, texts, 0)
    assert [side.kind for side in found.parts[0].sides] == [ID, PROPAGATED, TEXT]
    assert sum(part.num_items for part in found.parts) == (prepared.training.item_degrees > 0).sum()
    assert found.num_items == num_items
    assert found == record_neighbours.measure(prepared, texts, 0)


@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_codebooks_decode_to_vectors_near_their_own(quantizer, rng, monkeypatch):
    monkeypatch.setattr(codebook_kinds, "CODEBOOK_SIZE", 16)
    centres = rng.normal(size=(12, 24)).astype(np.float32)
    vectors = centres[rng.integers(12, size=300)] + rng.normal(0, 0.05, (300, 24)).astype(np.float32)
    encoder = EncoderSpec(
        name="toy", model="toy", pooling="none", normalized=False, embedding_dim=24, max_tokens=1
    )
    books = train_codebooks(quantizer, vectors, encoder)
    codes = codes_of(vectors, books)
    assert codes.shape == (300, 3)
    left = np.square(vectors - books.decode(codes)).sum() / np.square(vectors - vectors.mean(axis=0)).sum()
    assert left < 0.3
    assert (books.network is not None) == (quantizer == "rq_vae")
