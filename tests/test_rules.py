"""The persona's rules: words are counted as a reader counts; a break is one plain sentence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from factory.rules import check, count_words
from factory.spec import Rule

RULE: TypeAdapter[Rule] = TypeAdapter(Rule)


def broken(rule: dict[str, object], text: str) -> str | None:
    found = check([RULE.validate_python(rule)], text)
    assert len(found) <= 1
    return found[0] if found else None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 0),
        ("... 😀 —", 0),
        ("Take a short walk.", 4),
        ("don't", 1),
        ("a well-known fact", 3),
        ("1,000 dollars and 12.5 cents", 5),
        ("yes,no", 2),
        ("and/or", 2),
        ("one—two…three", 3),
        ("你好，世界！", 4),
        ("Excel里怎么去重？", 6),
        ("用 Python 3.11 写", 4),
        ("안녕 세상", 4),
        ("これは本です。", 6),
        ("Привет, как дела?", 3),
    ],
)
def test_words_are_counted_as_a_reader_counts(text: str, words: int) -> None:
    assert count_words(text) == words


@given(st.text(), st.text())
def test_the_words_of_two_texts_add_up(one: str, other: str) -> None:
    assert count_words(f"{one}\n{other}") == count_words(one) + count_words(other)


@pytest.mark.parametrize(
    ("rule", "good", "bad", "sentence"),
    [
        ({"max_words": 3}, "One two three.", "One two three four.", "4 words, at most 3 allowed"),
        ({"min_words": 2}, "Two words.", "One.", "1 word, at least 2 required"),
        ({"max_words": 4}, "你好世界", "你好，世界啊", "5 words, at most 4 allowed"),
        ({"must": "please"}, "PLEASE wait.", "Wait.", '"please" is missing'),
        ({"must": "a question", "pattern": r"\?$"}, "Why?", "Because.", '"a question" is missing'),
        ({"must_not": "As an AI"}, "I am one.", "as an ai, no", '"As an AI" is not allowed'),
        (
            {"must_not": "filler", "pattern": r"^(Sure|Certainly)\b"},
            "Surely not.",
            "sure, here.",
            '"filler" is not allowed ("sure")',
        ),
        (
            {"language": "en"},
            "Rinse it cold and rub in some soap.",
            "Nehmen Sie ein warmes Bad und lesen Sie ein Buch.",
            "written in German, not in English",
        ),
        (
            {"language": "zh"},
            "先用冷水冲一冲，再抹一点洗洁精。",
            "Rinse it cold and rub in some soap.",
            "written in English, not in Chinese",
        ),
        ({"format": "json"}, ' {"a": [1, 2]} ', '```json\n{"a": 1}\n```', "not one JSON value"),
        ({"format": "json"}, "null", '{"a": NaN}', "not one JSON value: NaN is no JSON"),
        ({"format": "json"}, "[]", '{"a": 1} {"b": 2}', "not one JSON value: Extra data"),
    ],
)
def test_a_broken_rule_is_one_plain_sentence(
    rule: dict[str, object], good: str, bad: str, sentence: str
) -> None:
    assert broken(rule, good) is None
    assert (broken(rule, bad) or "").startswith(sentence)


@pytest.mark.parametrize(
    "text",
    [
        "# Title\nText",
        "A **bold** word",
        "An *italic* word",
        "- one\n- two",
        "```\ncode\n```",
        "Use `ls` here",
        "See [this](http://a.b)",
        "a | b\n---|---\n1 | 2",
        "> quoted",
    ],
)
def test_markdown_breaks_the_plain_format(text: str) -> None:
    assert broken({"format": "plain"}, text)


@pytest.mark.parametrize(
    "text",
    [
        "2 * 3 * 4 is 24.",
        "Ratings: 5* and 4*.",
        "It costs - as ever - 5 dollars.",
        "snake_case_name and another_one",
        "C# is fine, and so is item #1.",
        "3 > 2, and 2 < 3.",
        "1. Rinse it.\n2. Dry it.",
        "-5 degrees [sic] (really)",
        "It's \"quoted\" — and 'so'.",
    ],
)
def test_plain_prose_with_odd_signs_is_still_plain(text: str) -> None:
    found = broken({"format": "plain"}, text)
    assert found is None


def test_breaks_come_in_the_order_of_the_rules_and_kept_rules_say_nothing() -> None:
    rules = [RULE.validate_python(r) for r in ({"max_words": 2}, {"must": "yes"}, {"must": "no"})]
    assert check(rules, "yes it is") == ["3 words, at most 2 allowed", '"no" is missing']


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Paris.", "zh"),
        ("Spaghetti!", "en"),
        ("Beethoven, Mozart, Schubert, Schumann and Brahms.", "en"),
        ("Rome, Milan, Naples, Turin, Palermo", "en"),
        ("用 Excel 的 TEXTJOIN 函数，配合 IF、FILTER、UNIQUE、SORT 就行。", "zh"),
        ("Press ```print('Guten Morgen, meine Damen und Herren')``` and wait for it.", "en"),
        ("Rinse it cold, rub in dish soap, wait ten minutes, then wash.", "en"),
        ("Ok, bis morgen!", "en"),
        ("Gå hjem og sov lidt, så går det bedre i morgen.", "no"),
    ],
)
def test_language_is_not_judged_when_in_doubt(text: str, language: str) -> None:
    assert broken({"language": language}, text) is None


@pytest.mark.parametrize(
    ("text", "language", "said"),
    [
        ("Prenez un bain chaud et lisez un bon livre avant de dormir.", "en", "French"),
        ("Прогуляйтесь и отложите телефон на час.", "en", "Russian"),
        ("去散步吧，然后把手机放下一个小时。", "en", "Chinese"),
        ("散歩に行って、電話を一時間しまってください。", "zh", "Japanese"),
        ("산책을 하고 전화기를 한 시간 동안 치워 두세요.", "ja", "Korean"),
        ("Take a walk, then put away the phone for an hour.", "de", "English"),
    ],
)
def test_another_language_is_named(text: str, language: str, said: str) -> None:
    assert (broken({"language": language}, text) or "").startswith(f"written in {said}")
