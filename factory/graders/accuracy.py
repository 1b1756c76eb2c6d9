"""Grades whether an answer holds the expected text or ends on the expected number."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from factory.contracts import Case, Grade, GradingError, Reply
from factory.graders.numerals import last_number
from factory.rows.words import CJK, denied
from factory.spec import Rule

_THINKING = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", re.S | re.I)
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")
_ACCENT = re.compile("[\u0300-\u036f]")
_MARKS = re.compile(r"[*`]|(?<!\w)_+|_+(?!\w)|\\boxed|\\text|\\mathrm|[{}$\\]")


class Accuracy:
    """1 if the expected answer is there, else 0.

    Accepted texts are looked for in any case, on word bounds (inside other text for Chinese,
    Japanese and Korean), whatever the Markdown around them; a mention right after "not" does not
    count. A number is compared with the last number of the answer, in digits or in words.

    Args:
        spec_rules: The persona's rules; not looked at.
        language: Language of the answers; decides what a comma in a number means.
    """

    name = "accuracy"
    version = 1

    def __init__(self, spec_rules: Sequence[Rule], language: str) -> None:
        self._language = language

    def applies(self, case: Case) -> bool:
        """Whether the question has an expected answer."""
        return case.expect is not None

    def grade(self, case: Case, reply: Reply) -> Grade:
        """Compare the reply with what is expected.

        Raises:
            GradingError: If the question is an open one.
        """
        text = _THINKING.sub(" ", reply.text)
        if case.expect is None:
            raise GradingError(f"question {case.id} has no expected answer")
        if isinstance(case.expect, dict):
            return self._grade_number(
                case.expect["number"], case.expect.get("tolerance", 0.0), text
            )
        accepted = [case.expect] if isinstance(case.expect, str) else list(case.expect)
        found = next((wanted for wanted in accepted if mentions(text, wanted)), None)
        if found is not None:
            return Grade(1.0, f'says "{found}"')
        return Grade(0.0, "does not say " + " or ".join(f'"{wanted}"' for wanted in accepted))

    def _grade_number(self, wanted: float, tolerance: float, text: str) -> Grade:
        found = last_number(text, self._language)
        if found is None:
            return Grade(0.0, f"no number; expected {wanted:g}")
        # sums like 0.1 + 0.2 must not fail an exact comparison
        right = abs(found - wanted) <= tolerance + 1e-9 * max(1.0, abs(wanted))
        return Grade(float(right), f"last number is {found:g}, expected {wanted:g}")


def mentions(text: str, wanted: str) -> bool:
    """Whether a text says a word or phrase without denying it in the same breath."""
    text, wanted = _plain(text), _plain(wanted)
    if not wanted:
        return False
    return any(not denied(text, m.start()) for m in _bounded(wanted).finditer(text))


def _bounded(wanted: str) -> re.Pattern[str]:
    """Word bounds where the phrase has letters at its ends; digits may not run on as a number."""
    body = re.escape(wanted).replace(r"\ ", r"\s+")
    first, last = wanted[0], wanted[-1]
    cjk = f"[{CJK}]"
    before = "" if re.match(cjk, first) or not first.isalnum() else rf"(?<![^\W_{CJK}])"
    after = "" if re.match(cjk, last) or not last.isalnum() else rf"(?![^\W_{CJK}])"
    if first.isdigit():
        before += r"(?<!\d[.,])(?<![-\u2212])"
    if last.isdigit():
        after += r"(?![.,]\d)"
    return re.compile(before + body + after)


def _plain(text: str) -> str:
    """Text without Markdown, accents, width and case, with single blanks."""
    text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).replace("\u2019", "'")
    text = _ACCENT.sub("", unicodedata.normalize("NFD", text))
    text = unicodedata.normalize("NFC", _MARKS.sub("", text)).casefold()
    return re.sub(r"\s+", " ", text).strip()
