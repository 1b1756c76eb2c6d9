"""Everything a persona file names, found and checked before any work: base, data files, plug-ins, teacher."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from factory import plugins
from factory.base import resolve
from factory.errors import UsageError
from factory.load import load, located
from factory.stages.distill import checks as teacher_checks
from factory.stages.gather import data_file
from factory.suite.judge import check as check_judge
from factory.suite.room import too_long

KEY = "teacher.api_key_variable"
"""Where the error of a missing key is; only a build needs one."""


def opened(
    file: Path, overrides: Sequence[str], *, weights: bool, asks: bool = False
) -> tuple[Any, Any, list[Any]]:
    """The persona, its base and its data files; whatever is wrong with them, all at once.

    Args:
        file: The persona file.
        overrides: `--set` options.
        weights: Whether the base's weights are needed, too.
        asks: Whether its teacher will be asked; else its key may be missing.
    """
    spec = load(file, overrides)
    wrong: list[UsageError] = []

    def attempt(make: Callable[[], Any]) -> Any:
        try:
            return make()
        except UsageError as error:
            if asks or error.where != KEY:
                wrong.append(error)

    for name in spec.evaluate.graders:
        attempt(partial(plugins.find, "graders", name, "evaluate.graders"))
    for name in spec.merge.engines:
        attempt(partial(plugins.find, "engines", name, "merge.engines"))
    if spec.serve.engine != "auto":
        attempt(partial(plugins.find, "engines", spec.serve.engine, "serve.engine"))
    files = [attempt(partial(data_file, name, file.parent)) for name in spec.data]
    base = attempt(partial(resolve, spec.base, beside=file.parent, weights=weights))
    for look in teacher_checks(spec, base) if base else []:
        attempt(look)
    if base:
        wrong.extend(attempt(partial(too_long, spec, base)) or ())
    if spec.evaluate.judge and base:
        of = base if spec.evaluate.judge.type == "self" else None
        attempt(partial(check_judge, spec.evaluate.judge, of))
    if wrong:
        raise located(file, overrides, wrong)
    return spec, base, files
