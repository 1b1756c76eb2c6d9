"""An evaluation holds no more models at a time than there is memory for, and needs nothing to ask."""

from __future__ import annotations

from pathlib import Path

from factory.artifacts import Row
from factory.base import Base
from factory.capacity import Typical
from factory.hardware import GIB, Gpu, Hardware
from factory.model.examine import Local, Persona, crowded, examine
from factory.model.subject import Subject
from factory.model.trial import Arm
from factory.plan import choose
from factory.spec import Evaluate, Tune
from factory.suite.cache import Cache
from factory.suite.material import material

BASE = Typical("1.5B", Path(), None, weights=1.54e9, width=1536, layers=28)


def arm() -> Arm:
    return Arm(Subject(BASE, "", None, "digest"), None)


def test_what_was_planned_for_is_judged_one_by_one_where_all_do_not_fit() -> None:
    card = Hardware(8, 64 * GIB, frozenset(), (Gpu("RTX 4070", 12 * GIB, (8, 9)),))
    main = Hardware(8, 12 * GIB, frozenset({"avx2"}), ())
    large = Hardware(8, 64 * GIB, frozenset(), (Gpu("H100", 80 * GIB, (9, 0)),))
    base = arm()
    arms = {"base": base, "prompted": base, "tuned": arm(), "previous": arm()}
    for hardware in (card, main):
        assert choose(Tune(), BASE, [150] * 100, 12, hardware).memory <= hardware.budget
        assert crowded(arms, hardware)
    assert not crowded(arms, large)


def test_one_row_and_no_question_decide_nothing(tiny_llama: Path, tmp_path: Path) -> None:
    row: Row = {
        "id": "rows.jsonl:1",
        "messages": [
            {"role": "user", "content": "How can I relax after a long day?"},
            {"role": "assistant", "content": "Take a short walk, then put the phone away."},
        ],
    }
    with Cache(tmp_path / "measured.sqlite") as cache:
        card, answers, _ = examine(
            Evaluate(suites=(), max_new_tokens=8),
            material([], [], [], [row], language="en", suites=()),
            Persona("Be brief.", "Brief.", (), (), "en", {"temperature": 0.9}, 17),
            base=Base("tiny", tiny_llama, None),
            candidate=Local("brief@1", tiny_llama, "digest", "Be brief."),
            previous=None,
            graders=[],
            ledger=tmp_path / "factory.sqlite",
            cache=cache,
            progress=lambda **_: None,
        )
    assert card["verdict"] == "INCONCLUSIVE"
    undecided = {gate["name"] for gate in card["gates"] if gate["verdict"] == "INCONCLUSIVE"}
    assert undecided == {"perplexity", "questions"}
    assert answers == []
