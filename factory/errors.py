"""Every error a user can meet, each with an exit code and the next step to take.

    FactoryError                    1   something went wrong while working
    ├── UsageError                  2   the command, the persona file or the data is wrong
    │   └── ConfigErrors            2   every problem of one persona file, at once
    ├── BusyError                   1   another process holds the lock
    ├── EngineError                 1   the inference engine did not start or died
    ├── TrainingError               1   training produced nothing usable
    └── VerdictError                    the work is done and the answer is no
        ├── Regression             10   the tuned model is worse
        ├── Inconclusive           11   the run could not tell
        └── InstrumentInvalid      12   the measurement itself failed

Imports nothing of ours, so that every module can use it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

INTERRUPTED = 130
"""Exit code after Ctrl-C (128 + SIGINT, the shell convention)."""


class FactoryError(Exception):
    """An error with everything a user needs: where, what, got, allowed, next.

    Args:
        what: One sentence that names the problem.
        where: File, file:line, or dotted config field.
        got: The offending value, as the user wrote it.
        allowed: What would have been accepted.
        hint: The next step to take.
    """

    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        got: object = None,
        allowed: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.got = got
        self.allowed = allowed
        self.hint = hint

    def __str__(self) -> str:
        lines = [f"{self.where}: {self.what}" if self.where else self.what]
        if self.got is not None:
            lines.append(f"  got:     {self.got}")
        if self.allowed:
            lines.append(f"  allowed: {self.allowed}")
        if self.hint:
            lines.append(f"  next:    {self.hint}")
        return "\n".join(lines)


class UsageError(FactoryError):
    """The command, the persona file, its data or its base model is wrong."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a persona file; `where` is `file:line` and `field` a dotted path."""

    where: str
    field: str
    what: str
    got: str | None = None
    allowed: str | None = None
    hint: str | None = None

    def __str__(self) -> str:
        head = (
            f"{self.where}: {self.field}: {self.what}"
            if self.field
            else f"{self.where}: {self.what}"
        )
        return str(FactoryError(head, got=self.got, allowed=self.allowed, hint=self.hint))


class ConfigErrors(UsageError):
    """All problems of one persona file; `problems` holds them in file order."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        count = len(problems)
        super().__init__(f"{count} problem{'s' if count != 1 else ''} found")
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join([*map(str, self.problems), f"{self.what}; nothing was built."])


class BusyError(FactoryError):
    """Another process is doing this very work."""


class EngineError(FactoryError):
    """The inference engine is missing, did not start, or died."""


class TrainingError(FactoryError):
    """Training ran and produced nothing usable (NaN loss, no trainable token, out of memory)."""


class VerdictError(FactoryError):
    """The work is done and the answer is no; leaves carry the exit code of the verdict."""


class Regression(VerdictError):
    """The tuned model is worse than its base on something that gates."""

    exit_code = 10


class Inconclusive(VerdictError):
    """The evidence does not decide."""

    exit_code = 11


class InstrumentInvalid(VerdictError):
    """The measuring instrument failed, so there is no score (law 8)."""

    exit_code = 12
