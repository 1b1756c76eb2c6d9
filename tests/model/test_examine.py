"""An evaluation holds no more models at a time than there is memory for."""

from __future__ import annotations

from pathlib import Path

from factory.capacity import Typical
from factory.hardware import GIB, Gpu, Hardware
from factory.model.examine import crowded
from factory.model.subject import Subject
from factory.model.trial import Arm
from factory.plan import choose
from factory.spec import Tune

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
