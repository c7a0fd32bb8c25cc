"""Write a page of hits that group interests brought, from a saved ISRF and the release it was fitted on.

    python scripts/case_study.py models/isrf --project shop --item-texts llm_profile --user-texts llm_taste

The model is one of the direct task, as `featurestore train isrf` saves it. Texts are shown to people and read
by no model here, so texts that were made from held-out events are shown too.
"""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from featurestore import columns as c
from featurestore.reader import Release, open_store
from featurestore.spec import Entity
from recommender.data import load_training_data
from recommender.evaluation.case_page import Names, render_cases
from recommender.evaluation.case_study import GroupEffect, group_effect
from recommender.evaluation.tasks import load_task
from recommender.saved import check_binding, load_model
from scripts.study.command_line import add_output_option, exit_code, new_parser, positive, put_out

TITLE: Final = "Which neighbours brought a hit"


def case_study(
    folder: Path,
    release: Release,
    *,
    title: str = TITLE,
    item_texts: str | None = None,
    user_texts: str | None = None,
    num_cases: int = 5,
) -> str:
    """The page of one saved model.

    Args:
        folder: Of the model.
        release: That it was fitted on.
        title: Of the page.
        item_texts: Feature whose texts are shown of items; none are if None.
        user_texts: The same of users.
        num_cases: Cases at most.

    Raises:
        StoreError: If there is no such model, or it was fitted on another release.
        UsageError: If no neighbour enters its scores.
    """
    saved = load_model(folder)
    check_binding(saved.info, release, folder)
    data, task = load_training_data(release), load_task(release)
    effect = group_effect(saved.model, data, task.held_out, num_cases=num_cases)
    feature = saved.info.feature or "none"
    source = (
        "Written by `scripts/case_study.py`: do not edit it by hand. "
        f"`{saved.info.model}`, seed {saved.info.seed}, epoch {saved.info.best_epoch}; vectors of items: "
        f"{feature}, of users: {saved.info.user_feature or 'the means of their items'}."
    )
    names = _names(release, effect, item_texts, user_texts)
    return render_cases(effect, names, title=title, source=source)


def _names(release: Release, effect: GroupEffect, item_texts: str | None, user_texts: str | None) -> Names:
    users = {case.user for case in effect.cases} | {n.user for case in effect.cases for n in case.best}
    items = {row for case in effect.cases for row in (case.item, case.rival)}
    table = release.items()
    titles = dict(table.select(c.ITEM_ID, c.TITLE).iter_rows()) if c.TITLE in table.columns else {}
    user_ids, item_ids = _ids(release, "user", users), _ids(release, "item", items)
    return Names(
        users=user_ids,
        items={row: titles.get(name) or name for row, name in item_ids.items()},
        user_texts=_texts(release, user_texts, user_ids),
        item_texts=_texts(release, item_texts, item_ids),
    )


def _ids(release: Release, entity: Entity, rows: Iterable[int]) -> dict[int, str]:
    ids: Sequence[str] = release.id_map(entity).ids
    return {row: ids[row] for row in sorted(rows)}


def _texts(release: Release, feature: str | None, ids: dict[int, str]) -> dict[int, str]:
    if feature is None:
        return {}
    found = dict(release.texts(feature, allow_parts=c.PARTS).select(c.ID, c.TEXT).iter_rows())
    return {row: found[name] for row, name in ids.items() if name in found}


def main() -> int:
    """Parse options, write the page."""
    parser = new_parser(__doc__)
    parser.add_argument("model", type=Path, help="folder of a saved model")
    parser.add_argument("--project", type=Path, default=Path(), help="folder of the project")
    parser.add_argument("--release", default="production", help="number or alias")
    parser.add_argument("--item-texts", metavar="FEATURE", help="texts of items to show")
    parser.add_argument("--user-texts", metavar="FEATURE", help="texts of users to show")
    parser.add_argument("--cases", type=positive, default=5, help="hits that are shown at most")
    parser.add_argument("--title", default=TITLE, help="heading of the page")
    add_output_option(parser)
    options = parser.parse_args()

    def work() -> None:
        release = open_store(str(options.project / "store")).release(options.release)
        page = case_study(
            options.model,
            release,
            title=options.title,
            item_texts=options.item_texts,
            user_texts=options.user_texts,
            num_cases=options.cases,
        )
        put_out(page, options.output)

    return exit_code(work)


if __name__ == "__main__":
    sys.exit(main())
