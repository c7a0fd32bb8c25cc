"""docs/results/sequential.md: every figure from the records, and what has not been run by name."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from scripts.study.beside import Row, Sources, data_set
from scripts.study.comparisons import Comparisons
from scripts.study.core import AMAZON
from scripts.study.datasets import find_dataset
from scripts.study.groups import DAGGER, NOT_RUN, SEEDS, Group, Study
from scripts.study.isrf import row_of
from scripts.study.rank_metrics import RankMetrics
from scripts.study.records import Records
from scripts.study.row_tables import minus_one, row_table, written
from scripts.study.sequential import CONTROLS, MODELS, PAPERS_LOSS, PAPERS_LOSSES, minimum, queue
from scripts.study.sequential_settings import settings_table
from scripts.study.standing_tables import not_run, status
from scripts.study.tables import YARDSTICK, cost_table, table, title

METRICS: Final = ("hr@5", "ndcg@5", "hr@10", "ndcg@10")
JUDGED: Final = "ndcg@10"
SASREC: Final[Row] = ("sasrec", "plain")
PUBLISHED: Final[Mapping[str, Mapping[str, tuple[float, float, float, float]]]] = {
    AMAZON[0]: {
        "caser": (0.0205, 0.0131, 0.0347, 0.0176),
        "hgn": (0.0325, 0.0206, 0.0512, 0.0266),
        "bert4rec": (0.0203, 0.0124, 0.0347, 0.0170),
        "fdsa": (0.0267, 0.0163, 0.0407, 0.0208),
        "sasrec": (0.0387, 0.0249, 0.0605, 0.0318),
    },
    AMAZON[1]: {
        "caser": (0.0166, 0.0107, 0.0270, 0.0141),
        "hgn": (0.0321, 0.0221, 0.0497, 0.0277),
        "bert4rec": (0.0116, 0.0071, 0.0203, 0.0099),
        "fdsa": (0.0228, 0.0140, 0.0381, 0.0189),
        "sasrec": (0.0463, 0.0306, 0.0675, 0.0374),
    },
}
"""Data set → model → published values of `METRICS`."""
_HEAD: Final = f"""# Sequential baselines

Written by `make docs` from the records in `docs/results/runs`: do not edit it by hand. `make results`
computes what is due (`python scripts/results.py --study sequential --list` shows it).

FPMC, Caser, HGN, BERT4Rec, FDSA and HCGR as `recommender/models` has them, each from its paper; HCGR, for
which there is no code, is a reconstruction. `fdsa` and `isrf` read texts of items (all-MiniLM-L6-v2), the
others interactions only. RSL (Chu et al., arXiv 2308.10837), a tuned language model, is a setting of
`featurestore tune llmgr` (docs/tuning.md) and stands in [llmgr](llmgr.md), and so does HCGR on sessions.

Test part, all items ranked but those that the user had before; models are asked with the histories of train
and validation. Epochs are chosen on the validation part. For SASRec and ISRF settings were searched, and FDSA
has SASRec's; for the other five none were: see [settings](#settings). {SEEDS}
Intervals are 95 %, paired bootstrap over users; `*` p < 0.05, `**` p < 0.01, Holm-corrected over a table.
{DAGGER}: the record is of earlier code, settings or data, and its run is due again; tests and ratios are of
current records only.
"""
_PUBLISHED: Final = """## Beside published figures

Published: table 1 of TIGER (Rajput et al., NeurIPS 2023), which takes them from S3-Rec (Zhou et al., CIKM
2020), read through public notes; the same files and split. FPMC and HCGR are not in it. What differs by
construction:

* Loss. Published models learn from one to three drawn negatives per event, as their papers do (BPR: HGN;
  binary cross-entropy: Caser, FDSA, SASRec; BERT4Rec has the softmax). Here all learn by the softmax over the
  catalogue, but for the rows of *the paper's loss*. Between the two rows of a model nothing but the loss is
  changed, yet that is no measure of the loss alone: step size, dropout, `reg` and patience of the second are
  those of the softmax, which another loss may want otherwise. Caser and HGN, as published, also learn to
  predict several of the next items; here an event has one target.
* Tuning. The published rows are legacy figures, with the losses and settings of 2020 and before; we take them
  for under-tuned, SASRec's (binary cross-entropy, one negative) first of all: an ID-only transformer with
  InfoNCE has NDCG@10 0.0489 on Beauty and 0.0546 on Toys (arXiv 2512.17820), half as much again. So a row of
  ours above a published one says little of the model; `counting`, which learns nothing, is the bar. Nor were
  ours tuned alike: [settings](#settings).
* FDSA reads vectors of titles, brands and categories here, and embedded categories there; its scores and
  settings are those of our `sasrec`, cosines with a temperature.
* BERT4Rec trains until validation no longer gets better, for 200 epochs at most. How far it is from its best
  after fewer, Petrov and Macdonald (RecSys 2022) have measured.
* Ties count as their expected rank here.
"""


def render(records: Records, comparisons: Comparisons) -> str:
    """The whole document."""
    study = Study.read([*minimum(), *queue()], records)
    parts = [_HEAD, *status(study, minimum()), *settings_table(), _PUBLISHED, *published(study)]
    for dataset in study.datasets():
        parts += _dataset(Sources(study, RankMetrics(records), comparisons), dataset)
    return "\n".join([*parts, *not_run(study)]).rstrip() + "\n"


def published(study: Study) -> Iterator[str]:
    """Ours and the published value of each metric, and how many times ours is the last one."""
    rows: list[list[str]] = []
    for dataset, found in PUBLISHED.items():
        for model, values in found.items():
            for row in _rows_of(model):
                group = study.group(dataset, *row)
                cells = [f"{group.cell(m)} / {v:.4f}" for m, v in zip(METRICS, values, strict=True)]
                mean = group.current.mean(JUDGED)
                ratio = NOT_RUN if mean is None else f"{mean / values[-1]:.2f}"
                rows.append([dataset, name(row), *cells, ratio])
    yield from table(
        ["data set", "model", *(f"{title(m)}, ours / published" for m in METRICS), "times"], rows
    )


def name(row: Row) -> str:
    """A row as tables write it."""
    model, label = row
    form, _, variant = label.partition("-")
    words = [f"`{model}`{' + text' if form == 'text' else ''}"]
    if form not in {"plain", "text"}:
        words.append(f"{form} vectors")
    if variant == PAPERS_LOSS:
        words.append("the paper's loss")
    return ", ".join(words)


def _rows_of(model: str) -> list[Row]:
    own: list[Row] = [row for row in (*MODELS, SASREC) if row[0] == model]
    return [*own, (model, f"plain-{PAPERS_LOSS}")] if model in PAPERS_LOSSES else own


def _dataset(sources: Sources, dataset: str) -> Iterator[str]:
    study = sources.study
    head, is_run = data_set(study, dataset, find_dataset(dataset).texts)
    yield from head
    if not is_run:
        return
    rows: list[Row] = [SASREC, ("sasrec", "text"), row_of(dataset, "sequential")]
    for model, label in MODELS:
        rows += [row for row in _rows_of(model) if row[0] == model]
        rows += [(model, form) for form in ("shuffled", "random") if label == "text"]
    tests = minus_one(sources, dataset, rows, (YARDSTICK, "plain"), JUDGED)
    rows += [(model, "plain") for model in CONTROLS]
    cells = {title(metric): _mean(metric) for metric in METRICS}
    last = {f"{title(JUDGED)} minus `{YARDSTICK}`": written(tests)}
    yield from row_table(study, dataset, rows, name=name, cells=cells, last=last)
    yield from cost_table(study, dataset)


def _mean(metric: str) -> Callable[[Group], str]:
    return lambda group: group.cell(metric)
