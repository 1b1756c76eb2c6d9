"""From what a schema check found to problems in plain words, each with the nearest correct word."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from factory import questions, spec
from factory.errors import Problem
from factory.section import section_of
from factory.yamltree import Loc, dotted

RULES: dict[str, type[BaseModel]] = {
    next(iter(form.model_fields)): form
    for form in (
        spec.MaxWords,
        spec.MinWords,
        spec.Must,
        spec.MustNot,
        spec.LanguageRule,
        spec.FormatRule,
    )
}
"""The six forms of a rule by the key that tells them apart."""

OTHER_WORDS = {
    "answer": "output", "answers": "expect", "completion": "output", "response": "output",
    "question": "ask", "expected": "expect", "model": "base", "base_model": "base",
    "examples": "seeds", "pairs": "seeds", "dataset": "data", "files": "data",
    "tests": "questions", "system": "prompt", "system_prompt": "prompt", "style": "voice",
    "traits": "voice", "facts": "knowledge", "lang": "language", "id": "name",
    "seed": "random_seed", "lr": "learning_rate", "lora_rank": "rank", "r": "rank",
    "lora_alpha": "alpha", "dtype": "precision", "regex": "pattern", "target_modules": "targets",
    "batch": "batch_size", "num_train_epochs": "epochs", "cutoff_len": "max_length",
    "warmup_ratio": "warmup", "license": "licence", "forbid": "must_not", "never": "must_not",
    "always": "must", "include": "must",
}  # fmt: skip
"""What people and other tools call our fields; used where it is a field of the same section."""

LANGUAGE_WORDS = {
    "chinese": "zh", "cn": "zh", "中文": "zh", "汉语": "zh", "english": "en", "us": "en",
    "gb": "en", "英文": "en", "英语": "en", "german": "de", "deutsch": "de", "french": "fr",
    "spanish": "es", "japanese": "ja", "jp": "ja", "korean": "ko", "ua": "uk", "cz": "cs",
    "dk": "da", "gr": "el",
}  # fmt: skip
"""Names and country codes that are written where a language code is wanted."""

_TYPES = {
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "too_long": "must be a pair: [user, assistant]",
    "model_type": "must be a mapping, that is, lines of `key: value`",
    "dict_type": "must be a mapping, that is, lines of `key: value`",
    "rule_kind": "is not a rule",
    "expect_kind": "must be text, a list of texts, or {number: ...} and the like",
}
_BOUNDS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}


def problems(
    errors: Iterable[ErrorDetails], data: dict[str, Any], place: Callable[[Loc], str]
) -> Iterator[tuple[Loc, Problem]]:
    """Word the errors of a schema check.

    Args:
        errors: What pydantic found when `factory.spec.Spec` was made of `data`.
        data: The persona file as plain data.
        place: Gives `file:line` of a field.

    Yields:
        The field's path and its problem; a misspelt key is one problem, not also a missing one.
    """
    located = list(_locate(errors, data))
    misspelt = {
        (*loc[:-1], nearest(str(loc[-1]), _fields(loc[:-1], data)))
        for loc, error in located
        if error["type"] == "extra_forbidden"
    }
    for loc, error in located:
        if error["type"] == "missing" and loc in misspelt:
            continue
        yield loc, _problem(loc, error, data, place(loc))


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The one of `words` that somebody who wrote `word` most likely meant."""
    words = list(words)
    other = OTHER_WORDS.get(word.lower())
    if other in words:
        return other
    close = difflib.get_close_matches(word.lower().replace("-", "_"), words, n=1, cutoff=0.55)
    return close[0] if close else None


def nearest_language(word: str) -> str | None:
    """The two-letter code that was meant by `English`, `en-US`, `cn`."""
    word = word.strip().lower()
    region = re.fullmatch(r"([a-z]{2})[-_]\w+", word)
    return LANGUAGE_WORDS.get(word) or (region.group(1) if region else None)


def show(value: Any) -> str:
    """A value as the user wrote it, on one short line."""
    if value is None:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else f'"{value}"'
    text = " ".join(text.split())
    return text if len(text) <= 70 else text[:69] + "…"


def _locate(
    errors: Iterable[ErrorDetails], data: dict[str, Any]
) -> Iterator[tuple[Loc, ErrorDetails]]:
    """Errors by the path a user sees: no names of rule forms, one branch of `expect`."""
    for error in errors:
        loc = error["loc"]
        if loc[:1] == ("rules",) and len(loc) > 2:
            loc = (*loc[:2], *loc[3:])
        elif loc[:1] == ("questions",) and loc[2:3] == ("expect",) and len(loc) > 3:
            tag = str(loc[3])  # `tuple[...]`, `function-after[..., str]`, or the name of a form
            branch = tag.strip("]").split()[-1] if "Expected" in tag else tag.split("[")[0]
            value = _value(loc[:3], data)
            wanted = questions.form(value).__name__ if isinstance(value, dict) else "function-after"
            if branch != ("tuple" if isinstance(value, list) else wanted):
                continue
            if not isinstance(value, dict | list | str):
                error = {**error, "type": "expect_kind"}
            loc = (*loc[:3], *loc[4:])
        yield loc, error


def _problem(loc: Loc, error: ErrorDetails, data: dict[str, Any], where: str) -> Problem:
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    field = _field(loc, data)
    allowed = field.description if field else None
    got: str | None = show(value)
    hint: str | None = None
    if kind == "extra_forbidden":
        what, allowed, hint = _unknown(loc, data)
        got = str(loc[-1])
    elif kind == "missing":
        pair = isinstance(loc[-1], int)
        what, got = (_TYPES["too_long"], None) if pair else ("is missing", None)
    elif kind == "literal_error":
        choices = re.findall(r"'([^']*)'", context["expected"])
        what, allowed = "is not one of the allowed words", ", ".join(choices)
        near = nearest(str(value), choices)
        hint = f"did you mean `{near}`?" if near else None
    elif kind == "string_pattern_mismatch":
        code = nearest_language(str(value))
        what = "must be a two-letter language code"
        hint = f"did you mean `{code}`?" if code else None
    elif kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        what = f"must be {words} {context[bound]:.12g}"
        allowed = f"{_range(field)}. {allowed}" if field else allowed
    elif kind == "value_error":
        what, hint = str(context["error"]), _renamed(loc, value)
        got = got if loc else None
    else:
        what = _TYPES.get(kind, "is not what is wanted here")
        hint = _hint(loc, kind, value)
        if kind == "rule_kind":
            allowed = "a mapping with one of: " + ", ".join(RULES)
    return Problem(where, dotted(loc), what, got, allowed, hint)


def _unknown(loc: Loc, data: dict[str, Any]) -> tuple[str, str, str | None]:
    key, section = str(loc[-1]), loc[:-1]
    allowed = list(_fields(section, data))
    if section[:1] == ("rules",) and key in RULES:
        return "a rule checks one thing", ", ".join(allowed), "write two rules, one line each"
    hint = None
    near = nearest(key, allowed)
    homes = [
        name for name in ("", *_SECTIONS) if key in _SECTIONS.get(name, spec.Spec).model_fields
    ]
    if homes:
        hint = f"it belongs under `{homes[0]}:`" if homes[0] else "it belongs to the top level"
    elif near:
        hint = f"did you mean `{near}`?"
    return "unknown key", ", ".join(allowed), hint


def _hint(loc: Loc, kind: str, value: Any) -> str | None:
    if value is None and kind == "model_type" and len(loc) == 1:
        return "write its fields below it, indented, or remove the line"
    if value is None:
        mark = "dash" if isinstance(loc[-1], int) else "colon"
        return f"write something after the {mark}, or remove the line"
    if kind in ("string_type", "expect_kind") and isinstance(value, bool | int | float):
        text = json.dumps(value)
        number = kind == "expect_kind" and not isinstance(value, bool)
        return f'put it in quotes: "{text}"' + (f" or {{number: {text}}}" if number else "")
    if kind in ("string_type", "expect_kind") and isinstance(value, dict | list):
        return "a text that begins with { or [, or has `: ` in it, needs quotes"
    if kind in ("int_type", "float_type", "bool_type") and isinstance(value, str):
        bare = re.fullmatch(r"\s*([-+]?\d+(\.\d+)?|true|false)\s*", value)
        return "remove the quotes" if bare else None
    if kind == "tuple_type" and isinstance(value, str):
        if value.startswith("-"):
            return "put a space after each dash"
        return "write [one, two], or one line for each, beginning with `- `"
    if kind == "tuple_type" and isinstance(value, dict):
        return "begin each item with `- `"
    if kind == "rule_kind" and isinstance(value, dict):
        near = next((near for key in value if (near := nearest(key, RULES))), None)
        return f"did you mean `{near}`?" if near else None
    if kind == "rule_kind":
        return "for example: {max_words: 40}, or {must_not: a text}"
    if kind == "model_type" and loc[:1] == ("questions",):
        return "write it as `ask: ...`"
    if kind == "model_type" and loc[:1] == ("seeds",):
        return "each seed has `instruction:` and `output:`"
    return None


def _renamed(loc: Loc, value: Any) -> str | None:
    """A usable name close to one that is not, where spelling is all that is wrong with it."""
    if loc != ("name",) or not isinstance(value, str):
        return None
    name = re.sub(r"[^a-z0-9._-]+", "-", value.lower())[:64].strip("-._")
    try:
        return f"for example: {spec.Spec.validate_name(name)}"
    except ValueError:
        return "choose another name"


# --- the model behind a path -------------------------------------------------------------------

_SECTIONS: dict[str, type[BaseModel]] = {
    name: kind
    for name, info in spec.Spec.model_fields.items()
    if (kind := section_of(info.annotation))
}


def _value(loc: Loc, data: Any) -> Any:
    for part in loc:
        data = data[part]
    return data


def _fields(loc: Loc, data: dict[str, Any]) -> Mapping[str, FieldInfo]:
    """The fields of the section at a path; none if it is not a section."""
    match loc:
        case ():
            return spec.Spec.model_fields
        case (str() as name,) if name in _SECTIONS:
            return _SECTIONS[name].model_fields
        case (str() as name, str() as inner) if name in _SECTIONS:
            info = _SECTIONS[name].model_fields.get(inner)
            section = section_of(info.annotation) if info else None
            return section.model_fields if section else {}
        case ("seeds", int()):
            return spec.Seed.model_fields
        case ("questions", int()):
            return questions.Question.model_fields
        case ("questions", int(), "expect"):
            return questions.form(_value(loc, data)).model_fields
        case ("rules", int()):
            rule = _value(loc, data)
            kind = next((kind for kind in RULES if kind in rule), None)
            return RULES[kind].model_fields if kind else {}
    return {}


def _field(loc: Loc, data: dict[str, Any]) -> FieldInfo | None:
    while loc and isinstance(loc[-1], int):
        loc = loc[:-1]
    return _fields(loc[:-1], data).get(str(loc[-1])) if loc else None


def _range(field: FieldInfo) -> str:
    """What numbers a field takes, e.g. `1 to 512`."""
    low = high = ""
    for bound in field.metadata:
        match bound:
            case annotated_types.Ge(ge=limit):
                low = f"{limit:.12g}"
            case annotated_types.Gt(gt=limit):
                low = f"above {limit:.12g}"
            case annotated_types.Le(le=limit):
                high = f"{limit:.12g}"
            case annotated_types.Lt(lt=limit):
                high = f"below {limit:.12g}"
    if low[:1].isdigit() and high[:1].isdigit():
        return f"{low} to {high}"
    low = f"{low} or more" if low[:1].isdigit() else low
    high = f"up to {high}" if high[:1].isdigit() else high
    return ", ".join(filter(None, (low, high)))
