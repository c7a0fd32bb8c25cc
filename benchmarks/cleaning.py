"""What cleaning takes out of real descriptions, what it keeps, its speed, and how good its token counts are.

Protocol, on the descriptions of amazon18-office:

* tokens: by SmolLM2's tokenizer, of descriptions as stored, cleaned, and cut to the default budget.
* kept facts: of a seeded sample, the facts of the raw visible text (tags, scripts and style sheets taken out
  by the standard library's parser, style rules in plain text by a pattern) that the result still holds.
  A fact is a number with its unit, the item's brand, a colour or a material, once per description whatever
  its case; it is kept if the same words stand in the cleaned text, or in a cut one's ``attributes`` line.
  The patterns are this file's own: cleaning decides by others.
* speed: against the standard library's HTML parser, which takes out tags and nothing else.
"""

import argparse
import random
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
from common import compare, record

from llm_jobs.catalog import find_prompt
from llm_jobs.clean import CleanedText, clean_text
from llm_jobs.entity_fields import entity_fields
from llm_jobs.models import find_model
from llm_jobs.prompt import DEFAULT_LIMITS
from llm_jobs.token_estimate import approximate_tokens
from llm_jobs.weights import locate_tokenizer

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
BUDGET = DEFAULT_LIMITS["description"]
WHOLE = 10**9
SEED = 20240229

NUMBERS = re.compile(
    r"(?<![\w.])\d[\d.,/-]*\s?-?(?:inch(?:es)?|in\b|\"|feet|ft|cm|mm|oz|ounces?|ml|lbs?|pounds?|grams?|kg|sheets?|pages?|"
    r"packs?|count|pieces?|labels?|colors?|watts?|volts?|dpi|gb|mb|ghz|years?)",
    re.IGNORECASE,
)
COLOURS = re.compile(
    r"\b(?:black|white|red|blue|green|yellow|orange|purple|pink|brown|gr[ae]y|silver|gold|beige|ivory|navy|clear)\b",
    re.IGNORECASE,
)
MATERIALS = re.compile(
    r"\b(?:steel|metal|plastic|vinyl|leather|wood|wooden|bamboo|rubber|paper|cardboard|kraft|cotton|nylon|polyester|"
    r"polypropylene|glass|foam|mesh|acrylic|aluminum|felt|cork)\b",
    re.IGNORECASE,
)  # fmt: skip
STYLE_RULE = re.compile(r"[.#\w][\w.# -]{0,40}\{[^{}]*:[^{}]*\}")


class VisibleText(HTMLParser):
    """Collects the text outside of tags, scripts and style sheets."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 - the parser's signature
        """Text inside scripts and style sheets is not visible."""
        self._hidden += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        """Text after them is."""
        self._hidden -= tag in ("script", "style") and self._hidden > 0

    def handle_data(self, data: str) -> None:
        """Keep what is visible."""
        if not self._hidden:
            self.parts.append(data)


def visible_text(raw: str) -> str:
    """What a reader of the page would see."""
    parser = VisibleText()
    parser.feed(raw)
    parser.close()
    return STYLE_RULE.sub(" ", " ".join(parser.parts))


def facts_of(text: str, brand: str) -> set[tuple[str, str]]:
    """(kind, words) of every fact that a text states."""
    found = {("number", _plain(match)) for match in NUMBERS.findall(text)}
    found |= {("colour", _plain(match)) for match in COLOURS.findall(text)}
    found |= {("material", _plain(match)) for match in MATERIALS.findall(text)}
    return found | ({("brand", _plain(brand))} if brand and _plain(brand) in _plain(text) else set())


def kept_facts(rows: Sequence[dict[str, str]], shown: Callable[[dict[str, str]], str]) -> str:
    """Share of the facts that the shown text holds, in words, and up to eight of the others."""
    stated, kept, lost = Counter[str](), Counter[str](), list[str]()
    for row in rows:
        text = _plain(shown(row))
        for kind, words in sorted(facts_of(visible_text(row["description"]), row["brand"])):
            stated[kind] += 1
            kept[kind] += words in text
            lost += [words] if words not in text else []
    parts = [f"{kind} {kept[kind]:,} of {stated[kind]:,}" for kind in sorted(stated)]
    share = f"{kept.total() / stated.total():.2%} of {stated.total():,} ({', '.join(parts)})"
    return f"{share}; lost: {', '.join(lost[:8]) or 'none'}"


def estimate_errors(texts: Sequence[str], tokens: Sequence[int]) -> str:
    """Median and 95th percentile of the token estimate's error, beside four characters a token."""
    said: list[str] = []
    for estimate in (approximate_tokens, lambda text: len(text) / 4):
        errors = [(estimate(t) - n) / n for t, n in zip(texts, tokens, strict=True) if n]
        p95 = sorted(map(abs, errors))[int(0.95 * len(errors))]
        said.append(f"median {statistics.median(errors):+.1%}, 95th percentile {p95:.0%}")
    return f"{said[0]} (four characters a token: {said[1]})"


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def removed_by_kind(results: Sequence[CleanedText], num_chars: int) -> str:
    """Texts touched and share of the characters, by kind."""
    texts, chars = Counter[str](), Counter[str]()
    for result in results:
        for kind, count in result.removed.kinds:
            texts[kind] += 1
            chars[kind] += count
    return "; ".join(
        f"{kind}: {texts[kind]} texts, {chars[kind] / num_chars:.2%} of characters" for kind in sorted(texts)
    )


def run(sample_size: int, pairs: int) -> None:
    """Measure and record."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(locate_tokenizer(find_model("smollm2-135m", {})).folder)

    def tokens(texts: Sequence[str]) -> list[int]:
        return [len(ids) for ids in tokenizer(list(texts), add_special_tokens=False)["input_ids"]]

    items = pl.read_parquet(DATA / "amazon18-office" / "items.parquet").with_columns(
        pl.col("brand").fill_null("")
    )
    rows = items.filter(pl.col("description").is_not_null()).sort("item_id").to_dicts()
    raw = [row["description"] for row in rows]
    whole = [clean_text(text, WHOLE) for text in raw]
    cut = [clean_text(text, BUDGET) for text in raw]
    before, cleaned, shown = tokens(raw), tokens([r.text for r in whole]), tokens([r.text for r in cut])
    touched = [n for n, result in enumerate(whole) if result.removed.kinds]
    num_cut = sum(result.removed.cut is not None for result in cut)

    sample = random.Random(SEED).sample(rows, sample_size)  # noqa: S311 - a sample, no secret
    prompt = find_prompt("item_cot", None)

    def as_cleaned(row: dict[str, str]) -> str:
        return clean_text(row["description"], WHOLE).text

    def as_shown(row: dict[str, str]) -> str:
        fields = entity_fields(prompt, row).fields
        return f"{fields['description']} {fields.get('attributes') or ''}"

    def rate(work: Callable[[str], object]) -> Callable[[], float]:
        def measure() -> float:
            start = time.perf_counter()
            for text in raw:
                work(text)
            return len(raw) / (time.perf_counter() - start)

        return measure

    claim = compare(
        "cleaning and cutting a description",
        peer="html.parser of the standard library, tags only",
        unit="rows/s",
        ours=rate(lambda text: clean_text(text, BUDGET)),
        theirs=rate(visible_text),
        higher_is_better=True,
        pairs=pairs,
    )
    beauty = pl.read_parquet(DATA / "amazon14-beauty" / "items.parquet")["title"].drop_nulls().to_list()
    profiles = pl.read_parquet(DATA / "colakg-lastfm" / "items.parquet")["llm_profile"].drop_nulls().to_list()
    cleaned_texts = [result.text for result in whole]
    record(
        "cleaning",
        f"{len(raw):,} descriptions of amazon18-office, budget {BUDGET} tokens, tokens of SmolLM2; "
        f"facts on {sample_size} descriptions drawn with a fixed seed",
        [claim],
        packages=("polars", "transformers"),
        facts={
            "tokens": f"{sum(before):,} as stored, {sum(cleaned):,} cleaned, {sum(shown):,} cleaned and cut",
            "tokens of the longest": f"{max(before):,} as stored, {max(shown):,} cleaned and cut",
            "descriptions changed by cleaning": (
                f"{len(touched):,}, of {sum(before[n] for n in touched):,} tokens before and "
                f"{sum(cleaned[n] for n in touched):,} after"
            ),
            "descriptions cut": num_cut,
            "removed": removed_by_kind(whole, sum(map(len, raw))),
            "facts kept by cleaning": kept_facts(sample, as_cleaned),
            "facts kept by cleaning and the cut": kept_facts(sample, as_shown),
            "facts kept by cleaning, all descriptions": kept_facts(rows, as_cleaned),
            "token estimate, descriptions": estimate_errors(cleaned_texts, cleaned),
            "token estimate, beauty titles": estimate_errors(beauty, tokens(beauty)),
            "token estimate, artist profiles": estimate_errors(profiles, tokens(profiles)),
        },
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=400)
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    run(options.sample, options.pairs)
