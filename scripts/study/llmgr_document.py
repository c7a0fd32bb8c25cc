"""docs/results/llmgr.md: every figure from the records, and what has not been run by name."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from scripts.study.beside import Row, Sources, data_set
from scripts.study.comparisons import Comparisons
from scripts.study.core import AMAZON
from scripts.study.datasets import GAPS, SLICE, find_dataset
from scripts.study.groups import DAGGER, SEEDS, Group, Study
from scripts.study.llmgr import (
    BASES,
    BESIDE,
    FUSIONS,
    HYPERBOLIC,
    MODEL,
    ON_OTHER_BASES,
    OTHERS,
    TEXT_ONLY,
    THRESHOLDS,
    minimum,
    queue,
    rare,
)
from scripts.study.llmgr_plugged import (
    CONTROL_ROWS,
    FROZEN,
    JUDGED,
    METRICS,
    TUNED,
    control_tests,
    parts_table,
    plugged_table,
    questions,
    tunings_table,
)
from scripts.study.rank_metrics import RankMetrics
from scripts.study.records import Records
from scripts.study.row_tables import Tests, minus_each, minus_one, row_table, written
from scripts.study.standing_tables import not_run, status
from scripts.study.tables import YARDSTICK, gain_table, table, title

_CLICKED: Final = ("hr@10", "mrr@10", "ndcg@10", *METRICS)
_CONTROLS: Final[frozenset[Row]] = frozenset({(YARDSTICK, "plain"), ("popularity", "plain")})
_MODELS: Final[tuple[Row, ...]] = (
    TUNED,
    *((model, "plain") for model in (*BASES, *OTHERS, *BESIDE)),
)
_READ: Final[tuple[Row, ...]] = (
    *((base, "text") for base in BASES),
    *((BASES[0], f"text-{variant}") for variant in (*FUSIONS, TEXT_ONLY)),
    (MODEL, "shuffled"),
    (MODEL, "random"),
    *((base, form) for base in BASES for form in ("shuffled", "random")),
)
_PUBLISHED: Final[Mapping[str, tuple[float, float, float]]] = {
    "gru4rec": (0.3691, 0.1632, 0.2114),
    "narm": (0.3801, 0.1695, 0.2188),
    "srgnn": (0.3881, 0.1754, 0.2253),
    "gcsan": (0.4127, 0.1881, 0.2408),
    "niser": (0.4144, 0.1904, 0.2430),
    "sasrec": (0.4144, 0.1857, 0.2393),
}
"""RecBole-GNN on all of Diginetica, leave-one-out: HR@10, MRR@10, NDCG@10."""
_HEAD: Final = f"""# LLMGR

Written by `make docs` from the records in `docs/results/runs`: do not edit it by hand. `make results`
computes what is due (`python scripts/results.py --study llmgr --list` shows it).

LLMGR (arXiv 2402.16539) tunes a decoder on prompts that hold nodes and graphs of sessions. Here are its
bases, and `recommender/models/llmgr.py`: what of it is served without a language model, a base whose items
texts have a say in by a gate. Runs of the form `tuned` read vectors and lists of a tuned decoder; those of
the form `text` vectors of a frozen encoder (all-MiniLM-L6-v2), the control that a tuned decoder must beat.
All bases learn from one decoder, which read vectors and graphs of GC-SAN in both stages; the paper repeats
stage 2 with those of each base. What another base gains may so be GC-SAN's. Seeds are of the small models:
each tuning has one.
The paper's data are Amazon's Music, Beauty and Pantry; Music and Pantry are not in ours. So LLMGR stands on
Beauty (on Toys with frozen vectors only), and HCGR, which is from another paper, on ml-100k, a slice of
Diginetica, and Beauty and Toys ([sequential](sequential.md)).

Test part, all items ranked but those that the user or the session had before. Epochs are chosen on the
validation part. {SEEDS}
Intervals are of what the head of a column says, 95 %, paired bootstrap over users; `*` p < 0.05, `**`
p < 0.01, Holm-corrected over a column. {DAGGER}: the record is of earlier code, settings or data, and its run
is due again; tests, parts and thresholds are of current records only.
"""
_DECODER: Final = """## Tuned decoders

Tuned by `python scripts/llmgr_tuning.py`. The paper tunes 7 billion parameters on all of a data set; each
line says what was tuned here, and on how much. The last column is about sessions that the lists are of: their
newest click, which training holds. With the product's own commands:

    featurestore train gcsan && featurestore vectors --model models/gcsan && featurestore publish
    featurestore tune llmgr --items item_text --vectors gcsan --encoder smollm2-hidden && featurestore publish
    featurestore tune llmgr --items item_text --vectors gcsan --encoder smollm2-hidden --base models/gcsan \\
        --stage behaviour --start ADAPTER --teacher teacher.safetensors --lists llmgr-lists
    featurestore train llmgr --features llmgr --set teacher=teacher.safetensors

`--stage joint` is one stage, stage behaviour without `--start` has no auxiliary stage,
`--set graph_token=none` no graph, `--set texts=shuffled` texts of other items in stage alignment (whose items
are then read by their own titles). Where stage behaviour has no `--start`, the command stores no vectors of
titles; the script does.

`rsl` is RSL (Chu et al., arXiv 2308.10837) as far as its description allows: stage behaviour without
`--start`, `--set sessions=titles`. Its scores have nothing of nodes and graphs. The last column says how well
its lists fit what was learned from; on the test part stands the row `tuned, rsl`, the small model that learns
from them.
"""


def render(records: Records, comparisons: Comparisons) -> str:
    """The whole document."""
    study = Study.read([*minimum(), *queue()], records)
    sources = Sources(study, RankMetrics(records), comparisons)
    parts = [_HEAD, *status(study, minimum()), "## Questions\n", *questions(sources, AMAZON[0])]
    for dataset in AMAZON:
        parts += _sequences(sources, dataset)
    parts += _clicks(sources)
    parts += _pauses(sources)
    return "\n".join([*parts, _DECODER, *tunings_table(sources), *not_run(study)]).rstrip() + "\n"


def _sequences(sources: Sources, dataset: str) -> Iterator[str]:
    head, is_run = data_set(sources.study, dataset, find_dataset(dataset).texts)
    yield from head
    if not is_run:
        return
    yield from _models(sources, dataset)
    if dataset == AMAZON[0]:
        yield "### Bases with a tuned decoder\n"
        yield from plugged_table(sources, dataset)
        yield from parts_table(sources, dataset)
        yield "What is left out of it, on GC-SAN:\n"
        tests = control_tests(sources, dataset)
        yield from _table(sources, dataset, [TUNED, *CONTROL_ROWS], {_minus(TUNED): tests})
    yield "### Texts as frozen vectors\n"
    others = [*_READ, *((MODEL, f"text-{variant}") for variant in ON_OTHER_BASES)]
    tests = minus_each(sources, dataset, FROZEN, others, JUDGED)
    yield from _table(sources, dataset, [FROZEN, *others], {_minus(FROZEN): tests})
    yield "### Texts for cold and rare items only\n"
    yield from _hybrid(sources.study, dataset)
    if gains := list(gain_table(sources.study, dataset)):
        yield "### What texts add, by how often an item or a user was seen\n"
        yield from gains


def _models(sources: Sources, dataset: str) -> Iterator[str]:
    """LLMGR's small model and its bases, beside what counts and learns nothing."""
    rows = [FROZEN, *_MODELS]
    learned = [row for row in rows if row not in _CONTROLS]
    tests = {
        _minus(FROZEN): minus_each(sources, dataset, FROZEN, _MODELS, JUDGED),
        f"{title(JUDGED)}: minus `{YARDSTICK}`": minus_one(
            sources, dataset, learned, (YARDSTICK, "plain"), JUDGED
        ),
    }
    yield from _table(sources, dataset, rows, tests)


def _table(sources: Sources, dataset: str, rows: Sequence[Row], tests: Mapping[str, Tests]) -> Iterator[str]:
    cells = {title(metric): _cell(sources, metric) for metric in METRICS}
    last = {head: written(found) for head, found in tests.items()}
    yield from row_table(sources.study, dataset, rows, name=_name, cells=cells, last=last)


def _cell(sources: Sources, metric: str) -> Callable[[Group], str]:
    return lambda group: sources.metrics.cell(group, metric)


def _minus(ours: Row) -> str:
    return f"{title(JUDGED)}: {_name(ours)}, minus it"


def _hybrid(study: Study, dataset: str) -> Iterator[str]:
    """Thresholds by validation, seed 0; the one that it chooses is bold."""
    metric = find_dataset(dataset).monitor
    labels = {"all items": "text"} | {f"at most {m} sessions": f"text-{rare(m)}" for m in THRESHOLDS}
    records = {name: study.group(dataset, MODEL, label).current.records for name, label in labels.items()}
    found = {name: each[0] for name, each in records.items() if each and metric in each[0].validation}
    if len(found) < len(THRESHOLDS) + 1:
        yield f"{len(found)} of {len(THRESHOLDS) + 1} thresholds were run: none is chosen.\n"
    best = max(found, key=lambda name: found[name].validation[metric], default=None)
    is_whole = len(found) == len(THRESHOLDS) + 1
    rows = [
        [
            f"**{name}**" if is_whole and name == best else name,
            f"{record.validation[metric]:.4f}",
            f"{record.test[metric]:.4f}",
        ]
        for name, record in found.items()
    ]
    yield from table(["texts of", f"validation {title(metric)}", f"test {title(metric)}"], rows)


def _clicks(sources: Sources) -> Iterator[str]:
    head, is_run = data_set(sources.study, SLICE.name, find_dataset(SLICE.name).texts)
    yield from head
    yield (
        "The newest quarter of Diginetica's sessions, and nothing that a session clicked before is ranked: "
        "the published figures (RecBole-GNN, all sessions, everything ranked) are no bar for ours, but the "
        "order of models may be compared.\n"
    )
    if is_run:
        rows = _clicked(sources, SLICE.name, (*BASES, *OTHERS, HYPERBOLIC, *BESIDE))
        published = [" / ".join(f"{value:.4f}" for value in _PUBLISHED.get(row[0][1:-1], ())) for row in rows]
        both = [[*row, theirs] for row, theirs in zip(rows, published, strict=True)]
        yield from table(["model", *map(title, _CLICKED), "published HR / MRR / NDCG @10"], both)


def _pauses(sources: Sources) -> Iterator[str]:
    head, is_run = data_set(sources.study, GAPS.name, find_dataset(GAPS.name).texts)
    yield from head
    yield (
        "Ratings, cut into sessions where half an hour goes by without one (`featurestore ingest --sessions "
        "gap`): its 5-core, sessions of 3 to 50 ratings. A user here is a session.\n"
    )
    if is_run:
        rows = _clicked(sources, GAPS.name, (BASES[0], HYPERBOLIC, *BESIDE))
        yield from table(["model", *map(title, _CLICKED)], rows)


def _clicked(sources: Sources, dataset: str, models: Sequence[str]) -> list[list[str]]:
    """Models that are declared on a data set, with metrics at 10 and 20."""
    groups = {model: sources.study.group(dataset, model) for model in models}
    return [
        [f"`{model}`", *(group.cell(metric) for metric in _CLICKED)]
        for model, group in groups.items()
        if group.standings
    ]


def _name(row: Row) -> str:
    model, label = row
    form, _, variant = label.partition("-")
    if variant.startswith("on-"):
        return f"`{model}` {variant.replace('-', ' ')}"
    words = {"plain": "", "text": " + text" if model != MODEL else ", frozen vectors", "tuned": ", tuned"}
    shown = words.get(form, f", {form} vectors")
    return f"`{model}`{shown}{f', {variant}' if variant else ''}"
