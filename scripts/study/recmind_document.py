"""docs/results/recmind.md: every figure from the records, and what has not been run by name."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from scripts.study import recmind_questions as questions
from scripts.study.beside import Row, Sources, data_set
from scripts.study.comparisons import Comparisons
from scripts.study.datasets import find_dataset
from scripts.study.groups import DAGGER, SEEDS, Group, Study
from scripts.study.rank_metrics import RankMetrics
from scripts.study.recmind import GRAPH_ONLY, MODEL, OF_ITS_KIND, minimum, queue
from scripts.study.recmind_cost import measured_cost
from scripts.study.recmind_reading import reasons, worth
from scripts.study.recmind_targets import CONTROLS, JUDGED, OURS, control_tests, name, targets
from scripts.study.recmind_transfer import transfer
from scripts.study.records import Records
from scripts.study.row_tables import Tests, minus_each, row_table, written
from scripts.study.standing_tables import not_run, status
from scripts.study.tables import title
from scripts.study.transfer_record import read_transfer

METRICS: Final = ("recall@20", "ndcg@20", "recall@40", "ndcg@40")
_OTHERS: Final[tuple[Row, ...]] = (
    (MODEL, "both"),
    *((model, "plain") for model in GRAPH_ONLY),
    ("lightgcn", "text"),
    *((model, "text") for model in OF_ITS_KIND),
)

_HEAD: Final = f"""# RecMind

Written by `make docs` from the records in `docs/results/runs`: do not edit it by hand. `make results`
computes what is due (`python scripts/results.py --study recmind --list` shows it).

RecMind (arXiv 2509.06286) as `recommender/models/recmind.py` reconstructs it: vectors of the items' texts
(all-MiniLM-L6-v2), aligned with the graph's and let into every layer by a gate. Users have no texts here:
theirs are the means of what they had, by the fallback (form *both* has texts of users, made from validation
events too). `rlmrec` and `alpharec` are of the types of their papers, reconstructed too.

Test part, all items ranked but those that the user had before. Epochs are chosen on the validation part.
Settings are those of the models' files: RecMind's own were looked at on colakg-lastfm's validation part, by
single trials; RLMRec's and AlphaRec's are those of their papers as far as we remember them. Nothing was
searched for.
{SEEDS}
Intervals are of RecMind minus the row, 95 %, paired bootstrap over users; `*` p < 0.05, `**` p < 0.01,
Holm-corrected over a column. {DAGGER}: the record is of earlier code, settings or data, and its run is due
again; differences, ratios, parts, gates and times are of current records only.
"""


def render(records: Records, comparisons: Comparisons) -> str:
    """The whole document."""
    study = Study.read([*minimum(), *queue()], records)
    sources = Sources(study, RankMetrics(records), comparisons)
    parts = [_HEAD, *status(study, minimum()), *targets(sources), *reasons(sources)]
    for dataset in study.datasets():
        parts += _dataset(sources, dataset)
    parts += [*measured_cost(records), *transfer(read_transfer())]
    return "\n".join([*parts, *questions.not_asked(), *not_run(study)]).rstrip() + "\n"


def _dataset(sources: Sources, dataset: str) -> Iterator[str]:
    head, is_run = data_set(sources.study, dataset, find_dataset(dataset).texts)
    yield from head
    if is_run:
        others = {metric: minus_each(sources, dataset, OURS, _OTHERS, metric) for metric in JUDGED}
        yield from _table(sources, dataset, _OTHERS, others)
        yield "### One part taken out, or changed\n"
        parts = {metric: control_tests(sources, dataset, metric) for metric in JUDGED}
        yield from _table(sources, dataset, CONTROLS, parts)
        yield from worth(sources, dataset)
        yield from questions.answers(sources, dataset)


def _table(sources: Sources, dataset: str, others: Sequence[Row], tests: dict[str, Tests]) -> Iterator[str]:
    """RecMind first, then others; a last column for each metric that is judged."""
    cells = {title(metric): _cell(sources, metric) for metric in METRICS}
    last = {f"{title(metric)}: RecMind minus it": written(found) for metric, found in tests.items()}
    yield from row_table(sources.study, dataset, [OURS, *others], name=name, cells=cells, last=last)


def _cell(sources: Sources, metric: str) -> Callable[[Group], str]:
    return lambda group: sources.metrics.cell(group, metric)
