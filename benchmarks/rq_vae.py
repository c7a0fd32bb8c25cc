"""Semantic ids of real texts by TIGER's RQ-VAE beside our residual k-means: error, use of codes, collisions.

Vectors are all-MiniLM-L6-v2's, out of the releases that `scripts/results.py` prepares: descriptions of
artists that DeepSeek wrote (colakg-lastfm), and titles with brands and categories (amazon14-beauty). Both
quantisers have 3 levels of 256 codes and one seed. Of the RQ-VAE all is TIGER's but optimiser, batches and
epochs, see docs/semantic-ids.md; it is looked at after fewer epochs too.
"""

import argparse
import time
from pathlib import Path

import common
import polars as pl
import torch
from common import Claim, compare, record

from featurestore import columns as c
from featurestore.codes.codebooks import Codebooks
from featurestore.codes.quality import CodesQuality, LevelQuality, measure_codes
from featurestore.codes.rq_vae_options import RqVaeOptions
from featurestore.embeddings import Embeddings
from featurestore.reader import open_store
from scripts.study.codebook_kinds import codes_of, train_codebooks
from scripts.study.datasets import find_dataset, prepare

PEER = "residual k-means"
EPOCHS = RqVaeOptions().epochs
FEWER = 20
DATASETS = ("colakg-lastfm", "amazon14-beauty")


def run(data: Path, name: str) -> None:
    """Measure and record."""
    dataset = find_dataset(name)
    prepare(dataset, data)
    release = open_store(str(dataset.project / "store")).release("production")
    stored = release.embeddings(str(dataset.item_feature))
    theirs, seconds = _kmeans(stored)
    facts = {"torch threads": torch.get_num_threads(), PEER: _in_words(theirs, seconds)}
    measured: dict[int, CodesQuality] = {}
    for epochs in (FEWER, EPOCHS):
        measured[epochs], seconds = _rq_vae(stored, epochs)
        facts[f"RQ-VAE, {epochs} epochs"] = _in_words(measured[epochs], seconds)
    protocol = (
        f"{len(stored):,} items of {name}, {stored.matrix.shape[1]} dimensions ({stored.encoder.name}); "
        f"3 x 256 codes; RQ-VAE: latent 32, encoder 512-256-128, commitment 0.25, {EPOCHS} epochs; one run "
        "of each; errors as a share of the mean vector's"
    )
    packages = ("faiss-cpu", "numpy", "torch")
    record(f"rq_vae_{name}", protocol, _claims(measured[EPOCHS], theirs), packages=packages, facts=facts)


def _kmeans(stored: Embeddings) -> tuple[CodesQuality, float]:
    start = time.process_time()
    books = train_codebooks("residual_quantizer", stored.matrix, stored.encoder)
    return _quality(stored, books), time.process_time() - start


def _rq_vae(stored: Embeddings, epochs: int) -> tuple[CodesQuality, float]:
    start = time.process_time()
    books = train_codebooks("rq_vae", stored.matrix, stored.encoder, RqVaeOptions(epochs=epochs))
    return _quality(stored, books), time.process_time() - start


def _quality(stored: Embeddings, codebooks: Codebooks) -> CodesQuality:
    """What ``featurestore semantic-ids`` reports, of all items."""
    rows = pl.DataFrame({c.ID: stored.ids, c.CODES: codes_of(stored.matrix, codebooks).tolist()})
    digits = pl.int_range(pl.len(), dtype=pl.Int32).over(c.CODES).alias(c.COLLISION)
    return measure_codes(
        rows.with_columns(digits), codebooks=codebooks, ids=stored.ids, vectors=stored.matrix
    )


def _claims(ours: CodesQuality, theirs: CodesQuality) -> list[Claim]:
    def claim(what: str, unit: str, values: tuple[float, float], *, higher_is_better: bool) -> Claim:
        mine, other = values
        return compare(
            f"RQ-VAE: {what}",
            peer=PEER,
            unit=unit,
            ours=lambda: mine,
            theirs=lambda: other,
            higher_is_better=higher_is_better,
            pairs=1,
        )

    errors = ours.levels[-1].reconstruction_error, theirs.levels[-1].reconstruction_error
    shares = ours.collision_share, theirs.collision_share
    used = _mean_use(ours), _mean_use(theirs)
    return [
        claim("error left", "of the mean's", errors, higher_is_better=False),
        claim("items that share their codes", "of the items", shares, higher_is_better=False),
        claim("codes in equal use, mean of the levels", "of 256", used, higher_is_better=True),
    ]


def _mean_use(quality: CodesQuality) -> float:
    return sum(level.perplexity for level in quality.levels) / len(quality.levels)


def _in_words(quality: CodesQuality, seconds: float) -> str:
    def levels(field: str, form: str) -> str:
        return ", ".join(format(getattr(level, field), form) for level in quality.levels)

    first: LevelQuality = quality.levels[0]
    return (
        f"error left level by level {levels('reconstruction_error', '.4f')}; codes used "
        f"{levels('codes_used', 'd')}, in equal use {levels('perplexity', '.0f')}; "
        f"{quality.collision_share:.4f} of the items share their codes, {quality.largest_group} at most; "
        f"near items of the same first code {first.neighbor_purity:.4f}, any two {first.chance_purity:.4f}; "
        f"{seconds:.0f} s of processor time"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--datasets", nargs="+", choices=DATASETS, default=DATASETS)
    parser.add_argument("--records", type=Path, default=common.RECORDS, help="Folder of the JSON record.")
    options = parser.parse_args()
    common.RECORDS = options.records
    for dataset_name in options.datasets:
        run(options.data.resolve(), dataset_name)
