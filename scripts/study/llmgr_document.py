"""docs/results/llmgr.md: every figure from the records, and what has not been run by name."""

from collections.abc import Iterator, Mapping
from typing import Final

from scripts.study.beside import Beside, Row, Sources, data_set, verdict
from scripts.study.comparisons import Comparisons
from scripts.study.core import AMAZON
from scripts.study.datasets import SLICE, find_dataset
from scripts.study.groups import DAGGER, NOT_RUN, Study
from scripts.study.llmgr import (
    BASES,
    BESIDE,
    FUSIONS,
    MODEL,
    ON_OTHER_BASES,
    OTHERS,
    TEXT_ONLY,
    THRESHOLDS,
    minimum,
    queue,
    rare,
)
from scripts.study.rank_metrics import RankMetrics
from scripts.study.records import Records
from scripts.study.standing_tables import not_run, status
from scripts.study.tables import gain_table, table, title

METRICS: Final = ("hr@20", "ndcg@20", "mrr@20")
_CLICKED: Final = ("hr@10", "mrr@10", "ndcg@10", *METRICS)
JUDGED: Final = "ndcg@20"
_TEXT: Final = (MODEL, "text")
_PLAIN: Final[tuple[Row, ...]] = tuple((model, "plain") for model in (*BASES, *OTHERS, *BESIDE))
_READ: Final[tuple[Row, ...]] = (
    *((base, "text") for base in BASES),
    *((BASES[0], f"text-{variant}") for variant in (*FUSIONS, TEXT_ONLY)),
    (MODEL, "shuffled"),
    (MODEL, "random"),
    *((base, form) for base in BASES for form in ("shuffled", "random")),
)
_PLUGGED: Final[Mapping[str, str]] = {"gcsan": "text"} | {
    settings["base"]: f"text-{variant}" for variant, settings in ON_OTHER_BASES.items()
}
"""Base → label of LLMGR's runs on it."""
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
texts have a say in by a gate. Its vectors are those of a frozen encoder (all-MiniLM-L6-v2): the control that
tuned vectors must beat.

Test part, all items ranked but those that the user or the session had before. Epochs are chosen on the
validation part. Mean ± standard deviation over seeds where there are several; one seed where there is no ±.
Intervals are of `llmgr` minus the row, 95 %, paired bootstrap over users; `*` p < 0.05, `**` p < 0.01,
Holm-corrected over a table. {DAGGER}: the record is of earlier code, settings or data, and its run is due
again.
"""
_DECODER: Final = """## With a tuned decoder

Not run: both stages of a decoder on 12,101 items and their sessions take a GPU. The commands are

    featurestore train gcsan && featurestore vectors --model models/gcsan && featurestore publish
    featurestore tune llmgr --items item_text --vectors gcsan && featurestore publish
    featurestore tune llmgr --items item_text --vectors gcsan --base models/gcsan --stage behaviour \\
        --start ADAPTER --teacher teacher.safetensors --lists llmgr-lists
    featurestore train llmgr --features llmgr --set teacher=teacher.safetensors

Its controls are settings: `--stage joint` (one stage), stage behaviour without `--start` (no auxiliary
stage), `--set graph_token=none` (no graph), `--set texts=shuffled` (texts of other items).
"""


def render(records: Records, comparisons: Comparisons) -> str:
    """The whole document."""
    study = Study.read([*minimum(), *queue()], records)
    sources = Sources(study, RankMetrics(records), comparisons)
    parts = [_HEAD, *status(study, minimum()), *_targets(sources)]
    for dataset in AMAZON:
        parts += _sequences(sources, dataset)
    parts += _clicks(sources)
    return "\n".join([*parts, _DECODER, *not_run(study)]).rstrip() + "\n"


def _targets(sources: Sources) -> Iterator[str]:
    yield "## Questions\n"
    rows: list[list[str]] = []
    for dataset in AMAZON:
        rows += [[dataset, f"more than `{base}` alone", *_gain(sources, dataset, base)] for base in BASES]
        rows.append([dataset, "more than shuffled texts, beyond chance", *_beyond_shuffled(sources, dataset)])
    yield from table(["data set", f"`{MODEL}` has, in {title(JUDGED)}", "ours", ""], rows)


def _gain(sources: Sources, dataset: str, base: str) -> tuple[str, str]:
    groups = (
        sources.study.group(dataset, MODEL, _PLUGGED[base]),
        sources.study.group(dataset, base, "plain"),
    )
    ours, theirs = (group.mean(JUDGED) for group in groups)
    if ours is None or not theirs:
        return NOT_RUN, NOT_RUN
    return f"{ours / theirs - 1:+.1%} ({theirs:.4f} to {ours:.4f})", verdict(is_reached=ours > theirs)


def _beyond_shuffled(sources: Sources, dataset: str) -> tuple[str, str]:
    row = (MODEL, "shuffled")
    test = _beside(sources).tests(dataset, [row]).get(row)
    if test is None:
        return NOT_RUN, NOT_RUN
    return f"{test.difference:+.4f}{test.mark}", verdict(is_reached=test.difference > 0 and bool(test.mark))


def _beside(sources: Sources) -> Beside:
    return Beside(sources, _TEXT, f"`{MODEL}`", METRICS, JUDGED, _name)


def _sequences(sources: Sources, dataset: str) -> Iterator[str]:
    head, is_run = data_set(sources.study, dataset, find_dataset(dataset).texts)
    yield from head
    if not is_run:
        return
    yield from _beside(sources).table(dataset, _PLAIN)
    yield "### Texts as frozen vectors\n"
    yield from _beside(sources).table(dataset, [*_READ, *((MODEL, f"text-{v}") for v in ON_OTHER_BASES)])
    yield "### Texts for cold and rare items only\n"
    yield from _hybrid(sources.study, dataset)
    if gains := list(gain_table(sources.study, dataset)):
        yield "### What texts add, by how often an item or a user was seen\n"
        yield from gains


def _hybrid(study: Study, dataset: str) -> Iterator[str]:
    """Thresholds by validation, seed 0; the one that it chooses is bold."""
    metric = find_dataset(dataset).monitor
    labels = {"all items": "text"} | {f"at most {m} sessions": f"text-{rare(m)}" for m in THRESHOLDS}
    records = {name: study.group(dataset, MODEL, label).records for name, label in labels.items()}
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
    rows: list[list[str]] = []
    for model in (*BASES, *OTHERS, *BESIDE):
        group = sources.study.group(SLICE.name, model)
        theirs = " / ".join(f"{value:.4f}" for value in _PUBLISHED.get(model, ()))
        rows.append([f"`{model}`", *(group.cell(metric) for metric in _CLICKED), theirs])
    if is_run:
        yield from table(["model", *map(title, _CLICKED), "published HR / MRR / NDCG @10"], rows)


def _name(row: Row) -> str:
    model, label = row
    form, _, variant = label.partition("-")
    if variant.startswith("on-"):
        return f"`{model}` {variant.replace('-', ' ')}"
    words = {"plain": "", "text": " + text" if model != MODEL else ""}
    shown = words.get(form, f", {form} vectors")
    return f"`{model}`{shown}{f', {variant}' if variant else ''}"
