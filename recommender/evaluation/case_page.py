"""A page of cases: which neighbours brought a hit, in words that people can check."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from recommender.evaluation.case_study import Case, GroupEffect
from recommender.evaluation.page_text import escaped, shortened


@dataclass(frozen=True)
class Names:
    """How rows are written.

    Attributes:
        users: Row → external id.
        items: Row → title, or external id.
        user_texts: Row → what is said of a user; may lack some.
        item_texts: Row → what is said of an item; may lack some.
    """

    users: Mapping[int, str]
    items: Mapping[int, str]
    user_texts: Mapping[int, str]
    item_texts: Mapping[int, str]


def render_cases(effect: GroupEffect, names: Names, *, title: str, source: str) -> str:
    """The whole page, Markdown.

    Args:
        effect: What was found.
        names: Of all users and items in it.
        title: Heading.
        source: A sentence on which model and data it is about.
    """
    k = effect.cutoff
    counted = (
        f"Of {effect.num_pairs:,} test pairs, {effect.num_kept:,} are among the user's best {k} by "
        f"individual interest and with the group; the group brought {effect.num_brought:,} more and lost "
        f"{effect.num_lost:,}. Of those that it brought, {effect.num_by_neighbors:,} owe more to neighbours "
        f"than to the user's own group vector. Below: {len(effect.cases)} of them all, drawn at random.\n"
    )
    explained = (
        f"A lead is the score of the hit minus that of its rival, which stood at place {k} by individual "
        "interest. Each neighbour's part of it is a product of the model's vectors, and the parts add up. A "
        "hit may come in without passing its rival, where the group pushes others down.\n"
    )
    lines = [f"# {title}\n", f"{source}\n", counted, explained]
    for case in effect.cases:
        lines += _case(case, names, k)
    return "\n".join(lines).rstrip() + "\n"


def _case(case: Case, names: Names, cutoff: int) -> Iterator[str]:
    yield f"## {escaped(names.items[case.item])}, for user {escaped(names.users[case.user])}\n"
    yield from _quoted("The user", names.user_texts.get(case.user))
    yield from _quoted("The hit", names.item_texts.get(case.item))
    yield (
        f"Place {case.rank_before:,} by individual interest, {case.rank_after} with the group. Against "
        f"{escaped(names.items[case.rival])} (place {cutoff}) the lead was {case.lead_before:+.4f}; "
        f"the user's own group vector added {case.own_lead:+.4f}, {case.num_neighbors} neighbours "
        f"{case.neighbors_lead:+.4f}: {case.lead_after:+.4f} in all.\n"
    )
    yield "| neighbour | part of the lead | had the item | what is said of the neighbour |"
    yield "|---|---|---|---|"
    for neighbor in case.best:
        said = shortened(names.user_texts.get(neighbor.user, ""))
        had = "yes" if neighbor.had_it else "no"
        yield f"| {escaped(names.users[neighbor.user])} | {neighbor.lead:+.4f} | {had} | {said} |"
    yield ""


def _quoted(who: str, text: str | None) -> Iterator[str]:
    if text:
        yield f"{who}: *{shortened(text)}*\n"
