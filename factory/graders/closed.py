"""Checks of closed answers: whether one mentions a text, fits a pattern, or follows a JSON Schema."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Any, NoReturn

from factory.contracts import GradingError
from factory.rows.words import CJK, denied

_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")
_ACCENT = re.compile("[\u0300-\u036f]")
_MARKS = re.compile(r"[*`]|(?<!\w)_+|_+(?!\w)|\\boxed|\\text|\\mathrm|[{}$\\]")
_FENCE = re.compile(r"\A```[\w+-]*[ \t]*\n(.*?)\n?[ \t]*```\Z", re.S)


def mentions(text: str, wanted: str) -> bool:
    """Whether a text says a word or phrase without denying it in the same breath."""
    if plain := _plain(wanted):
        text, found = _plain(text), _bounded(plain)
    elif sign := _even(wanted).strip():  # Markdown elsewhere, here the answer itself
        text, found = _even(text), _alone(sign)
    else:
        return False
    return any(not denied(text, m.start()) for m in found.finditer(text))


def matches(text: str, pattern: str) -> bool:
    """Whether a pattern is found in an answer, in any case; `.` matches newlines.

    Raises:
        GradingError: If the pattern is no regular expression.
    """
    try:
        return re.search(pattern, text.strip(), re.I | re.S) is not None
    except re.error as error:
        raise GradingError(f"{pattern!r} is no regular expression: {error}") from error


def schema_fault(text: str, schema: Mapping[str, Any]) -> str | None:
    """Why an answer is not one JSON value that follows a schema; None if it is.

    One Markdown code fence around the whole answer is taken off first: chat models are taught to put
    it there, and programs to take it off. Any word beside the value is a fault. References to other
    documents are not fetched.

    Raises:
        GradingError: If the schema is no JSON Schema (draft 2020-12).
    """
    # slow to import, and only this needs them
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError, best_match
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    try:
        Draft202012Validator.check_schema(schema)
        check = Draft202012Validator(schema, registry=Registry())
        value = _json(text.strip())
        fault = best_match(check.iter_errors(value))
    except SchemaError as error:
        raise GradingError(f"the expected schema is no JSON Schema: {error.message}") from error
    except (Unresolvable, re.error) as error:
        raise GradingError(f"the expected schema cannot be used: {error}") from error
    except (ValueError, RecursionError) as error:
        return f"not one JSON value: {str(error)[:80]}"
    return f"{fault.json_path}: {fault.message[:120]}" if fault else None


def _json(text: str) -> Any:
    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is no JSON")

    fenced = _FENCE.match(text)
    return json.loads(fenced[1] if fenced else text, parse_constant=refuse)


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


def _alone(sign: str) -> re.Pattern[str]:
    """The sign by itself: `*` is meant as such in `3 * 4`, not in `**bold**`."""
    word, same = rf"[^\W{CJK}]", f"[{re.escape(sign)}]"
    return re.compile(rf"(?<!{word})(?<!{same}){re.escape(sign)}(?!{word})(?!{same})")


def _even(text: str) -> str:
    """Text without differences that nobody sees."""
    return _INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).replace("\u2019", "'")


def _plain(text: str) -> str:
    """Text without Markdown, accents, width and case, with single blanks."""
    text = _ACCENT.sub("", unicodedata.normalize("NFD", _even(text)))
    text = unicodedata.normalize("NFC", _MARKS.sub("", text)).casefold()
    return re.sub(r"\s+", " ", text).strip()
