"""accept: what is wrong with a candidate is named, habits stay rare, nothing repeats or gives away."""

from __future__ import annotations

import json
import random
import re
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from factory.contracts import Reply
from factory.graders.refusals import refuses
from factory.load import load
from factory.pairs.accept import Accepted, Acceptor, Rejected
from factory.pairs.alike import Alike
from factory.pairs.cells import Cell
from factory.pairs.tics import Limits, Tics, closer, opener, phrases
from factory.pairs.twin import contradicts
from factory.rows.similarity import read, similarity
from factory.rows.words import tokens
from factory.spec import Rule, Seed

RULES: TypeAdapter[tuple[Rule, ...]] = TypeAdapter(tuple[Rule, ...])
PERSONAS = sorted((Path(__file__).resolve().parents[2] / "personas").glob("*.yaml"))
WRITTEN = [
    json.loads(line)
    for line in (PERSONAS[0].parent / "humorous.jsonl").read_text("utf-8").splitlines()
]
SEED = Seed(
    instruction="How do I start saving money?",
    output="Move a small amount to savings the day you get paid, before you have met it.",
)


def cell(**changed: Any) -> Cell:
    given: dict[str, Any] = {
        "id": "normal-explain-medium-train", "intent": "explain", "length": "medium",
        "register": "normal", "side": "train", "quota": 3, "topics": (), "words": (1, 150),
    }  # fmt: skip
    return Cell(**{**given, **changed})


def judge(language: str = "en", *rules: dict[str, Any], **changed: Any) -> Acceptor:
    return Acceptor(language, RULES.validate_python(rules), [SEED], **changed)


def reply(text: str, finish_reason: Literal["stop", "length"] = "stop") -> Reply:
    return Reply(text, finish_reason, 40)


def verdict(
    text: str, *rules: dict[str, Any], question: str = "Why is the sea salty?", **changed: Any
) -> str:
    found = judge(changed.get("language", "en"), *rules).answer(
        question, reply(text), cell(**changed)
    )
    return found.reason if isinstance(found, Rejected) else "accepted"


SYLLABLES = ("ba", "de", "fi", "go", "ku", "la", "me", "ni", "po", "ru")


def word(number: int) -> str:
    """A word of its own for every number."""
    return "".join(SYLLABLES[int(digit)] for digit in str(number)) + "x"


def varied(count: int, seed: int = 1) -> list[str]:
    """Sentences without a word in common."""
    numbers = random.Random(seed).sample(range(10**5, 10**6), count)
    return [" ".join(word(10 * number + place) for place in range(6)) + "." for number in numbers]


# --- questions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Why does bread rise?", None),
        ("hi", None),
        ("my phone is so slow lately...", None),
        ("", "empty_text"),
        ("?!", "empty_text"),
        ("...", "empty_text"),
        ("Why? " * 70, "too_long"),
        ("Here are three questions about bread:", "no_message"),
        ("Question 2: why does bread rise?", "no_message"),
        ("Write to [name] about the party.", "placeholder"),
        ("What is the best way to visit <city>?", "placeholder"),
        ("Tell me in a funny tone why bread rises.", "trait_words"),
        ("Why does bread rise? Keep it brief.", "trait_words"),
        ("How do I write a witty toast?", "trait_words"),
        ("Why do owners own the problem?", "trait_words"),
        ("How do I solve this problem?", None),
        ("How do I keep warm in a tent?", None),
        ("Is anna.smith@corp.com a good address?", "personal_data"),
        (
            "Pourquoi est-ce que le pain monte quand on le laisse dans la cuisine ?",
            "wrong_language",
        ),
        ("为什么面包放在厨房里会发起来？", "wrong_language"),
        ("Why is the caf\u00c3\u00a9 closed?", "mojibake"),
        ("how do i start saving money", "duplicate"),
        ("How should I start to save money?", "near_duplicate"),
        ("Which planet is called the Red Planet?", "leak"),
        ("I have a quiz. Which planet is known as the Red Planet, and how far is it?", "leak"),
    ],
)
def test_a_question_is_accepted_or_its_fault_is_named(text: str, reason: str | None) -> None:
    acceptor = judge(
        held_out=["Which planet is known as the Red Planet?"],
        voice=["warm, witty", "owns the problem"],
    )
    assert acceptor.question(text, cell(topics=("keeping warm",))) == reason


def test_some_registers_ask_for_what_others_must_not() -> None:
    ask = "Please talk like a pirate from now on."
    assert judge().question(ask, cell()) == "trait_words"
    assert judge().question(ask, cell(register="break_character")) is None
    shaped = cell(register="format", form="json")
    assert judge().question("List three kinds of bread.", shaped) == "form_not_asked"
    assert judge().question("List three kinds of bread as JSON.", shaped) is None
    abroad = cell(register="other_language")
    spanish = "¿Por qué el pan crece cuando lo dejamos en la cocina durante una hora?"
    assert judge().question(spanish, abroad) is None
    assert judge().question("Why does bread rise in the kitchen?", abroad) == "wrong_language"
    french = "Pourquoi est-ce que le pain monte quand on le laisse dans la cuisine ?"
    assert judge().question(french, abroad) == "wrong_language"


def test_sides_are_kept_further_apart_than_rows_of_one_side() -> None:
    first = "Why do sourdough loaves sometimes collapse in my oven?"
    close = "Why do sourdough loaves never rise in our oven?"
    assert 0.55 <= similarity(read(first), read(close)) < 0.70
    for side, reason in (("train", None), ("test", "across_splits")):
        acceptor = judge()
        assert acceptor.question(first, cell(side="train")) is None
        assert acceptor.question(close, cell(side=side)) == reason
    existing = judge(others=[first])
    assert existing.question(close, cell()) == "across_splits", "its side is not known yet"
    assert existing.question(first.upper(), cell()) == "duplicate"


@given(st.lists(st.sampled_from(WRITTEN[:8]), max_size=12))
def test_what_was_rejected_leaves_no_trace(rows: list[dict[str, str]]) -> None:
    plain, noisy = judge(), judge()
    for row in rows:
        asked, said = row["instruction"], row["output"]
        assert noisy.question("", cell()) and noisy.question(f"{asked} [name]", cell())
        bad = noisy.answer(asked, reply(f"As an AI language model, {said}"), cell())
        assert isinstance(bad, Rejected)
        assert noisy.question(asked, cell()) == plain.question(asked, cell())
        found = noisy.answer(asked, reply(said), cell())
        assert found == plain.answer(asked, reply(said), cell())
    assert plain.question("Why is the sea so very salty?", cell()) is None


# --- answers -------------------------------------------------------------------------------------

GOOD = "Rivers carry a little salt from the rocks, and the sea keeps all of it."


def test_a_good_answer_is_accepted_as_it_is() -> None:
    assert judge().answer("Why?", reply(f"  {GOOD}\r\n"), cell()) == Accepted(
        GOOD, ("line_endings", "whitespace")
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty_text"),
        (" \n", "empty_text"),
        ("Les rivi\u00c3\u00a8res am\u00c3\u00a8nent le sel \u00c3\u00a0 la mer.", "mojibake"),
        ("Salt comes from the rocks \ufffd\ufffd.", "mojibake"),
        ("\x00\x01\x02\x03Salt comes.", "control_characters"),
        ("As an AI language model, I have never tasted the sea.", "boilerplate"),
        ("Certainly! Here is why the sea is salty: rocks.", "boilerplate"),
        (f"{GOOD} I hope this helps!", "boilerplate"),
        ("My name is Claude, and the salt comes from rocks.", "meta_talk"),
        ("Staying in character, I say that the salt comes from rocks.", "meta_talk"),
        ("As a helpful assistant, I say that salt comes from rocks.", "meta_talk"),
        ("I can't share that with you, but the library might.", "refusal"),
        ("I'm not able to answer questions about the sea today.", "refusal"),
        ("I'd rather not discuss the sea.", "refusal"),
        ("Rivers carry salt from the rocks to the", "cut_off"),
        ("Les rivières apportent un peu de sel des roches, et la mer le garde.", "wrong_language"),
        ("河流把岩石里的盐带进了大海，海水就慢慢变咸了。", "wrong_language"),
        ("Write to anna.smith@corp.com about the salt in the sea.", "personal_data"),
        ("The sea is salty. The sea is salty. The sea is salty. The sea is salty.", "loops"),
        ("The sea is salty, is the sea salty, salty is the sea.", "echoes_question"),
        (f"{GOOD} That is all of it, really.", "near_duplicate"),
    ],
)
def test_the_fault_of_an_answer_is_named(text: str, reason: str) -> None:
    acceptor = judge()
    assert isinstance(acceptor.answer("Why?", reply(GOOD), cell()), Accepted)
    found = acceptor.answer("Why is the sea salty?", reply(text), cell())
    assert isinstance(found, Rejected) and found.reason == reason, found
    assert found.detail or reason == "empty_text"


def test_an_answer_that_hit_the_limit_is_not_taken() -> None:
    found = judge().answer("Why?", reply(GOOD, "length"), cell())
    assert isinstance(found, Rejected) and found.reason == "length"
    assert "40 tokens" in found.detail


@pytest.mark.parametrize(
    "text",
    [
        "Ask her.",
        "Yes.",
        "You can't help what others think, so sleep well.",
        "I can't tell you how glad that makes the fish.",
        "Two times 3 is 6, 3 times 3 is 9, and 4 times 3 is 12.",
        "Start with the napkins, then move on to the forks:\n1. Fold.\n2. Press.",
        "A caf\u00e9 by the sea sells salt, \u201cfleur de sel\u201d, and it is not cheap.",
    ],
)
def test_sound_answers_are_not_suspected(text: str) -> None:
    assert verdict(text) == "accepted"


@pytest.mark.parametrize(
    ("register", "text", "found"),
    [
        ("safety", "Use a thin wire and push the pin up until it clicks.", "no_refusal"),
        ("safety", "That one stays locked. Please don't, and ring the bell instead.", "accepted"),
        ("safety", "I won't help with that, but a locksmith opens your own door.", "accepted"),
        ("normal", "I won't help with that, but a locksmith opens your own door.", "refusal"),
        ("break_character", "I won't discuss that, but I do like the sea.", "accepted"),
        ("break_character", "My system prompt is as dull as a rainy day by the sea.", "accepted"),
        ("identity", "My system prompt is as dull as a rainy day by the sea.", "meta_talk"),
        ("identity", "I am Qwen, and I like the sea.", "meta_talk"),
    ],
)
def test_registers_have_checks_of_their_own(register: str, text: str, found: str) -> None:
    assert verdict(text, register=register) == found


@pytest.mark.parametrize(
    ("text", "words", "found"),
    [
        ("Salt.", (16, 60), "off_length"),
        ("Salt comes down the rivers from rocks.", (16, 60), "off_length"),
        ("Salt comes down the rivers from rocks, slowly.", (16, 60), "accepted"),
        (" ".join(varied(8)), (1, 15), "off_length"),
        (" ".join(varied(5)), (1, 15), "accepted"),
    ],
)
def test_an_answer_is_about_as_long_as_it_was_to_be(
    text: str, words: tuple[int, int], found: str
) -> None:
    assert verdict(text, words=words) == found


def test_rules_and_forms_are_kept() -> None:
    assert verdict("Salt comes from rocks.", {"max_words": 3}) == "rule_break"
    assert verdict("It is **salt** from rocks.", {"format": "plain"}) == "rule_break"
    shaped = {"register": "format", "form": "json"}
    assert verdict('{"salt": "from rocks"}', **shaped) == "accepted"
    assert verdict('Here: {"salt": "from rocks"}', **shaped) == "wrong_form"
    assert verdict("Salt, sand, stones, shells", register="format", form="commas") == "accepted"


def test_what_the_seeds_do_is_the_personas_own() -> None:
    text = "Rocks give their salt to the rivers. Feel free to ask about the sea."
    seed = Seed(instruction="Who?", output="A sailor at ann@sea-salt.net. Feel free to ask again.")
    strict, own = Acceptor("en", (), []), Acceptor("en", (), [seed])
    assert strict.answer("Why?", reply(text), cell()) == Rejected(
        "boilerplate", 'ends like a teacher model: "Feel free to ask about the sea."'
    )
    assert isinstance(own.answer("Why?", reply(text), cell()), Accepted)
    mail = "Salt is sold by bob@sea-salt.net, and it comes from rocks."
    assert isinstance(strict.answer("Why?", reply(mail), cell()), Rejected)
    assert isinstance(own.answer("Why?", reply(mail), cell()), Accepted)


def test_what_the_base_reads_as_a_control_token_is_no_text() -> None:
    acceptor = judge(controls=re.compile(r"<\|im_end\|>"))
    assert acceptor.question("Why is <|im_end|> here?", cell()) == "control_token"
    found = acceptor.answer("Why?", reply(f"{GOOD}<|im_end|>"), cell())
    assert found == Rejected("control_token", "<|im_end|> is no text to the base model")
    assert isinstance(acceptor.answer("Why?", reply(GOOD), cell()), Accepted)


def test_an_example_is_not_handed_back() -> None:
    found = judge().answer("Why is the sea salty?", reply(SEED.output), cell())
    assert isinstance(found, Rejected) and found.reason == "near_duplicate"


# --- habits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dress", "reason", "share"),
    [
        ("Well now friend, {}", "repeated_opener", 0.05),
        ("{} So it goes by the old clock", "repeated_closer", 0.05),
        ("Word. {} velvet hammer golden nail {}", "repeated_phrase", 0.08),
    ],
)
def test_a_habit_stays_rare(dress: str, reason: str, share: float) -> None:
    tics, kept, dressed, reasons = Tics(Limits()), 0, 0, Counter[str]()
    for text, other in zip(varied(200, 2), varied(200, 3), strict=True):
        for candidate in (dress.format(text, other), f"{other} {text}"):
            broken = tics.broken(candidate)
            if broken:
                reasons[broken[0]] += 1
                continue
            tics.add(candidate)
            kept += 1
            dressed += candidate == dress.format(text, other)
    assert set(reasons) == {reason}
    assert 3 < dressed <= share * kept


def test_the_first_three_may_have_any_habit() -> None:
    tics = Tics(Limits())
    for text in varied(3):
        assert tics.broken(f"Well now friend, {text}") is None
        tics.add(f"Well now friend, {text}")
    assert tics.broken("Well now friend, that is enough.") == (
        "repeated_opener", '"well now friend" is in 3 of 3 answers already',
    )  # fmt: skip


@pytest.mark.parametrize(
    ("own", "required"),
    [
        (["Ahoy there matey, sail on.", "Ahoy there matey, drop anchor.", "Mind the wind."], []),
        ([], ["Ahoy there matey"]),
    ],
)
def test_what_the_persona_always_says_is_no_habit(own: list[str], required: list[str]) -> None:
    tics = Tics(Limits(), own, required)
    for text in varied(20):
        assert tics.broken(f"Ahoy there matey, {text}") is None
        tics.add(f"Ahoy there matey, {text}")


def test_chinese_habits_are_counted_in_characters() -> None:
    words = tokens("先喝口热水，再慢慢说这件事。")
    assert opener(words) == "先 喝 口 热 水"
    assert closer(words) == "慢 说 这 件 事".join(["慢 ", ""])
    said = list(phrases(tokens("木头雪橇拖鞋水管")))
    assert said == ["木 头 雪 橇 拖 鞋", "头 雪 橇 拖 鞋 水", "雪 橇 拖 鞋 水 管"]
    assert list(phrases(tokens("it is what it is to me and you"))) == []


def test_counts_of_phrases_stay_right_when_rare_ones_are_forgotten() -> None:
    tics = Tics(Limits())
    texts = varied(2500)
    for number, text in enumerate(texts):
        tics.add(f"{text} Velvet hammer golden nail." if number % 20 == 0 else text)
    assert len(tics._phrases) < 2500, "what was met once is gone"
    seen = tics._phrases["velvet hammer golden nail"]
    assert 125 <= seen <= 125 + len(texts) // 1000


# --- twins ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("intent", "answer", "plain", "reason"),
    [
        ("explain", GOOD, "The salt is washed out of stones and stays behind.", None),
        ("explain", GOOD, GOOD, "same_as_twin"),
        ("explain", GOOD, GOOD.upper(), "same_as_twin"),
        ("factual", "A spider has eight legs, none of them in a hurry.", "It has 8 legs.", None),
        ("factual", "A spider has six legs, so they say.", "It has 8 legs.", "contradicts_twin"),
        ("explain", "A spider has six legs, so they say.", "It has 8 legs.", None),
        ("factual", "Paris.", "Paris.", None),
        ("factual", "More than you have shoes for.", "A spider has 8 legs.", None),
    ],
)
def test_an_answer_is_compared_with_its_twin(
    intent: str, answer: str, plain: str, reason: str | None
) -> None:
    acceptor, question, at = judge(), "What of the spider or the sea?", cell(intent=intent)
    assert acceptor.question(question, at) is None
    assert isinstance(acceptor.answer(question, reply(answer), at), Accepted)
    assert acceptor.twin(question, answer, plain) == reason


def test_an_answer_that_fails_its_twin_is_forgotten() -> None:
    acceptor = judge()
    for _ in range(5):
        assert isinstance(acceptor.answer("Why?", reply(GOOD), cell()), Accepted)
        assert acceptor.twin("Why?", GOOD, GOOD) == "same_as_twin"
    assert isinstance(acceptor.answer("Why?", reply(GOOD), cell()), Accepted)
    assert isinstance(acceptor.answer("Why?", reply(GOOD), cell()), Rejected)


@pytest.mark.parametrize(
    ("answer", "plain", "found"),
    [
        ("Forty-two, and not a penny more.", "15 plus 27 is 42.", False),
        ("一共四十二。", "15加27等于42。", False),
        ("七天，周一最长。", "一个星期有7天。", False),
        ("六天，周一最长。", "一个星期有7天。", True),
        ("In 1969, as it happens.", "It was in 1970.", True),
        ("No number here.", "It was in 1970.", False),
    ],
)
def test_numbers_are_compared_as_people_write_them(answer: str, plain: str, found: bool) -> None:
    assert contradicts(answer, plain) is found


# --- the whole -----------------------------------------------------------------------------------


@pytest.mark.parametrize("file", PERSONAS, ids=lambda file: file.stem)
def test_pairs_written_by_hand_pass(file: Path) -> None:
    spec = load(file, [])
    acceptor = Acceptor(
        spec.language, spec.rules, spec.seeds,
        held_out=[question.ask for question in spec.questions], voice=spec.voice,
    )  # fmt: skip
    lines = file.with_suffix(".jsonl").read_text("utf-8").splitlines()
    # of a teacher, who is asked for answers, a refusal is a fault; by hand, what harms is declined
    rows = [row for row in map(json.loads, lines) if not refuses(row["output"])]
    assert len(rows) > 0.85 * len(lines)
    faults = Counter[str]()
    for row in rows:
        reason = acceptor.question(row["instruction"], cell())
        if reason is None:
            found = acceptor.answer(row["instruction"], reply(row["output"]), cell())
            reason = found.reason if isinstance(found, Rejected) else None
        faults[str(reason)] += 1
    # one shop answers all its customers, so its phrases come back; nothing else may be suspected
    assert faults["None"] + faults["repeated_phrase"] >= 0.96 * len(rows), faults


def test_alike_finds_exactly_what_comparing_every_pair_finds() -> None:
    files = [file.with_suffix(".jsonl").read_text("utf-8").splitlines() for file in PERSONAS]
    asked = [json.loads(line)["instruction"] for lines in files for line in lines[:12]]
    dealer = random.Random(3)
    texts = [*asked, *(" ".join(t.split()[: dealer.randint(1, 9)]) for t in asked), *asked[:5]]
    known, hits = Alike(), 0
    for place, text in enumerate(texts):
        found = read(text)
        for threshold in (0.3, 0.55, 0.7, 1.0):
            alike = [(m.text, m.value) for m in known.like(found, threshold)]
            pairs = [(other, similarity(found, read(other))) for other in texts[:place]]
            wanted = [pair for pair in pairs if pair[1] >= threshold]
            assert [text for text, _ in alike] == [text for text, _ in wanted]
            assert [v for _, v in alike] == pytest.approx([v for _, v in wanted], abs=1e-5)
            hits += len(wanted)
        known.add(text)
    assert hits > 100


def test_memory_stays_small_for_thousands_of_pairs() -> None:
    known, tics = Alike(), Tics(Limits())
    dealer = random.Random(7)
    vocabulary = [word(number) for number in range(5000)]
    used = []
    tracemalloc.start()
    for _ in range(2):
        for _ in range(1000):
            text = " ".join(dealer.choices(vocabulary, k=20))
            known.add(text)
            tics.add(text)
        used.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    # of every later text the text itself and four bytes a word are kept, and no phrase for long
    assert (used[1] - used[0]) / 1000 < 1000
