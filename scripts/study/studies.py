"""The studies: which runs each declares, and the document that shows them. Runs that two declare are one."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from scripts.study import (
    core,
    document,
    isrf,
    isrf_document,
    lghrec,
    lghrec_document,
    llmgr,
    llmgr_document,
    overview,
    recmind,
    recmind_document,
    sequential,
    sequential_document,
)
from scripts.study.comparisons import Comparisons
from scripts.study.records import Records
from scripts.study.runs import Run


@dataclass(frozen=True, slots=True)
class DeclaredStudy:
    """A study.

    Attributes:
        minimum: What its results stand on, those runs that tell most first.
        queue: What would tell more.
        render: Makes the whole document.
    """

    minimum: Callable[[], list[Run]]
    queue: Callable[[], list[Run]]
    render: Callable[[Records, Comparisons], str]


STUDIES: Final = {
    "core": DeclaredStudy(core.minimum, core.queue, document.render),
    "recmind": DeclaredStudy(recmind.minimum, recmind.queue, recmind_document.render),
    "lghrec": DeclaredStudy(lghrec.minimum, lghrec.queue, lghrec_document.render),
    "isrf": DeclaredStudy(isrf.minimum, isrf.queue, isrf_document.render),
    "llmgr": DeclaredStudy(llmgr.minimum, llmgr.queue, llmgr_document.render),
    "sequential": DeclaredStudy(sequential.minimum, sequential.queue, sequential_document.render),
}
"""Name of the document → study."""
OVERVIEW: Final = "README"


def minimum(names: Iterable[str] = STUDIES) -> list[Run]:
    """What the results of some studies stand on, in their order."""
    return _each_once(run for name in names for run in STUDIES[name].minimum())


def declared(names: Iterable[str] = STUDIES) -> list[Run]:
    """Every run of some studies, what is needed first."""
    chosen = list(names)
    return _each_once([*minimum(chosen), *(run for name in chosen for run in STUDIES[name].queue())])


def render(records: Records, comparisons: Comparisons) -> dict[str, str]:
    """Name → document: one of each study, and the page before them."""
    found = {name: study.render(records, comparisons) for name, study in STUDIES.items()}
    return found | {OVERVIEW: overview.render(records, comparisons, declared())}


def write(records: Records) -> None:
    """Write all documents beside the folder of records, and into it the tests that they show."""
    with records.alone():
        comparisons = Comparisons(records)
        documents = render(records, comparisons)
        comparisons.save()
        for name, text in documents.items():
            (records.folder.parent / f"{name}.md").write_text(text, encoding="utf-8")


def _each_once(runs: Iterable[Run]) -> list[Run]:
    """Runs in order, without those of a name that came before."""
    found: dict[str, Run] = {}
    for run in runs:
        found.setdefault(run.name, run)
    return list(found.values())
