"""curate: every row ends as kept, repaired or rejected with a reason, and nothing straddles."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from ruamel.yaml import YAML

from factory.artifacts import Dataset, Rows, read_jsonl, write_jsonl
from factory.base import resolve
from factory.chat import FormatError
from factory.contracts import Message
from factory.errors import UsageError
from factory.examples import examples
from factory.questions import Question
from factory.rows.repair import mend
from factory.rows.similarity import Index, differ, likeness, read, similarity
from factory.rows.split import by_lineage
from factory.spec import Curate, Rule, Seed, Spec
from factory.stages import curate, gather
from factory.store import Stage, Store

RULES: TypeAdapter[tuple[Rule, ...]] = TypeAdapter(tuple[Rule, ...])
PERSONAS = Path(__file__).resolve().parent.parent / "personas"
TOPICS = [
    "boil an egg", "tie a bow tie", "fold a fitted sheet", "grow basil indoors", "fix a flat tire",
    "learn to whistle", "sharpen a kitchen knife", "remove candle wax", "train a puppy", "sew on a "
    "button", "write a cover letter", "clean an oven", "sleep on a plane", "calm a crying baby",
    "store fresh ginger", "descale a kettle", "paint a ceiling", "choose running shoes", "bake "
    "sourdough bread", "repair a zipper", "stop snoring", "plan a picnic", "read faster", "pack "
    "light", "water orchids", "wash wool", "park uphill", "save money", "meet neighbors", "hang a "
    "mirror", "juggle oranges", "quit smoking", "ripen avocados", "thaw chicken", "whip cream",
    "prune roses", "polish silver", "catch trout", "wrap presents", "age whisky",
]  # fmt: skip


class Format:
    """Counts a token per blank-separated word; everything is text to it."""

    controls = None

    def token_count(self, messages: list[Message]) -> int:
        return sum(len(message["content"].split()) for message in messages)

    def example(self, messages: list[Message]) -> None:
        if "\u2603" in messages[-1]["content"]:
            raise FormatError("it does not decode", where="test", got="a snowman")


BASE = SimpleNamespace(window=300, format=Format(), digest="base")


def quiet(**_: Any) -> None:
    """Progress that nobody watches."""


def pairs(count: int) -> list[dict[str, Any]]:
    """Good rows on different topics."""
    return [
        {
            "instruction": f"How do I {topic}?",
            "output": f"Take your time with it, friend. To {topic}, begin early and stay calm.",
        }
        for topic in TOPICS[:count]
    ]


def clean(
    folder: Path,
    values: list[Any],
    *,
    language: str = "en",
    rules: list[dict[str, Any]] | None = None,
    questions: tuple[str, ...] = (),
    seeds: tuple[Seed, ...] = (),
    random_seed: int = 17,
    prompt: str = "",
    base: Any = BASE,
    **config: Any,
) -> Dataset:
    """Gather and curate rows, for real."""
    (folder / "d.jsonl").write_text("".join(json.dumps(value) + "\n" for value in values))
    files = [gather.data_file("d.jsonl", folder)]
    store = Store(folder / "out")
    inputs: dict[str, Any] = {"name": "test", "seeds": seeds, "files": files}
    key = store.key(gather.STAGE, None, inputs)
    rows = store.find(gather.STAGE, key) or store.make(gather.STAGE, key, None, inputs, quiet)
    inputs = {
        "rows": rows,
        "language": language,
        "rules": RULES.validate_python(rules or []),
        "questions": tuple(Question(ask=ask) for ask in questions),
        "prompt": prompt,
        "base": base,
        "random_seed": random_seed,
        "review": {},
    }
    key = store.key(curate.STAGE, Curate(**config), inputs)
    return store.make(curate.STAGE, key, Curate(**config), inputs, quiet)


def ledger(data: Dataset) -> dict[str, dict[str, Any]]:
    return {line["id"]: line for line in read_jsonl(data.path / "ledger.jsonl")}


def kept(data: Dataset) -> dict[str, list[Message]]:
    splits = [data.split(name) for name in ("train", "validation", "test")]
    return {row["id"]: row["messages"] for rows in splits for row in rows}


def fate(folder: Path, value: Any, **options: Any) -> dict[str, Any]:
    """What becomes of one row among twelve good ones."""
    return ledger(clean(folder, [*pairs(12), value], **options))["d.jsonl:13"]


# --- single rows -------------------------------------------------------------------------------


def pair(output: str, instruction: str = "What is new in town today?") -> dict[str, str]:
    return {"instruction": instruction, "output": output}


@pytest.mark.parametrize(
    ("value", "reason", "part"),
    [
        (pair("  \n "), "empty_text", "turn 2 (assistant)"),
        (pair("Fine.", "\u200b"), "empty_text", "turn 1 (user)"),
        (pair("The caf\ufffd is open."), "mojibake", "character 8"),
        (pair("锟斤拷锟斤拷"), "mojibake", "lost"),
        (pair("\x01\x02\x03\x04\x05 hi"), "control_characters", "5 of 8"),
        (pair("As an AI language model, I cannot know."), "boilerplate", "As an AI"),
        (pair("Rain. I was trained by OpenAI to say so."), "boilerplate", "trained by OpenAI"),
        (pair("I\u2019m a helpful model made by Google."), "boilerplate", "made by Google"),
        (pair("My name is Bo, created by OpenAI."), "boilerplate", "created by OpenAI"),
        (pair("As an assistant trained by Google, I stay in."), "boilerplate", "Google"),
        (pair("I'm sorry, but I can't help with that."), "boilerplate", "refuses"),
        (pair("Sure! Here is the news: rain."), "boilerplate", "Sure! Here is"),
        (pair("Rain again. I hope this helps!"), "boilerplate", "I hope this helps"),
        (pair("作为一个AI语言模型，我不知道。"), "boilerplate", "作为一个AI"),
        (pair("下雨了。希望这些对你有帮助！"), "boilerplate", "希望"),
        (pair("First you go to the market, then you look at the"), "cut_off", "look at the"),
        (pair("Rain, wind, and later some snow,"), "cut_off", "snow,"),
        (pair("Run this: ```py\nprint(1)"), "cut_off", "code block"),
        (pair('He shouted "stop and went home'), "cut_off", "quote"),
        (pair("今天有雨，明天也有雨，因为"), "cut_off", "因为"),
        (
            pair("It rains today. Take the umbrella with you, put on the boots you bought last "
                 "year and call your sister before you leave the house in the early aftern"),
            "cut_off", "no stop after",
        ),
        (pair("Heute regnet es, und morgen scheint wieder die Sonne."), "wrong_language", "German"),
        (pair("今天下雨，明天也下雨，后天才会出太阳。"), "wrong_language", "Chinese"),
        (pair("word " * 301 + "end."), "too_long", "window is 300"),
        (pair("Snow falls on the \u2603 today."), "chat_format", "does not decode: a snowman"),
        ({"messages": [{"role": "user", "content": "Q"}]}, "bad_turns", "nothing answers"),
        ({"messages": [{"role": "assistant", "content": "A"}]}, "bad_turns", "first turn"),
        (
            {"messages": [{"role": "user", "content": "Q"}, {"role": "user", "content": "Q"},
                          {"role": "assistant", "content": "A"}]},
            "bad_turns", "turns 1 and 2",
        ),
        (
            {"messages": [{"role": "user", "content": "Q"}, {"role": "system", "content": "S"},
                          {"role": "assistant", "content": "A"}]},
            "bad_turns", "system",
        ),
        ({"instruction": "Q"}, "missing_field", "output"),
    ],
)  # fmt: skip
def test_a_bad_row_is_rejected_with_its_reason(
    tmp_path: Path, value: Any, reason: str, part: str
) -> None:
    line = fate(tmp_path, value)
    assert (line["outcome"], line["reason"], line["split"]) == ("rejected", reason, None)
    assert part in line["detail"], line["detail"]


@pytest.mark.parametrize(
    "answer",
    [
        "Paris",
        "Log in",
        "What for",
        "Never mind :)",
        "1. Rain\n2. Wind\n3. Sun and a bit of snow",
        "I'm an AI, so I stay dry.",
        "I can't help laughing at the forecast.",
        "Of course. Rain, as always.",
        "See https://weather.example/today",
        "It fell 6\" short of the record",
        "Rain 🌧️",
        "Hello,\nrain today, and wind all night long in the hills and along the coast, so stay "
        "home and keep warm if you can.\nYours, the weather desk",
        "As an engineer, I would wait.",
        "Android is an operating system developed by Google. Most phones run it.",
        "I am fond of phones that were made by Google.",
        "It is \u201cwet\u201d \u2013 na\u00efve caf\u00e9 owners say \u00bd the town stays home.",
        "Der Hund!",
    ],
)  # fmt: skip
def test_an_unusual_but_good_answer_is_kept(tmp_path: Path, answer: str) -> None:
    line = fate(tmp_path, pair(answer))
    assert line["outcome"] == "kept", line


@pytest.mark.parametrize(
    ("language", "answer"),
    [
        ("de", "Sag einfach: \u201eDanke, aber heute nicht.\u201c"),
        ("de", "Antworte höflich mit \u201eDanke, heute nicht\u201c und geh dann nach Hause"),
        (
            "de",
            "Ein kurzer Satz genügt völlig. Wenn sie dich am Telefon wieder bitten, am Samstag zu "
            "arbeiten, dann antworte ruhig und freundlich mit dem Satz "
            "\u00bbDanke für die Frage, aber heute geht es leider nicht\u00ab",
        ),
        ("cs", "Řekni jednoduše: \u201eDěkuji, ale dnes opravdu ne.\u201c"),
        (
            "ar",
            "يمكنك أن تبدأ بالمشي كل صباح. بعد ذلك اشرب الماء وتناول الخضار والفواكه الطازجة مع "
            "عائلتك في البيت ونم مبكرا كل ليلة، فهل تريد أن أشرح لك المزيد عن ذلك الآن؟",
        ),
        ("ky", "Бүгүн аба ырайы абдан жакшы, ошондуктан биз паркка барып сейилдеп келебиз."),
        ("ps", "نن هوا ډېره ښه ده، نو موږ به پارک ته لاړ شو او چکر به ووهو."),
        ("yi", "הײַנט איז דער וועטער זייער שיין, מיר וועלן גיין אין פּאַרק שפּאַצירן."),
    ],
)
def test_a_good_answer_in_another_language_is_kept(
    tmp_path: Path, language: str, answer: str
) -> None:
    line = ledger(clean(tmp_path, [pair(answer)], language=language))["d.jsonl:1"]
    assert line["outcome"] == "kept", line


@pytest.mark.parametrize(
    "answer",
    ["Er rief \u201ewarte\u201c und dann \u201c", "Er rief \u201ewarte\u201c, sie \u201cwait"],
)
def test_a_quote_that_was_just_opened_is_no_end(tmp_path: Path, answer: str) -> None:
    assert fate(tmp_path, pair(answer), language_check=False)["reason"] == "cut_off"


@pytest.mark.parametrize(
    ("spoiled", "code", "mended"),
    [
        ("It isnâ€™t raining at the cafÃ©.", "mojibake", "It isn’t raining at the café."),
        ("No\u200b rain\x07 today.", "control_characters", "No rain today."),
        ("\ufeffNo rain.", "control_characters", "No rain."),
        ("No rain.\r\nNo wind.", "line_endings", "No rain.\nNo wind."),
        ("Cafe\u0301 is open.", "unicode_form", "Caf\u00e9 is open."),
        ("  No rain. \n", "whitespace", "No rain."),
        ("\x1b[31mNo rain.\x1b[0m", "control_characters", "No rain."),
    ],
)
def test_spoiled_text_is_repaired_and_named(
    tmp_path: Path, spoiled: str, code: str, mended: str
) -> None:
    data = clean(tmp_path, [*pairs(12), pair(spoiled)])
    line = ledger(data)["d.jsonl:13"]
    assert (line["outcome"], line["reason"]) == ("repaired", code)
    assert kept(data)["d.jsonl:13"][-1]["content"] == mended
    assert data.report()["repairs"] == {code: 1}


@pytest.mark.parametrize(
    "original", ["你好，世界！我们走吧。", "Привет, как дела сегодня?", "Crème brûlée – “très bon”"]
)
@pytest.mark.parametrize("codec", ["latin-1", "sloppy-windows-1252", "gbk"])
def test_mojibake_comes_back_as_it_was_or_is_given_up(original: str, codec: str) -> None:
    import ftfy.bad_codecs  # noqa: F401  registers the sloppy codecs

    spoiled = original.encode().decode(codec, "replace")
    fixed = mend(spoiled)
    assert fixed.lost or fixed.text == original or spoiled == fixed.text
    if codec != "gbk":
        assert fixed.text == original and fixed.repairs == ("mojibake",)


def test_utf8_read_as_gbk_is_decoded_again() -> None:
    spoiled = "你好世界，今天".encode()[:18].decode("gbk", "ignore")
    assert mend("浣犲ソ锛屼笘鐣屽ソ").text == "你好，世界好"
    assert mend(spoiled).lost or mend(spoiled).text != spoiled


@pytest.mark.parametrize(
    "text",
    ["联通电信", "👨\u200d👩\u200d👧 family", "می\u200cخواهم بروم", "naïve “quotes” – fine",
     "½ ™ ©", "全角（括号）"],
)  # fmt: skip
def test_healthy_text_is_never_repaired(text: str) -> None:
    assert mend(text).text == text and not mend(text).repairs


@given(st.text(alphabet="abc. é中。😀’“ \n\t\r\u200b\x07\u0301\u2028"))
def test_mending_twice_changes_nothing_more(text: str) -> None:
    once = mend(text)
    if once.lost is None:
        again = mend(once.text)
        assert again.lost or again.text == once.text


@pytest.mark.parametrize(
    ("spoiled", "place"),
    [
        (pair("Rain.<|im_end|> And wind."), "turn 2 (assistant): <|im_end|>"),
        (pair("Rain.", "Hi.<|im_end|> <|im_start|> system: what is new?"), "turn 1 (user)"),
        ({**pair("Rain."), "history": [["Hi?", "</s> Hello."]]}, "turn 2 (assistant): </s>"),
        ({**pair("Rain."), "system": "Be <|im_start|> brief."}, "turn 1 (system)"),
    ],
)
def test_a_control_token_of_the_base_costs_one_row_and_not_the_build(
    tmp_path: Path, spoiled: dict[str, Any], place: str
) -> None:
    base = resolve("starter")
    data = clean(tmp_path, [*pairs(2), spoiled], base=base, prompt="Be brief.")
    assert data.report()["by_reason"] == {"control_token": 1}
    assert place in ledger(data)["d.jsonl:3"]["detail"]
    rows = [row for name in ("train", "validation", "test") for row in data.split(name)]
    assert len(examples(base, rows, "Be brief.")) == 2


# --- the persona's wishes ----------------------------------------------------------------------


def test_rule_breaks_are_rejected_or_warned_of(tmp_path: Path) -> None:
    rules: list[dict[str, Any]] = [{"max_words": 20}, {"must_not": "wet"}]
    bad = pair("Rain. " + "Very " * 20 + "wet.")
    line = fate(tmp_path, bad, rules=rules)
    assert line["reason"] == "rule_break"
    assert line["detail"] == '22 words, at most 20 allowed; "wet" is not allowed'
    data = clean(tmp_path, [*pairs(12), bad], rules=rules, rule_breaks="warn")
    assert "d.jsonl:13" in kept(data) and data.report()["warnings"] == {"rule_break": 1}


def test_every_turn_of_the_assistant_keeps_the_rules(tmp_path: Path) -> None:
    talk = {"instruction": "And now?", "output": "Sun.", "history": [["Weather?", "Rain, sadly."]]}
    assert fate(tmp_path, talk, rules=[{"must_not": "sadly"}])["reason"] == "rule_break"


@pytest.mark.parametrize(
    ("text", "private", "kind"),
    [
        ("Write to {} soon.", "bob.miller@acme.com", "e-mail address"),
        ("Call {} today.", "(415) 665-2671", "phone number"),
        ("Call {} today.", "+44 20 7946 0958", "phone number"),
        ("打{}。", "13812345678", "phone number"),
        ("Pay with {}.", "4111 1111 1111 1111", "card number"),
        ("My number is {}.", "11010519491231002X", "identity number"),
        ("Use {}.", "sk-abcdefghijklmnopqrstuvwx1234", "secret key"),
        ("The {}.", "password is hunter2hunter2", "password"),
        ("Send it to {}.", "GB82 WEST 1234 5698 7654 32", "bank account"),
    ],
)
def test_personal_data_is_warned_of_or_rejected_and_never_shown(
    tmp_path: Path, text: str, private: str, kind: str
) -> None:
    row = pair(text.format(private))
    data = clean(tmp_path, [*pairs(12), row], language_check=False)
    assert data.report()["warnings"] == {"personal_data": 1}
    (example,) = data.report()["examples"]
    assert example["detail"] == kind and f"[{kind}]" in example["text"]
    for name in ("report.json", "ledger.jsonl"):
        assert private not in (data.path / name).read_text()
    assert fate(tmp_path, row, personal_data="reject")["reason"] == "personal_data"


@pytest.mark.parametrize(
    "text",
    [
        "Write to someone@example.com now.",
        "Call (415) 555-0132 now.",
        "Pi is 3.14159265358979, roughly.",
        "Order BB204518 has left.",
        "Card 4111 1111 1111 1112 is made up.",
        "Your password should have 12 letters.",
        "In 2024 we sold 1000000 of them.",
        "ISBN 978-3-16-148410-0 is a book.",
    ],
)
def test_numbers_and_addresses_of_nobody_are_no_personal_data(tmp_path: Path, text: str) -> None:
    assert clean(tmp_path, [*pairs(12), pair(text)]).report()["warnings"] == {}


def test_a_canned_ending_that_a_seed_has_is_the_personas_own(tmp_path: Path) -> None:
    seed = Seed(instruction="Is it in stock?", output="It is. Is there anything else I can do?")
    row = pair("Rain. Is there anything else I can do?")
    assert fate(tmp_path, row)["reason"] == "boilerplate"
    assert fate(tmp_path, row, seeds=(seed,))["outcome"] == "kept"


def test_a_translation_may_be_in_another_language(tmp_path: Path) -> None:
    answer = "Nehmen Sie ein warmes Bad und lesen Sie ein gutes Buch."
    assert fate(tmp_path, pair(answer))["reason"] == "wrong_language"
    ask = "Translate into German: take a warm bath and read a good book."
    assert fate(tmp_path, pair(answer, ask))["outcome"] == "kept"
    assert fate(tmp_path, pair(answer), language_check=False)["outcome"] == "kept"


def test_the_persona_prompt_counts_towards_the_window(tmp_path: Path) -> None:
    row = pair("word " * 200 + "end.")
    assert fate(tmp_path, row)["outcome"] == "kept"
    assert fate(tmp_path, row, prompt="word " * 100)["reason"] == "too_long"


@pytest.mark.parametrize("text", ["a", "1", "(", "|---", "a.", "[a](", "\n \n", "**a", "1-", "@"])
def test_no_text_stalls_the_checks(tmp_path: Path, text: str) -> None:
    started = time.monotonic()
    fate(tmp_path, pair(text * 60_000, "x" + text * 1_000), rules=[{"format": "plain"}])
    assert time.monotonic() - started < 10  # a quadratic pattern takes minutes


# --- rows against each other -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "later", "reason"),
    [
        (pair("Rain."), pair("Rain."), "duplicate"),
        (pair("Rain."), pair("rain", "what is NEW in town today"), "duplicate"),
        (
            pair("Walk a bit, then rest.", "How can I relax after a long day at work?"),
            pair("Walk a bit and then rest.", "How could I relax after a long day of work?"),
            "near_duplicate",
        ),
        (
            pair("Canberra is the capital.", "What's the capital of Australia?"),
            pair("Sydney, of course not far.", "What is the capital of Australia"),
            "contradiction",
        ),
        (
            pair("It began in 1914.", "When did the war begin?"),
            pair("It began in 1915.", "When did the war begin??"),
            "contradiction",
        ),
        (
            pair("多喝热水，早点睡。", "感冒了怎么办？"),
            pair("多喝热水，早点睡吧。", "感冒了，该怎么办呢？"),
            "near_duplicate",
        ),
        (
            pair("A knight met a dragon and they had tea until noon.",
                 "Write a two sentence story about a dragon in the style of Hemingway."),
            pair("A knight met a dragon and they had tea until noon.",
                 "Write a two sentence story about a knight in the style of Hemingway."),
            "near_duplicate",
        ),
    ],
)  # fmt: skip
def test_a_later_row_that_repeats_or_contradicts_is_rejected(
    tmp_path: Path, first: Any, later: Any, reason: str
) -> None:
    data = clean(tmp_path, [*pairs(12), first, later], language_check=False)
    assert ledger(data)["d.jsonl:13"]["outcome"] == "kept"
    line = ledger(data)["d.jsonl:14"]
    assert line["reason"] == reason and "d.jsonl:13" in line["detail"], line


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is the capital of France?", "What is the capital of Spain?"),
        ("Good morning!", "Good evening!"),
        ("How many minutes are in two hours?", "How many minutes are in three hours?"),
        ("How do I convert miles to kilometers?", "How do I convert kilometers to miles?"),
        ("Should I lend my brother money?", "Should I not lend my brother money?"),
        ("What is mitosis?", "What is meiosis?"),
        ("法国的首都是哪里？", "英国的首都是哪里？"),
        ("请用一句话解释一下什么是机会成本", "请用一句话解释一下什么是沉没成本"),
        ("1 + 1 = ?", "1 - 1 = ?"),
        ("What is love?", "Do you love me?"),
        ("😀", "😢"),
    ],
)
def test_questions_that_only_look_alike_are_both_kept(tmp_path: Path, one: str, other: str) -> None:
    rows = [pair("First one, then rest.", one), pair("Quite another thing.", other)]
    data = clean(tmp_path, [*pairs(12), *rows], language_check=False)
    assert {"d.jsonl:13", "d.jsonl:14"} <= kept(data).keys(), ledger(data)


def test_a_system_text_that_all_rows_share_makes_no_duplicates(tmp_path: Path) -> None:
    system = "You answer calmly, in one sentence, and you never forget to mention the weather. " * 3
    data = clean(tmp_path, [{**row, "system": system} for row in pairs(30)])
    assert data.report()["rejected"] == 0
    assert min(data.report()["splits"].values()) >= 4


def test_a_document_that_many_questions_share_makes_no_duplicates(tmp_path: Path) -> None:
    document = ". ".join(f"You can {topic} on any working day" for topic in TOPICS[:20])
    asks = ("Who opens the gate?", "What does lunch cost?", "Where is the bus stop?")
    rows = [{**pair(f"Ask at desk {n}.", ask), "input": document} for n, ask in enumerate(asks)]
    lines = ledger(clean(tmp_path, [*pairs(12), *rows]))
    assert [lines[f"d.jsonl:{n}"]["outcome"] for n in (13, 14, 15)] == ["kept"] * 3
    assert len({lines[f"d.jsonl:{n}"]["split"] for n in (13, 14, 15)}) == 1


def test_the_same_question_under_another_system_text_is_another_row(tmp_path: Path) -> None:
    rows = [{**pair("Rain."), "system": "Be brief."}, {**pair("Rain."), "system": "Be grim."}]
    assert {"d.jsonl:13", "d.jsonl:14"} <= kept(clean(tmp_path, [*pairs(12), *rows])).keys()


def test_equal_last_turns_of_different_conversations_are_no_duplicates(tmp_path: Path) -> None:
    one = {**pair("Yes, bring boots.", "Is it safe?"), "history": [["A walk in snow?", "Nice."]]}
    two = {**pair("No, it is deep.", "Is it safe?"), "history": [["A swim at night?", "Hm."]]}
    assert {"d.jsonl:13", "d.jsonl:14"} <= kept(clean(tmp_path, [*pairs(12), one, two])).keys()


@pytest.mark.parametrize(
    "ask",
    [
        "How do I get better at remembering names?",
        "how can I get better at remembering a name",
        "Remembering names: how do I get better at it?",
        "Hi there, I meet many people at work. How do I get better at remembering names? Thanks!",
    ],
)
def test_a_row_that_gives_a_held_out_question_away_is_rejected(tmp_path: Path, ask: str) -> None:
    held = ("What gas do we breathe?", "How do I get better at remembering names?")
    line = fate(tmp_path, pair("Say them aloud twice.", ask), questions=held)
    assert line["reason"] == "leak" and "remembering names" in line["detail"], line


def test_a_leak_in_an_earlier_turn_is_found(tmp_path: Path) -> None:
    talk = {**pair("Sure enough.", "Really?"), "history": [["What gas do we breathe to stay alive?",
            "Oxygen."]]}  # fmt: skip
    assert fate(tmp_path, talk, questions=("What gas do we breathe to stay alive?",))["reason"] == (
        "leak"
    )


HELD = "How do I get better at remembering names?"
MEMO = (
    "The bakery opens on Tuesday with rye and buckwheat loaves. Maria drives the van, Tom orders "
    "flour, butter and yeast, while Priya paints the sign above the door and prints the leaflets."
)


def test_a_held_out_question_is_found_inside_a_long_conversation(tmp_path: Path) -> None:
    asks = [
        "What's a good way to cook rice for eight people?",
        "Which vegetables should a beginner plant in spring?",
        HELD,
        "Can you suggest a film about sailing for tonight?",
    ]
    talk = {
        **pair("On the ice, close together.", "Where do penguins sleep during winter storms?"),
        "history": [[ask, f"Answer {n} is this."] for n, ask in enumerate(asks)],
    }
    assert fate(tmp_path, talk, questions=(HELD,))["reason"] == "leak"


def test_a_held_out_question_is_found_beside_a_document(tmp_path: Path) -> None:
    row = {**pair("Say them aloud twice.", HELD), "input": MEMO}
    line = fate(tmp_path, row, questions=("What gas do we breathe?", HELD))
    assert line["reason"] == "leak" and "remembering names" in line["detail"]
    last = {**pair("Say them aloud twice.", MEMO * 9), "input": HELD}
    assert fate(tmp_path, last, questions=(HELD,))["reason"] == "leak"


def test_a_document_that_has_a_questions_words_far_apart_is_no_leak(tmp_path: Path) -> None:
    ask = f"How do I get this better? We kept remembering the oven. {MEMO} {MEMO} Add the names."
    assert fate(tmp_path, pair("Cut it in half.", ask), questions=(HELD,))["outcome"] == "kept"


def test_a_question_of_the_same_kind_is_no_leak(tmp_path: Path) -> None:
    row = pair("Paris.", "What is the capital of France?")
    assert fate(tmp_path, row, questions=("What is the capital of Italy?",))["outcome"] == "kept"


# --- the split ---------------------------------------------------------------------------------


def test_paraphrases_and_grown_histories_stay_in_one_split(tmp_path: Path) -> None:
    families: list[list[dict[str, Any]]] = []
    for topic in TOPICS:
        first = {"instruction": f"How do I {topic}?", "output": f"To {topic}, begin with one step."}
        grown = {
            "instruction": "And what then?",
            "output": f"Then {topic} once more.",
            "history": [[first["instruction"], first["output"]]],
        }
        reworded = {
            "instruction": f"What is the best way to {topic}?",
            "output": f"Calmly. You can {topic} before they arrive.",
        }
        families.append([first, grown, reworded])
    rows = [row for family in families for row in family]
    order = list(range(len(rows)))
    random.Random(3).shuffle(order)
    data = clean(tmp_path, [rows[k] for k in order], near_duplicate=1.0)
    where = {order[int(i.split(":")[1]) - 1]: line["split"] for i, line in ledger(data).items()}
    assert None not in where.values()
    for number in range(len(families)):
        assert len({where[3 * number + k] for k in range(3)}) == 1
    sizes = data.report()["splits"]
    assert sizes["validation"] >= 10 and sizes["test"] >= 10 and sizes["train"] >= 80
    for leak in data.report()["leaks"]:
        assert leak["max_similarity"] < leak["limit"] == 0.55 and leak["pairs"] == []


@pytest.mark.parametrize(
    ("count", "least"),
    [(1, (0, 0)), (2, (0, 1)), (3, (1, 1)), (9, (1, 1)), (30, (4, 4)), (40, (5, 5))],
)
def test_small_data_still_holds_a_few_rows_out(
    tmp_path: Path, count: int, least: tuple[int, int]
) -> None:
    sizes = clean(tmp_path, pairs(count)).report()["splits"]
    assert (sizes["validation"], sizes["test"]) == least
    assert sum(sizes.values()) == count


def test_no_validation_rows_if_none_are_wanted(tmp_path: Path) -> None:
    assert clean(tmp_path, pairs(40), validation=0).report()["splits"]["validation"] == 0


def test_one_huge_family_goes_to_train_and_leaves_the_shares_alone(tmp_path: Path) -> None:
    huge = [pair(f"Try number {n}.", f"Tell me joke number {n} about penguins") for n in range(60)]
    data = clean(tmp_path, [*pairs(40), *huge])
    where = [line["split"] for i, line in ledger(data).items() if int(i.split(":")[1]) > 40]
    assert set(where) == {"train"}
    sizes = data.report()["splits"]
    assert 10 <= sizes["test"] <= 14 and 10 <= sizes["validation"] <= 14
    assert any("variants of one question" in advice for advice in data.report()["advice"])


def test_if_all_rows_are_one_family_the_user_is_told(tmp_path: Path) -> None:
    rows = [pair(f"Try {n}.", f"Tell me joke number {n} about penguins") for n in range(40)]
    data = clean(tmp_path, rows)
    assert min(data.report()["splits"].values()) >= 4
    assert any("held-out figures will look better" in told for told in data.report()["advice"])
    assert any(leak["pairs"] for leak in data.report()["leaks"])


def test_the_split_is_the_same_every_time_and_follows_the_seed(tmp_path: Path) -> None:
    def splits(folder: str, random_seed: int, count: int = 40) -> dict[str, str]:
        (tmp_path / folder).mkdir()
        data = clean(tmp_path / folder, pairs(count), random_seed=random_seed)
        return {key: line["split"] for key, line in ledger(data).items()}

    first = splits("a", 17)
    assert splits("b", 17) == first
    assert splits("c", 18) != first
    fewer = splits("d", 17, count=39)
    moved = sum(first[key] != name for key, name in fewer.items())
    assert moved <= 3


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 60), st.integers(0, 5), st.randoms(use_true_random=False))
def test_every_row_is_dealt_once_and_train_is_never_empty(
    count: int, seed: int, chance: random.Random
) -> None:
    asks = [f"{chance.choice(TOPICS)} {chance.choice(TOPICS)} {n}" for n in range(count)]
    talks: list[list[Message]] = [[{"role": "user", "content": ask}] for ask in asks]
    dealt = by_lineage(asks, talks, lineage=0.55, shares=(0.12, 0.12), random_seed=seed).names
    assert len(dealt) == count and "train" in dealt and "test" in dealt
    assert dealt.count("test") <= max(4, round(0.12 * count)) + 1


# --- similarity --------------------------------------------------------------------------------

SAID = "how do i the a of boil egg eggs tea cup 2 two not paris"
WORDS = [*SAID.split(), *"为什么天空蓝海的"]
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join), max_size=90)


@settings(max_examples=60, deadline=None)
@given(TEXTS, st.sampled_from([0.1, 0.3, 0.55, 0.82, 1.0]))
def test_the_index_finds_exactly_the_alike_pairs(texts: list[str], threshold: float) -> None:
    reads = [read(text) for text in texts]
    found = {
        (int(a), int(b)): float(value)
        for block in Index(reads).pairs(threshold)
        for a, b, value in zip(*block, strict=True)
    }
    for a in range(len(reads)):
        for b in range(len(reads)):
            value = similarity(reads[a], reads[b])
            if a != b and value >= threshold + 1e-3:
                assert found[a, b] == pytest.approx(value, abs=1e-3)
            elif a == b or value < threshold - 1e-3:
                assert (a, b) not in found


def test_the_index_is_exact_for_thousands_of_texts_of_few_words() -> None:
    chance = random.Random(5)
    texts = [" ".join(chance.choices(TOPICS, k=2)) for _ in range(3000)]
    reads = [read(text) for text in texts]
    rows = np.array([0, 1500, 2999])
    found = {
        (int(a), int(b))
        for block in Index(reads).pairs(0.55, rows)
        for a, b in zip(*block[:2], strict=True)
    }
    expected = {
        (int(a), b)
        for a in rows
        for b in range(3000)
        if a != b and similarity(reads[a], reads[b]) >= 0.55
    }
    assert found == expected and len(expected) > 100


@given(st.text(), st.text())
def test_similarity_is_symmetric_and_between_0_and_1(one: str, other: str) -> None:
    a, b = read(one), read(other)
    assert similarity(a, b) == pytest.approx(similarity(b, a))
    assert 0 <= likeness(a, b) <= similarity(a, b) <= 1 + 1e-9
    assert differ(a, b) == differ(b, a)
    assert not a.words or similarity(a, a) == pytest.approx(1)


# --- the account -------------------------------------------------------------------------------


def test_every_input_row_is_accounted_for_once(tmp_path: Path) -> None:
    rows = [*pairs(40), *pairs(3), pair(" x. "), {"instruction": 1, "output": "x"}, pair("")]
    data = clean(tmp_path, rows, questions=("How do I boil an egg?",))
    report, lines = data.report(), ledger(data)
    assert report["input"] == len(rows) == len(lines)
    assert report["kept"] + report["repaired"] + report["rejected"] == report["input"]
    assert sum(report["by_reason"].values()) == report["rejected"]
    # the held-out egg is in the data twice, the second time as a duplicate
    expected = {"duplicate": 3, "leak": 1, "wrong_type": 1, "empty_text": 1}
    assert report["by_reason"] == expected and report["repairs"] == {"whitespace": 1}
    assert sum(report["splits"].values()) == report["kept"] + report["repaired"] == len(kept(data))
    assert {i for i, line in lines.items() if line["split"]} == kept(data).keys()
    assert {e["reason"] for e in report["examples"]} == set(report["by_reason"])
    assert report["lengths"]["words"]["max"] >= report["lengths"]["words"]["p50"] > 0
    assert report["tokens"]["max"] < BASE.window and report["tokens"]["total"] > 400
    assert not [file.name for file in data.path.iterdir() if "." not in file.name]


def test_too_few_and_too_many_rows_are_advice_not_an_error(tmp_path: Path) -> None:
    (few,) = clean(tmp_path, pairs(12)).report()["advice"]
    assert few.startswith("Only 12 rows")
    many = [
        pair(f"Answer {n} is right here.", f"{a} and {b}?")
        for n, (a, b) in enumerate((a, b) for a in TOPICS for b in TOPICS if a < b)
    ][:260]
    advice = clean(tmp_path, many, near_duplicate=1.0).report()["advice"]
    assert any(told.startswith("260 rows are more") for told in advice)


def test_if_nothing_is_left_the_error_says_why(tmp_path: Path) -> None:
    rows = [pair("As an AI language model, no.", ask) for ask in ("Hi", "Bye")]
    with pytest.raises(UsageError, match="no row of the data can be used") as caught:
        clean(tmp_path, [*rows, pair("")])
    assert "2 boilerplate, 1 empty_text" in str(caught.value)
    assert caught.value.where == "d.jsonl:1"


def test_an_answer_without_a_stop_among_finished_ones_is_warned_of(tmp_path: Path) -> None:
    answer = "Rain in the morning and some sun later on"
    data = clean(tmp_path, [*pairs(30), pair(answer)])
    assert data.report()["warnings"] == {"maybe_cut_off": 1}
    (row,) = [
        r for s in ("train", "validation", "test") for r in data.split(s) if r.get("warnings")
    ]
    assert row["id"] == "d.jsonl:31" and row["warnings"] == ["maybe_cut_off"]


def test_a_plain_twin_stays_with_its_question(tmp_path: Path) -> None:
    def written(n: int, ask: str, twin: str | None) -> dict[str, Any]:
        said = [{"role": "user", "content": ask}]
        said.append({"role": "assistant", "content": pairs(n + 1)[n]["output"]})
        row: dict[str, Any] = {"id": f"pair {n}", "messages": said, "side": "test"}
        return row if twin is None else row | {"twin": twin}

    asks = [row["instruction"] for row in pairs(12)]
    twins = [f"One way to {topic} is as follows." for topic in TOPICS[:12]]
    twins[1], twins[2] = f" {twins[1]}\r\n", "one way to b\ufffdk"  # to be mended; lost
    asks[3] = "\x07" + asks[3]  # mended: what the teacher was asked was another text
    rows = [written(n, *both) for n, both in enumerate(zip(asks, [*twins[:11], None], strict=True))]
    rows[4]["messages"][-1]["content"] += " "  # the answer alone is mended: its twin still answers

    def run(config: None, /, *, out: Path, progress: Any) -> dict[str, Any]:
        write_jsonl(out / "rows.jsonl", rows)
        write_jsonl(out / "rejected.jsonl", [])
        return {"rows": len(rows), "rejected": 0}

    store = Store(tmp_path)
    gathered = store.make(Stage("gather", 1, Rows, run), "rows", None, {}, quiet)
    inputs: dict[str, Any] = {
        "rows": gathered, "language": "en", "rules": (), "questions": (), "prompt": "",
        "base": BASE, "random_seed": 17, "review": {},
    }  # fmt: skip
    data = store.make(curate.STAGE, "key", Curate(), inputs, quiet)
    found = {row["id"]: row.get("twin") for row in data.split("test")}
    twins[1] = twins[1].strip()
    assert found == {f"pair {n}": None if n in (2, 3, 11) else twin for n, twin in enumerate(twins)}


@pytest.mark.parametrize("file", sorted(PERSONAS.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_hand_written_row_that_ships_is_kept(file: Path, tmp_path: Path) -> None:
    spec = Spec.model_validate(YAML(typ="safe").load(file.read_text("utf-8")))
    store = Store(tmp_path)
    files = [gather.data_file(name, file.parent) for name in spec.data]
    inputs: dict[str, Any] = {"name": spec.name, "seeds": spec.seeds, "files": files}
    rows = store.make(gather.STAGE, "key", None, inputs, quiet)
    inputs = {
        "rows": rows,
        "language": spec.language,
        "rules": spec.rules,
        "questions": spec.questions,
        "prompt": "",
        "base": SimpleNamespace(window=2048, format=Format(), digest="base"),
        "random_seed": spec.random_seed,
        "review": {},
    }
    data = store.make(curate.STAGE, "key", spec.curate, inputs, quiet)
    report = data.report()
    assert report["rejected"] == 0 and report["warnings"] == {}, report["examples"]
    assert report["kept"] == report["input"] >= 80
    assert all(leak["max_similarity"] < leak["limit"] for leak in report["leaks"])
