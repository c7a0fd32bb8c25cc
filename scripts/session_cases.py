"""Write a page of sessions with cold targets, from a saved llmgr and the release it was fitted on.

    python scripts/session_cases.py models/llmgr --project shop --item-texts item_text --output page.md

The model is one that reads texts of items, as `featurestore train llmgr --features FEATURE` saves it. The
page quotes texts of the data: keep it where the data may be.
"""

import sys
from pathlib import Path
from typing import Final

from featurestore import columns as c
from featurestore.errors import UsageError
from featurestore.reader import Release, open_store
from recommender.data import load_training_data
from recommender.evaluation.session_cases import ColdEffect, cold_effect
from recommender.evaluation.session_page import render_sessions
from recommender.evaluation.tasks import load_task
from recommender.features import NodeFeatures, entity_features
from recommender.saved import SavedModel, check_binding, load_model
from recommender.sequence.model import SequenceModel
from scripts.study.command_line import add_output_option, exit_code, new_parser, put_out

TITLE: Final = "What drove sessions to cold items"


def session_cases(
    folder: Path,
    release: Release,
    *,
    item_texts: str | None = None,
    max_degree: int = 10,
    num_cases: int = 5,
) -> str:
    """The page of one saved model.

    Args:
        folder: Of the model.
        release: That it was fitted on.
        item_texts: Feature whose texts are shown; titles if None.
        max_degree: Training sessions that a cold item has at most.
        num_cases: Cases at most.

    Raises:
        StoreError: If there is no such model, or it was fitted on another release.
        UsageError: If it is no llmgr, or reads no texts of items.
    """
    saved = load_model(folder)
    check_binding(saved.info, release, folder)
    if not isinstance(saved.model, SequenceModel) or saved.info.feature is None:
        raise UsageError(
            f"{folder} holds {saved.info.model}, which reads no sessions of items with texts.",
            hint="Train one with: featurestore train llmgr --features FEATURE",
        )
    task = load_task(release)
    effect = cold_effect(
        saved.model,
        load_training_data(release),
        _features(saved, release, saved.info.feature),
        (task.histories, task.held_out),
        max_degree=max_degree,
        num_cases=num_cases,
    )
    source = (
        "Written by `scripts/session_cases.py`: do not edit it by hand. "
        f"`{saved.info.model}`, seed {saved.info.seed}, epoch {saved.info.best_epoch}; vectors of items: "
        f"{saved.info.feature}."
    )
    return render_sessions(effect, _texts(release, effect, item_texts), title=TITLE, source=source)


def _features(saved: SavedModel, release: Release, feature: str) -> NodeFeatures:
    name, _, view = feature.partition(".")
    info = saved.info
    items = entity_features(
        release,
        "item",
        name,
        view=view or None,
        fallback=info.fallback,
        control=info.control,
        seed=info.seed,
        optimistic_validation=info.optimistic_validation,
    )
    return NodeFeatures(items)


def _texts(release: Release, effect: ColdEffect, feature: str | None) -> dict[int, str]:
    """Row → text of every item on the page; its id where it has none."""
    rows = {case.item for case in effect.cases} | {k.item for case in effect.cases for k in case.clicks}
    ids = release.id_map("item").ids
    if feature is None:
        table = release.items()
        named = [c.ITEM_ID, c.TITLE if c.TITLE in table.columns else c.ITEM_ID]
        known = dict(zip(*(table[name] for name in named), strict=True))
    else:
        known = dict(release.texts(feature, allow_parts=c.PARTS).select(c.ID, c.TEXT).iter_rows())
    return {row: known.get(ids[row]) or ids[row] for row in sorted(rows)}


def main() -> int:
    """Parse options, write the page."""
    parser = new_parser(__doc__)
    parser.add_argument("model", type=Path, help="folder of a saved llmgr")
    parser.add_argument("--project", type=Path, default=Path(), help="folder of the project")
    parser.add_argument("--release", default="production", help="number or alias")
    parser.add_argument("--item-texts", metavar="FEATURE", help="texts of items to show; titles without")
    parser.add_argument("--max-degree", type=int, default=10, help="training sessions of a cold item at most")
    parser.add_argument("--cases", type=int, default=5)
    add_output_option(parser)
    options = parser.parse_args()

    def work() -> None:
        release = open_store(str(options.project / "store")).release(options.release)
        page = session_cases(
            options.model,
            release,
            item_texts=options.item_texts,
            max_degree=options.max_degree,
            num_cases=options.cases,
        )
        put_out(page, options.output)

    return exit_code(work)


if __name__ == "__main__":
    sys.exit(main())
