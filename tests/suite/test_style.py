"""The style scorer and Burrows's Delta on shipped personas against answers without a voice."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from factory.suite.burrows import Burrows
from factory.suite.style import LEAST, StyleScorer, TooFewTexts, first_words
from tests.suite.texts import rows, short_and_usual, usual

TUTOR = [answer for _, answer in rows("tutor")]
PLAIN = usual()


@pytest.fixture(scope="module")
def tutor() -> StyleScorer:
    return StyleScorer.fit(TUTOR[:60], PLAIN[:60], random_seed=1)


def test_answers_that_were_not_learned_from_are_told_apart(tutor: StyleScorer) -> None:
    ahead = zip(tutor.score(TUTOR[60:80]), tutor.score(PLAIN[60:80]), strict=True)
    assert sum(mine > plain for mine, plain in ahead) >= 15
    assert tutor.auc > 0.9
    mean = sum(tutor.score(TUTOR[60:80])) / 20
    assert sum(tutor.score(PLAIN[60:80])) / 20 < tutor.midpoint < mean


def test_two_halves_of_one_voice_are_no_style() -> None:
    texts = PLAIN[:80]
    random.Random(3).shuffle(texts)
    assert StyleScorer.fit(texts[:40], texts[40:], random_seed=1).auc < 0.7


def test_a_persona_is_found_in_chinese() -> None:
    mine, other = ([a for _, a in rows(name)][:60] for name in ("youmo", "jianjie"))
    assert StyleScorer.fit(mine, other, random_seed=1).auc > 0.7


def test_the_same_texts_and_seed_give_the_same_numbers(tutor: StyleScorer) -> None:
    again = StyleScorer.fit(TUTOR[:60], PLAIN[:60], random_seed=1)
    assert again.score(TUTOR[60:70]) == tutor.score(TUTOR[60:70])
    assert (again.auc, again.midpoint) == (tutor.auc, tutor.midpoint)
    assert again.features(10) == tutor.features(10)


def test_a_score_depends_on_its_own_text_only(tutor: StyleScorer) -> None:
    together = tutor.score([TUTOR[61], "", PLAIN[61]])
    assert together[0] == pytest.approx(tutor.score([TUTOR[61]])[0])
    assert together[2] == pytest.approx(tutor.score([PLAIN[61]])[0])


def test_length_alone_is_no_style_within_the_first_words() -> None:
    start = [text.rstrip(".") for text in PLAIN[:40]]
    longer = [f"{text} {text} {text}" for text in start]
    assert StyleScorer.fit(longer, start, random_seed=1).auc > 0.75
    assert StyleScorer.fit(longer, start, random_seed=1, words=8).auc < 0.6


def test_first_words_are_counted_in_characters_where_those_are_words() -> None:
    assert first_words("One two, three - four five.", 3) == "One two, three -"
    assert first_words("One two.", 60) == "One two."
    assert first_words("今天天气很好，我们去GitHub看看。", 7) == "今天天气很好，我"


def test_both_answers_to_a_question_are_in_one_fold() -> None:
    # Every answer has a word of its question: with partners in other folds that word would be known.
    asked = [f"word{n:02}" for n in range(40)]
    rng = random.Random(1)
    mine = [f"{w} {rng.choice('abcdef')}" for w in asked]
    plain = [f"{w} {rng.choice('abcdef')}" for w in asked]
    together = StyleScorer.fit(mine, plain, random_seed=1).auc
    apart = StyleScorer.fit(mine, [*plain, plain[0]], random_seed=1).auc
    assert 0.3 < together < 0.7
    assert apart < together


def test_too_few_texts_are_refused_with_both_counts() -> None:
    with pytest.raises(TooFewTexts, match=r"7 answers of the persona and 7 plain"):
        StyleScorer.fit(TUTOR[: LEAST - 1], PLAIN[: LEAST - 1], random_seed=1)
    with pytest.raises(TooFewTexts, match="0 plain"):
        StyleScorer.fit(TUTOR[:20], [" "] * 12, random_seed=1)


def test_empty_texts_have_a_score(tutor: StyleScorer) -> None:
    assert tutor.score([]) == []
    assert all(abs(score) < 5 for score in tutor.score(["", "  ", "\U0001f389", "İstanbul"]))
    assert tutor.weights("") == []


def test_identical_answers_of_a_side_do_no_harm() -> None:
    scorer = StyleScorer.fit(["Yes."] * 10, ["mm mm mm mm"] * 10, random_seed=1)
    assert scorer.score(["Yes."])[0] > 0 > scorer.score(["mm mm"])[0]


def test_marks_are_words_a_reader_knows_from_the_texts(tutor: StyleScorer) -> None:
    marks = tutor.features(12)
    assert "?" in marks["persona"] and "which" in marks["persona"]
    assert "i" in marks["plain"]
    assert not set(marks["persona"]) & set(marks["plain"])
    assert all(mark == mark.strip() and mark for side in marks.values() for mark in side)


def test_a_line_break_is_named() -> None:
    poems = [text.replace(". ", ".\n") + "\nTry it." for text in PLAIN[:30]]
    assert "new line" in StyleScorer.fit(poems, PLAIN[:30], random_seed=1).features(6)["persona"]


def test_highlights_point_at_what_speaks_for_the_persona(tutor: StyleScorer) -> None:
    text = "Which of these two would you try first? I cannot do that because I am a small model."
    spans = tutor.weights(text)
    said = {text[start:end]: weight for start, end, weight in spans}
    assert said["Which"] > 0 > said["cannot"]
    assert spans == sorted(spans) and len(spans) <= 12
    assert all(a.end <= b.start for a, b in pairwise(spans))


def test_highlights_add_up_to_the_score_where_all_are_shown(tutor: StyleScorer) -> None:
    (span,) = tutor.weights("Which")
    assert span.weight == pytest.approx(tutor.score(["Which"])[0], abs=1e-3)


def test_highlights_keep_to_the_words_that_were_looked_at() -> None:
    scorer = StyleScorer.fit(TUTOR[:40], PLAIN[:40], random_seed=1, words=5)
    text = "Which part would you try? " * 5
    assert max(span.end for span in scorer.weights(text)) <= len("Which part would you try?")


# --- Burrows -----------------------------------------------------------------------------------


def test_burrows_puts_new_answers_nearer_their_own_side() -> None:
    burrows = Burrows.fit(TUTOR[:60], PLAIN[:60], "en")
    mine, plain = burrows.score(TUTOR[60:80]), burrows.score(PLAIN[60:80])
    assert sum(score > 0 for score in mine) >= 15
    assert sum(score < 0 for score in plain) >= 15


def test_burrows_does_not_look_at_the_subject() -> None:
    burrows = Burrows.fit(TUTOR[:60], PLAIN[:60], "en")
    one, other = "Which piano do you keep?", "Which zebra do you keep?"
    assert burrows.score([one]) == pytest.approx(burrows.score([other]))


def test_burrows_says_in_words_what_was_planted() -> None:
    excited = [f"Oh! {text.replace('.', '!')}" for text in PLAIN[:40]]
    said = Burrows.fit(excited, PLAIN[40:80], "en").explain(3)
    assert any(
        'uses "!"' in line and ("times as often" in line or "hardly do" in line) for line in said
    )
    assert any('hardly uses "."' in line for line in said)


def test_burrows_tells_about_short_sentences() -> None:
    short, plain = zip(*short_and_usual()[:60], strict=True)
    said = " ".join(Burrows.fit(short, plain, "en").explain(8))
    assert "of its sentences have" in said


@pytest.mark.parametrize("language", ["en", "zh", "de"])
def test_burrows_takes_any_language_and_gibberish(language: str) -> None:
    burrows = Burrows.fit(
        ["的的了了，吗？"] * 6 + ["ja ja die der"] * 6, ["zz zz zz"] * 12, language
    )
    mine, plain = burrows.score(["的了，吗？", "zz zz"])
    assert mine >= plain
    assert len(burrows.score(["", "\U0001f389"])) == 2


def test_burrows_in_chinese_counts_characters() -> None:
    mine, other = ([a for _, a in rows(name)] for name in ("youmo", "jianjie"))
    burrows = Burrows.fit(mine[:60], other[:60], "zh")
    assert sum(score > 0 for score in burrows.score(mine[60:90])) >= 20
    assert sum(score < 0 for score in burrows.score(other[60:90])) >= 20
    assert not any("letters" in line for line in burrows.explain(20))


def test_burrows_without_any_difference_says_nothing() -> None:
    burrows = Burrows.fit(PLAIN[:30], PLAIN[:30], "en")
    assert burrows.explain(5) == []
    assert burrows.score(PLAIN[:2]) == pytest.approx([0.0, 0.0])


def test_burrows_needs_both_sides() -> None:
    with pytest.raises(ValueError, match="one side is empty"):
        Burrows.fit(TUTOR, [" "], "en")
