"""Grades how many of the persona's own rules an answer keeps."""

from __future__ import annotations

from collections.abc import Sequence

from factory.contracts import Case, Grade, GradingError, Reply
from factory.rules import check
from factory.spec import Rule


class Rules:
    """The share of rules kept; the reason lists what was broken.

    Args:
        spec_rules: The persona's rules; without any, this grader applies to nothing.
        language: Language of the answers; a language rule brings its own.
    """

    name = "rules"
    version = 1

    def __init__(self, spec_rules: Sequence[Rule], language: str) -> None:
        self._rules = tuple(spec_rules)

    def applies(self, case: Case) -> bool:
        """Whether there are rules to keep; they hold for every question."""
        return bool(self._rules)

    def grade(self, case: Case, reply: Reply) -> Grade:
        """Count the rules the reply keeps.

        Raises:
            GradingError: If the persona has no rules.
        """
        if not self._rules:
            raise GradingError("this persona has no rules to grade by")
        breaks = check(self._rules, reply.text)
        total = len(self._rules)
        if not breaks:
            return Grade(1.0, f"all {total} rules kept" if total > 1 else "the rule is kept")
        return Grade(1 - len(breaks) / total, "; ".join(breaks))
