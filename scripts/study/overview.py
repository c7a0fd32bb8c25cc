"""docs/results/README.md: for whoever comes new, what was found, which model to use when, and what it costs.

A row of its tables is the best of its kind by validation; the test part decides nothing. Kinds are told apart
by what a model reads. Records of earlier code, and forms whose texts saw validation events, are left out.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from scripts.study import advice
from scripts.study.comparisons import Comparisons
from scripts.study.datasets import DATASETS, find_dataset
from scripts.study.groups import NOT_RUN, SEEDS, Study
from scripts.study.kinds import (
    GRAPH,
    GRAPH_TEXT,
    HISTORY,
    HISTORY_TEXT,
    Against,
    Chosen,
    against_controls,
    best_of_kinds,
)
from scripts.study.overview_costs import costs
from scripts.study.overview_data import data_table
from scripts.study.records import Records
from scripts.study.runs import Run
from scripts.study.tables import interval, stopped, table, title

_HEAD: Final = f"""# What was measured

Written by `make docs` from the records in this folder: do not edit it by hand.

One page for whoever comes new. Each table below has the best model of every kind, chosen by its validation
part among the runs that are there; the test part chose nothing. What reads the order of events, `counting`
among it, is asked with the validation part's events too; all else knows the training part alone, so where the
newest event tells most it starts behind. {SEEDS} The documents behind it:

* [core](core.md): graph models with and without texts, SASRec, and the controls; does text help?
* [recmind](recmind.md): text aligned with the graph and let in by gates, with its parts taken out one by one
* [lghrec](lghrec.md): semantic IDs and a contrast that a policy steers, on nine backbones
* [isrf](isrf.md): interests of users and of similar users; which of the two helps, and where
* [llmgr](llmgr.md): models of sessions, and the small model that a tuned decoder is served by
* [sequential](sequential.md): six older models of sequences, four of them beside published figures
* [speed](speed.md): ratios against named peers, and the main path on public data, step by step
* [faults](faults.md), [growth](growth.md): what kills and sixty nights leave behind
"""
_FOUND: Final = """## What was found

*Of*: how many models and forms of the kind were run. Differences are to the best, by validation, that only
counts and reads no more, with their 95 % intervals; marks as above.
"""


def render(records: Records, comparisons: Comparisons, runs: Sequence[Run]) -> str:
    """The whole document.

    Args:
        records: What was run.
        comparisons: Tests.
        runs: All that is declared by any study.
    """
    study = Study.read(runs, records)
    best = {dataset: best_of_kinds(study, dataset) for dataset in DATASETS}
    tests = {
        dataset: against_controls(comparisons, found, find_dataset(dataset).metrics[1])
        for dataset, found in best.items()
    }
    parts = [_HEAD, *advice.when(best, tests), *data_table(records), *costs(best, records), _FOUND]
    for dataset, chosen in best.items():
        parts += _dataset(comparisons, dataset, chosen, tests[dataset])
    return "\n".join([*parts, *_progress(study)]).rstrip() + "\n"


def _dataset(
    comparisons: Comparisons, dataset: str, chosen: Mapping[str, Chosen], tests: Mapping[str, Against]
) -> Iterator[str]:
    yield f"### {dataset}\n"
    if not chosen:
        yield f"{NOT_RUN.capitalize()}.\n"
        return
    first, second = find_dataset(dataset).metrics
    rows: list[list[str]] = []
    for kind, best in chosen.items():
        name = ", ".join(filter(None, (best.name, stopped(best.group.records))))
        cells = [kind, name, f"{best.num_candidates}", best.group.cell(first), best.group.cell(second)]
        rare = best.group.stratum(*advice.RARE, first)
        rows.append([*cells, _minus(tests.get(kind)), "" if rare is None else f"{rare:.4f}"])
    columns = ["it reads", "best by validation", "of", title(first), title(second)]
    columns += [f"{title(second)} minus what only counts", f"{title(first)}, items of 1-9 users"]
    yield from table(columns, rows)
    yield from _text_gain(comparisons, dataset, chosen, second)


def _minus(found: Against | None) -> str:
    return f"{interval(found.test)}{found.test.mark} against {found.control.name}" if found else ""


def _text_gain(
    comparisons: Comparisons, dataset: str, chosen: Mapping[str, Chosen], metric: str
) -> Iterator[str]:
    """Whether the best that reads texts has more than the best of its kind without."""
    for plain, text in ((GRAPH, GRAPH_TEXT), (HISTORY, HISTORY_TEXT)):
        if plain in chosen and text in chosen:
            ours, theirs = chosen[text], chosen[plain]
            test = comparisons.family({dataset: (ours.group.records, theirs.group.records)}, metric)[dataset]
            better = "better" if test.difference > 0 else "worse"
            verdict = f"{better} beyond chance" if test.mark else "no difference beyond chance"
            yield f"{ours.name} minus {theirs.name}: {title(metric)} {interval(test)}, {verdict}.\n"


def _progress(study: Study) -> Iterator[str]:
    """How much of what is declared stands on the present code."""
    yield "## How far the runs are\n"
    rows: list[list[str]] = []
    for dataset in study.datasets():
        states = [s.state for s in study.standings if s.run.dataset == dataset]
        rows.append([dataset, f"{states.count('current')}", f"{len(states)}"])
    yield from table(["data set", "run", "declared"], rows)
    yield "`make results` goes on with them."
