"""An engine in this process: what it held is free when it has ended."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

from serve.engines.hosting import hosted
from tests.serve.test_relay import Script


def test_what_answered_is_let_go_of_even_where_the_collector_never_looks(
    set_aside: Callable[[], None],
) -> None:
    brain = Script(2)
    kept = weakref.ref(brain)
    with hosted(brain, model="inner", max_model_len=100):
        del brain
        set_aside()
    gc.collect()
    assert kept() is None
