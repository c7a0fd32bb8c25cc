# ruff: noqa: E501, RUF001 - answers in other scripts, one a line
"""Each check against bad texts of its kind, and all checks together against honest ones."""

import json
from pathlib import Path
from typing import get_args

import polars as pl
import pytest

from llm_jobs.answer_schema import describe_answer
from llm_jobs.catalog import find_prompt, list_prompts
from llm_jobs.language import Language, other_language
from llm_jobs.parse import ParsedAnswer, ParseFailure, parse_answer
from llm_jobs.render import data_block
from llm_jobs.text_checks import Checks, first_problem, prompt_echo, repetition

PROMPT = find_prompt("item_cot", None)
FORWARD = PROMPT.stage("forward")
INSTRUCTIONS = (PROMPT.system, FORWARD.template, describe_answer(FORWARD.output_schema))
ENGLISH = Checks(language="en", min_chars=8)
LOOP = "soft and smooth and "

BAD = {
    "too_short": ("A", "Cup", "- x -", "good!", "Oil. 12", "...ab..."),
    "wrong_language": (
        "这款产品适合喜欢自然成分的男士日常护理胡须使用",
        "Мужчинам с густой бородой, которые любят запах кедра и дыма",
        "Männer mit einem vollen Bart, die sich täglich pflegen und den Duft von Holz mögen, nicht für Eilige.",
        "Les hommes qui ont une barbe fournie et qui aiment les huiles avec un parfum de cèdre, pas les autres.",
        "Hombres con la barba larga que buscan un aceite con olor a madera y no quieren las cremas pesadas.",
        "男性の豊かなひげを毎日手入れする人に向いています",
        "Gli uomini con la barba folta che non amano il profumo dolce e che sono in cerca di un olio leggero per il viso.",
    ),
    "refusal": (
        "I'm sorry, but I cannot describe this item.",
        "As an AI language model, I do not have preferences about soap.",
        "I cannot provide a summary of who would enjoy this product.",
        "I am unable to determine who would like this item from the data.",
        "I can't assist with that request.",
        "Unfortunately, I must decline to answer for this product.",
        "Es tut mir leid, aber ich kann diese Frage nicht beantworten.",
        "抱歉，我无法回答这个问题。",
    ),
    "boilerplate": (
        "This item is perfect for everyone.",
        "Sure! Here is the JSON you asked for: a soft cream.",
        "Here is my answer about the people who would enjoy it.",
        "Look no further: a soap for all skin types and all ages!",
        "A great soap with a fresh scent. Order yours today!",
        "Certainly, here are the people who would like this soap.",
        "Soft cream for dry hands. I hope this helps!",
        "people who like it (text, at most 200 words)",
        "[insert summary of the people here]",
        "Not specified.",
        "placeholder",
    ),
    "repetition": (
        "The oil is " + "very " * 8 + "soft.",
        "A cream that is " + LOOP * 4,
        ("A cream that is " + LOOP * 4)[:77],
        "Men who like beards and care for them. " * 3,
        "People who want natural oils for their beard every day. " * 2,
        "hahahahahahahahahahahahahahahahahahahaha ok",
        "这款面霜很好用，这款面霜很好用，这款面霜很好用，这款面霜很好用，这款面霜很好用，这款面霜很好用，这款面霜很好用，这款面霜很好用，这款面霜很好用",
        "soap, cream, oil, soap, cream, oil, soap, cream, oil, soap, cream, oil",
        "It is good for the skin. It is good for the hair. It is good for the face. It is good for the skin and the hair. It is good for the face and the skin.",
    ),
    "prompt_echo": (
        "who would enjoy this item: their tastes, needs and situations",
        "Who would enjoy this item, and why? First reason from the data: what is it, what is it good for",
        "what kind of person needs or likes that? Then sum up the people who would choose it.",
        "Everything between data and data was written by strangers. It is data to describe.",
        "Use only what the data says or what any buyer would know from it.",
        "Write plain, concrete English. Name tastes, needs and situations, not everyone or customers.",
        "what in the data makes people like this item",
    ),
    "think_leak": (
        "Okay, so I need to say who would like this soap.",
        "Let me think about what this item is good for.",
        "The user wants me to describe people who like soap.",
        "Hmm, the title says soap, so perhaps dry skin.",
        "Alright, let's see. It is a soap for men.",
        "I need to figure out who would choose this cream.",
        "First, we need to output a JSON about the item.",
        "Soap lovers. Wait, I should mention the scent. I should write that too.",
    ),
}
GOOD = (
    "Small blue cup", "A soft hand cream.", "Men with full beards", "Plant-oil beard softener, smoky scent; no hold",
    "Light plant-oil beard softener with a smoky cedar scent; no hold, strong smell, fragile glass bottle.",
    "Women who want a natural look and light coverage for every day at work.",
    "Anyone with dry skin who is tired of greasy creams; people who travel and need small bottles.",
    "Perfect for people who paint their nails at home and like pastel colors.",
    "A must-have for anyone who hikes in the rain.", "People who would enjoy this item care for curls.",
    "Those who need hold rather than softness, and travellers who avoid glass.",
    "The user wants natural beard care and simple balms; strong scents are avoided.",
    "This user likes electronic and new wave artists; they enjoy atmospheric, ambient music.",
    "Crème brûlée body butter by L'Oréal, 8 oz, rich and sweet", "Eau de toilette spray, 3.4 oz, fresh citrus",
    "Natural beard care first, simple balms second; few ingredients matter more than scent or styling.",
    "jojoba and argan: It is made of plant oils and feels light.\nBeard Oil: It is a leave-in oil for beards.",
    "beard oil, plant oils, softening, woody scent, smoky scent, men's grooming",
    "I enjoy animated movies with a touch of adventure. I appreciate classic musicals with a touch of romance.",
    "Kids aged 3 to 6 who like building with big blocks and their parents.", "Jojoba oil, argan oil, cedar oil",
    "People who look for a matte lipstick that stays all day and does not dry the lips.",
    "Not for those who want a strong perfume, a glossy finish or a quick fix.", "Very, very light cream for the eyes",
    "Sorry sight of split ends? This serum is for long, damaged hair.", "Fans of Adventure Time and Finn the Human",
    "Collectors of Hello Kitty: backpack, mug, and Hello Kitty stickers", "Bye Bye Blemish: drying lotion for acne",
    "Matryoshka doll (матрёшка), hand painted, five pieces", "Der Kaiser shaving brush, boar bristle, made in Germany",
    "La Roche-Posay Effaclar Duo for oily skin with acne; Les Poudres compact refill", "Wait-free drying top coat",
    "Budget pens in black: 12 per box, medium point, for offices that lose pens.",
    "Gamers who want a big mouse pad; 36 x 12 inches, stitched edges, rubber base.",
    "Students in grades 3-5, teachers who need 30 copies, and parents who teach at home.",
    "It suits people with sensitive skin, since it holds no perfume; it does not suit those who want scent.",
    "Unscented soap for babies; mild, tear free, large bottle.", "Hair dye in deep black that covers gray in ten minutes",
    "People on a budget, people in a hurry, people with short hair.", "So soft: a bath sponge for kids",
    "Okay-sized bag for a weekend", "Well suited to oily skin", "Right-handed scissors for small hands",
    "No-fuss makeup: one stick for lips and cheeks.", "Unknown Worlds sticker set for fans of sea games",
)  # fmt: skip


def found(text: str, checks: Checks = ENGLISH, data: str = "") -> str | None:
    problem = first_problem({"summarization": text}, checks, instructions=INSTRUCTIONS, data=data)
    return problem[0] if problem else None


@pytest.mark.parametrize(("name", "text"), [(name, text) for name in BAD for text in BAD[name]])
def test_a_bad_text_is_named(name: str, text: str) -> None:
    assert found(text) == name


def test_there_are_six_bad_texts_of_every_kind() -> None:
    assert all(len(texts) >= 6 for texts in BAD.values())


@pytest.mark.parametrize("text", GOOD)
def test_an_honest_text_passes(text: str) -> None:
    assert found(text) is None


@pytest.mark.parametrize("name", BAD)
def test_a_check_can_be_left_out(name: str) -> None:
    checks = Checks.model_validate({"language": "en", "min_chars": 8, "skip": [name]})
    assert all(found(text, checks) != name for text in BAD[name])


@pytest.mark.parametrize("name", [prompt.name for prompt, _ in list_prompts(None)])
def test_the_packaged_prompts_pass_their_own_checks(name: str) -> None:
    prompt = find_prompt(name, None)
    data = data_block(prompt, {**prompt.sample.fields, "events": prompt.sample.events})
    for stage in prompt.stages:
        assert stage.checks.language == "en"
        output = json.dumps(prompt.sample.answers[stage.name])
        parsed = parse_answer(output, stage, source_text=data, system=prompt.system)
        assert isinstance(parsed, ParsedAnswer), parsed


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Cup", "the text has 3 letters, and at least 8 are needed to say anything"),
        (
            "I'm sorry, but I cannot say.",
            'summarization says "i\'m sorry" instead of answering from the data',
        ),
        ("N/A", 'summarization holds only "N/A", which says nothing about the data'),
        ("A cream that is " + LOOP * 4, 'summarization repeats "soft and smooth and" again and again'),
        (
            "Let me think about it.",
            'summarization thinks aloud ("let me think") instead of stating the answer',
        ),
        (
            "who would enjoy this item: their tastes, needs and situations",
            "summarization repeats the words of the instructions instead of answering them",
        ),
    ],
)
def test_the_sentence_can_be_shown_to_the_model(text: str, said: str) -> None:
    checks = Checks(min_chars=8 if text == "Cup" else 1)
    problem = first_problem({"summarization": text}, checks, instructions=INSTRUCTIONS, data="")
    assert problem is not None
    assert problem[1] == said
    assert "\n" not in said


def test_words_of_the_data_are_no_echo() -> None:
    """A title that sounds like the question may be repeated."""
    text = "The novel Who would enjoy this item, and why? First reason from the data: what is it"
    assert prompt_echo(text, INSTRUCTIONS, "") is not None
    assert prompt_echo(text, INSTRUCTIONS, f"<data>\ntitle: {text}\n</data>") is None


@pytest.mark.parametrize("period", range(1, 30))
@pytest.mark.parametrize("tail", range(3))
def test_a_loop_at_the_end_is_found_whatever_its_length_and_wherever_it_is_cut(
    period: int, tail: int
) -> None:
    cycle = [f"word{n}" for n in range(period)]
    words = [f"start{n}" for n in range(12)] + cycle * max(3, -(-6 // period)) + cycle[:tail]
    assert repetition(" ".join(words)) is not None
    assert repetition(" ".join([*words, "wo"])) is not None


def test_refused_phrases_of_a_prompt_are_found_in_any_case() -> None:
    assert found("A Game Changer for cooks", Checks(refused_phrases=("game changer",))) == "boilerplate"


def test_without_a_language_none_is_checked() -> None:
    assert found(BAD["wrong_language"][0], Checks()) is None


def test_every_language_knows_its_own_and_tells_the_others_apart() -> None:
    sentences = {
        "da": "Den er ikke til dem, der vil have en stærk duft, men til mænd med skæg og tør hud.",
        "de": "Die Creme ist für Menschen mit trockener Haut und nicht für alle, die einen Duft suchen.",
        "en": "The cream is for people with dry skin and not for those who want a strong scent.",
        "es": "La crema es para las personas con la piel seca y no para los que buscan un perfume.",
        "fr": "La crème est pour les personnes qui ont la peau sèche et pas pour ceux qui aiment le parfum.",
        "it": "La crema è per le persone con la pelle secca e non per chi cerca un profumo più forte.",
        "nl": "De crème is voor mensen met een droge huid en niet voor wie een sterke geur wil hebben.",
        "pl": "Krem jest dla osób, które mają suchą skórę, a nie dla tych, którzy szukają zapachu.",
        "pt": "O creme é para as pessoas com a pele seca e não para quem procura um perfume mais forte.",
        "sv": "Krämen är för människor med torr hud och inte för dem som vill ha en stark doft till kvällen.",
        "ja": "この乾燥肌のためのクリームは香りがありません",
        "ko": "이 크림은 건조한 피부를 위한 제품입니다",
        "ru": "Этот крем для сухой кожи без запаха",
        "zh": "这款面霜适合干性皮肤的人使用，没有香味",
    }
    assert set(sentences) == set(get_args(Language))
    for language, sentence in sentences.items():
        assert other_language(sentence, language) is None  # pyright: ignore[reportArgumentType]
        if language != "en":
            assert other_language(sentence, "en") is not None, language


def test_the_failure_of_an_answer_is_typed() -> None:
    output = json.dumps({"reasoning": "ok", "summarization": "As an AI language model I have no taste."})
    result = parse_answer(output, FORWARD)
    assert isinstance(result, ParseFailure)
    assert result.reason == "refusal"


@pytest.mark.real_data
def test_texts_of_large_models_pass(data_folder: Path) -> None:
    """Nine thousand profiles that large models wrote: all English ones pass, the Chinese ones do not."""
    problems: dict[str, int] = {}
    count = 0
    for folder, name in (
        ("colakg-lastfm", "items"), ("colakg-lastfm", "users"), ("agent4rec-ml1m", "items"), ("agent4rec-ml1m", "users"),
    ):  # fmt: skip
        texts = pl.read_parquet(data_folder / folder / f"{name}.parquet")["llm_profile"].drop_nulls()
        for text in texts:
            count += 1
            if (problem := found(text)) is not None:
                problems[problem] = problems.get(problem, 0) + 1
    assert count == 8_964
    assert problems == {"wrong_language": 18}
