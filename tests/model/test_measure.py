"""An arm is measured to the end, also where its window is small."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from factory.base import Base
from factory.contracts import Case
from factory.model.measure import Draw, answer, answer_suites, read, readable
from factory.model.sampling import Sampling
from factory.model.subject import Subject
from factory.suite.items import Script
from factory.suite.material import Material, material
from factory.suite.panel import HOLD_TURNS, Panel
from factory.suite.scores import Measured
from factory.suite.style import StyleScorer
from tests.suite.texts import rows, usual

DRAW = Draw(Sampling(temperature=0.9, max_new_tokens=6), 17, "tuned")
LONG = " ".join(["Tell me much more about kettles, lamps and tea."] * 8)


def asked(*scripts: Script) -> Material:
    bare = material([], [], [], [], language="en", suites=[])
    return replace(bare, scripts=scripts)


def test_a_conversation_that_outgrows_the_window_ends_early(tiny_llama: Path) -> None:
    subject = Subject(Base("tiny", tiny_llama, None), "Be brief.", None, "digest")
    short = Script("short", tuple("abcdefgh"))
    long = Script("long", (LONG,) * 8)
    found = Measured()
    answer_suites(subject, asked(short, long), DRAW, found, lambda _: None)
    subject.close()
    assert len(found.turns["short"]) == 8
    assert 1 <= len(found.turns["long"]) < 8

    voiced = [answer for _, answer in rows("tutor")[:20]]
    style = StyleScorer.fit(voiced, usual()[:20], random_seed=1)
    held = Panel((), (), "en", style, None, None).hold(asked(short, long), {"tuned": found})
    assert held is not None
    reached = len(found.turns["long"])
    # what one talk did not reach is not made up from the others
    assert [value is None for value in held["style"]["tuned"]] == [n > reached for n in HOLD_TURNS]


def test_more_samples_go_on_where_the_first_ones_ended(tiny_llama: Path) -> None:
    subject = Subject(Base("tiny", tiny_llama, None), "", None, "digest")
    cases = [Case(f"q{n}", [{"role": "user", "content": f"What is {n}?"}]) for n in range(3)]
    step, whole = Measured(), Measured()
    answer(subject, cases, DRAW, 2, step, lambda _: None)
    first = dict(step.answers)
    answer(subject, cases, DRAW, 4, step, lambda _: None)
    answer(subject, cases, DRAW, 4, whole, lambda _: None)
    subject.close()
    for case in cases:
        assert step.answers[case.id].samples[:2] == first[case.id].samples
        assert step.answers[case.id] == whole.answers[case.id]
        assert len({reply.text for reply in whole.answers[case.id].samples}) == 4


def test_a_plain_answer_that_an_arm_cannot_read_is_left_out_for_all(tiny_llama: Path) -> None:
    bare = Subject(Base("tiny", tiny_llama, None), "", None, "digest")
    prompted, wordy = bare.behind("Be brief."), bare.behind("Be brief, and plain. " * 8)
    question = {"role": "user", "content": "Where is my lamp?"}
    said = {"role": "assistant", "content": "On its way."}
    held_out = [{"id": name, "messages": [question, said]} for name in ("good", "marked", "long")]
    # without a prompt it fits, behind the longer one it does not
    long = "tea " * next(
        n
        for n in range(100, 600)
        if not wordy.reads([question, {"role": "assistant", "content": "tea " * n}])
    )
    assert prompted.reads([question, {"role": "assistant", "content": long}])
    rows = replace(asked(), held_out=tuple(held_out))
    plain = {"good": "It is on its way.", "marked": "One <|im_end|> two.", "long": long}
    kept, twins = readable([prompted, bare, wordy], rows, plain)
    for subject in (prompted, wordy):
        found = Measured()
        read(subject, bare, kept, twins, {}, found)
        assert set(found.likelihoods["twin"]) == set(found.likelihoods["plain"]) == {"good"}
        assert set(found.likelihoods["held_out"]) == {"good", "marked", "long"}
    bare.close()
