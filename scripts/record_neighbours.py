"""Record what cold items are near to: by the ID vectors of a LightGCN, by vectors of texts, by their codes.

    python scripts/record_neighbours.py --seed 0 --seed 1

Trains the study's plain LightGCN on a data set that has texts of items, and codebooks of both quantisers on
the vectors of these. Records lie in docs/results/neighbours; `make docs` shows them in LGHRec's document. A
seed that has a current record is passed by, unless --again.
"""

import argparse
import sys
import time

import numpy as np
import torch

from featurestore.errors import InputError
from recommender.data import FloatArray
from recommender.features import line_up
from recommender.registry import find_model, parse_settings
from recommender.training.allocator import keep_freed_memory
from recommender.vector_model import VectorModel
from scripts.study import neighbour_records as records
from scripts.study.codebook_kinds import QUANTIZERS, codes_of, train_codebooks
from scripts.study.command_line import add_data_option, exit_code, new_parser
from scripts.study.datasets import DATASETS, data_digest, find_dataset, prepare
from scripts.study.execute import Prepared
from scripts.study.groups import Study
from scripts.study.lghrec import LASTFM
from scripts.study.neighbour_figures import Neighbours
from scripts.study.neighbour_tables import CODES, ID, PROPAGATED, TEXT
from scripts.study.records import Records

_NUM_CASES, _NUM_SHOWN = 5, 5


def text_vectors(prepared: Prepared) -> dict[str, FloatArray]:
    """The vectors of items' texts, and those that their codes stand for: (I, d) float32 each.

    Raises:
        InputError: If the data set has no texts of items.
    """
    if prepared.dataset.item_feature is None:
        raise InputError(f"{prepared.dataset.name} has no texts of items.")
    stored = prepared.release.embeddings(prepared.dataset.item_feature)
    lined = line_up([stored], prepared.release.id_map("item").ids)
    found = {TEXT: lined.matrix}
    for quantizer in QUANTIZERS:
        books = train_codebooks(quantizer, stored.matrix, stored.encoder)
        decoded = books.decode(codes_of(lined.matrix, books))
        found[CODES[quantizer]] = np.where(lined.has_vector[:, None], decoded, np.float32(0))
    return found


def measure(prepared: Prepared, texts: dict[str, FloatArray], seed: int) -> records.NeighbourRecord:
    """Train, and compare neighbours with those by vectors of texts."""
    run, data = records.run_of(prepared.dataset.name, seed), prepared.training
    entry = find_model(run.model)
    model = entry.model_type(parse_settings(entry.config_type, run.settings))
    assert isinstance(model, VectorModel)
    started = time.monotonic()

    def told(done: int, total: int, note: str = "") -> None:
        if done % 20 == 0:
            print(f"{run.name}: {done} of {total}, {note}, {time.monotonic() - started:.0f} s", flush=True)

    fit = model.fit(data, features=None, seed=seed, progress=told)
    ids = model.arrays()["weights"]["parameter.layer_zero.ids"][data.num_users :]  # (I, d)
    kinds = {ID: ids, PROPAGATED: model.vectors()[1].numpy()} | texts
    found = Neighbours(data, kinds, text=TEXT, top_k=records.TOP_K)
    names = prepared.release.id_map("item").ids
    return records.NeighbourRecord(
        dataset=prepared.dataset.name,
        seed=seed,
        protocol=records.PROTOCOL,
        data=prepared.digest,
        best_epoch=fit.best_epoch,
        best_metric=fit.best_metric or 0.0,
        num_items=data.num_items,
        top_k=records.TOP_K,
        parts=found.parts(),
        cases=found.cases(names, num_cases=_NUM_CASES, num_shown=_NUM_SHOWN, seed=0),
    )


def work(options: argparse.Namespace) -> None:
    """Compute the records that are due."""
    dataset, seeds = find_dataset(options.dataset), options.seed or [0]
    study = Study.read([records.run_of(dataset.name, seed) for seed in seeds], Records())
    known = {record.seed for record in records.read(dataset.name) if records.is_current(record, study)}
    due = [seed for seed in seeds if options.again or seed not in known]
    if due:
        prepare(dataset, options.data)
        prepared = Prepared.open(dataset, data_digest(dataset, options.data))
        texts = text_vectors(prepared)
        for seed in due:
            print(records.write(measure(prepared, texts, seed)), flush=True)


def main() -> int:
    """Parse options, run."""
    parser = new_parser(__doc__)
    parser.add_argument("--dataset", choices=list(DATASETS), default=LASTFM)
    parser.add_argument("--seed", type=int, action="append", help="of a training; may be repeated")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--again", action="store_true", help="seeds that have a record, too")
    add_data_option(parser)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    return exit_code(lambda: work(options))


if __name__ == "__main__":
    sys.exit(main())
