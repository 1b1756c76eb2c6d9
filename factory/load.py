"""From a persona file and `--set` options to a Spec, or to every problem in them at once."""

from __future__ import annotations

import difflib
import json
import math
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from factory import textfile, wording
from factory.errors import ConfigErrors, Problem, UsageError
from factory.spec import Spec
from factory.yamltree import Document, Loc, dotted, parse, parse_value

ENOUGH_QUESTIONS = 10
"""Fewer held-out questions than this say little about a persona."""


def load(path: Path, overrides: Sequence[str] = ()) -> Spec:
    """Read a persona file.

    Args:
        path: The YAML file; problems name it as it is written here.
        overrides: `--set` options, each `dotted.path=value`; the value is read as YAML, and an
            empty one stands for the default. They are checked like the file.

    Raises:
        ConfigErrors: With every problem, in the order of the file, those of `--set` last.
    """
    document = parse(path, textfile.read(path))
    places = _Places(path, document)
    problems: list[tuple[float, Problem]] = list(document.problems)
    for text in overrides:
        problem = places.override(text)
        if problem:
            problems.append((math.inf, problem))
    spec, errors = _check(places.data)
    found = [
        *wording.problems(errors, places.data, places.name),
        *_missing_files(places),
        *_country_codes(places),
    ]
    problems += [(places.line(loc), problem) for loc, problem in found]
    if spec is None or problems:
        raise ConfigErrors(list(dict.fromkeys(p for _, p in sorted(problems, key=lambda p: p[0]))))
    return spec


def warnings(spec: Spec) -> list[str]:
    """What is allowed but seldom meant, one sentence each."""
    return list(_warnings(spec))


def located(path: Path, overrides: Sequence[str], errors: Sequence[UsageError]) -> ConfigErrors:
    """Errors that showed behind the schema (base, data files, plug-ins) as problems of the file.

    Args:
        path: The persona file.
        overrides: The `--set` options it was loaded with.
        errors: Their `where` is a dotted field, list items counted from 1, or `data: NAME`.
    """
    document = parse(path, textfile.read(path))
    return ConfigErrors([_located(path, document, overrides, error) for error in errors])


def _located(
    path: Path, document: Document, overrides: Sequence[str], error: UsageError
) -> Problem:
    field, _, item = (error.where or "").partition(": ")
    loc: Loc = tuple(int(part) - 1 if part.isdecimal() else part for part in field.split("."))
    listed = document.data.get(field)
    if isinstance(listed, list) and item in listed:
        loc = (*loc, listed.index(item))
    option = next((o for o in overrides if f"{field}.".startswith(f"{o.partition('=')[0]}.")), None)
    lines = (document.line(loc[:count]) for count in range(len(loc), 0, -1))
    line = next((line for line in lines if line), None)
    where = f"--set {option}" if option else f"{path}:{line}" if line else str(path)
    got = None if error.got is None else str(error.got)
    return Problem(where, dotted(loc), error.what, got, error.allowed, error.hint)


# --- checks ------------------------------------------------------------------------------------


def _check(data: dict[str, Any]) -> tuple[Spec | None, list[ErrorDetails]]:
    """The Spec, or every error of the schema, those of the whole file included."""
    spec, errors = _validate(data)
    if errors and all(error["loc"] for error in errors):
        # Checks of the whole run only on a file without other errors: take the wrong parts out.
        wrong = {error["loc"][0] for error in errors}
        rest = {key: value for key, value in data.items() if key not in wrong}
        rest |= {"name": "x", "description": "x"}
        if wrong & {"seeds", "data"}:
            rest["data"] = ["x"]
        errors += [error for error in _validate(rest)[1] if not error["loc"]]
    return spec, [_of_field(error) for error in errors]


def _validate(data: dict[str, Any]) -> tuple[Spec | None, list[ErrorDetails]]:
    try:
        # As JSON, because only there strict means what a user expects: a list is a list, but
        # "16" is no number and `true` is no 1.
        return Spec.model_validate_json(json.dumps(data), strict=True), []
    except ValidationError as error:
        return None, error.errors(include_url=False)


def _of_field(error: ErrorDetails) -> ErrorDetails:
    """Give an error of the whole file the field that its sentence begins with, if it does."""
    if not error["loc"] and error["type"] == "value_error":
        word = str(error["ctx"]["error"]).split()[0]
        if word in Spec.model_fields:
            return {**error, "loc": (word,)}
    return error


def _missing_files(places: _Places) -> Iterator[tuple[Loc, Problem]]:
    folder, names = places.path.parent, places.data.get("data")
    for index, name in enumerate(names if isinstance(names, list) else []):
        if not isinstance(name, str) or not name.strip():
            continue
        loc: Loc = ("data", index)
        file = folder / os.path.expanduser(name)
        try:
            if file.is_file():
                continue
            what = "this is a folder, not a data file" if file.is_dir() else "there is no such file"
            inside = sorted(f.name for f in file.parent.iterdir() if f.is_file())
        except OSError:
            what, inside = "there is no such file", []
        near = difflib.get_close_matches(file.name, inside, n=1)
        hint = f"did you mean `{Path(name).parent / near[0]}`?" if near else None
        allowed = f"a file; paths are relative to {folder}"
        yield loc, Problem(places.name(loc), dotted(loc), what, str(file), allowed, hint)


def _country_codes(places: _Places) -> Iterator[tuple[Loc, Problem]]:
    data, rules = places.data, places.data.get("rules")
    candidates: list[tuple[Loc, Any]] = [(("language",), data.get("language"))]
    for index, rule in enumerate(rules if isinstance(rules, list) else []):
        if isinstance(rule, dict):
            candidates.append((("rules", index, "language"), rule.get("language")))
    for loc, code in candidates:
        if isinstance(code, str) and len(code) == 2 and code in wording.LANGUAGE_WORDS:
            meant = f"did you mean `{wording.LANGUAGE_WORDS[code]}`?"
            what = "is the code of a country, not of a language"
            yield loc, Problem(places.name(loc), dotted(loc), what, code, hint=meant)


# --- places and --set --------------------------------------------------------------------------


class _Places:
    """The data with its options applied, and where each field was written: file or `--set`."""

    def __init__(self, path: Path, document: Document) -> None:
        self.path = path
        self.data: dict[str, Any] = json.loads(json.dumps(document.data))  # parts aliases share
        self._document = document
        self._options: dict[Loc, str] = {}

    def override(self, text: str) -> Problem | None:
        """Apply one `--set` option to the data, or say why it cannot be."""
        where = f"--set {text}"
        name, equals, value = text.partition("=")
        *sections, field = (part.strip() for part in name.split("."))
        if not equals or not all((*sections, field)):
            example = "for example: --set tune.rank=16"
            return Problem(where, "", "is not `path=value`", hint=example)
        section = self.data
        for part in sections:
            if section.get(part) is None:
                section[part] = {}
            section = section[part]
            if not isinstance(section, dict):
                hint = "set the whole field, or edit the file"
                return Problem(where, name, f"`{part}` has no named parts", hint=hint)
        try:
            section[field] = parse_value(value)
        except ValueError as error:
            hint = f"put quotes around it: --set '{name}=\"...\"'"
            return Problem(where, name, str(error), got=value, hint=hint)
        if section[field] is None:
            del section[field]
        self._options[(*sections, field)] = where
        return None

    def name(self, loc: Loc) -> str:
        """`file:line`, or the option that set the field."""
        option = self._option(loc)
        return option if option else f"{self.path}:{self._line(loc)}"

    def line(self, loc: Loc) -> float:
        """Sort key: the line, or infinity for what an option set."""
        return math.inf if self._option(loc) else self._line(loc)

    def _option(self, loc: Loc) -> str | None:
        for length in range(len(loc), 0, -1):
            if loc[:length] in self._options:
                return self._options[loc[:length]]
        if loc and self._document.line(loc[:1]) is None:
            return next((o for at, o in self._options.items() if at[: len(loc)] == loc), None)
        return None

    def _line(self, loc: Loc) -> int:
        """The line of a field, or of what it is missing from."""
        while (line := self._document.line(loc)) is None:
            loc = loc[:-1]
        return line


# --- warnings ----------------------------------------------------------------------------------


def _warnings(spec: Spec) -> Iterator[str]:
    count = len(spec.questions)
    if not any(question.expect for question in spec.questions):
        yield "no question has an expected answer (`expect:`), so accuracy cannot be measured"
    if count < ENOUGH_QUESTIONS:
        yield f"{count} held-out questions are few; {ENOUGH_QUESTIONS} to 20 make a verdict firmer"
    if not spec.rules:
        yield "no rules: nothing checks that the answers keep to the persona"
    asked: dict[str, str] = {}
    seeds = {_essence(seed.instruction): n for n, seed in enumerate(spec.seeds, 1)}
    for question in spec.questions:
        essence = _essence(question.ask)
        if essence in asked:
            yield f"the question {wording.show(question.ask)} is asked twice"
        elif essence in seeds:
            yield (
                f"the question {wording.show(question.ask)} is also seed {seeds[essence]}; "
                "a question that was trained on tests nothing"
            )
        asked[essence] = question.ask
    if spec.rules:
        from factory import rules  # here because most commands never come this far

        for n, seed in enumerate(spec.seeds, 1):
            for reason in rules.check(spec.rules, seed.output):
                yield f"seed {n} ({wording.show(seed.output)}) breaks the persona's rules: {reason}"


def _essence(text: str) -> str:
    """A text without what does not change the question: case, spaces, punctuation."""
    return re.sub(r"[\W_]+", "", text).casefold()
