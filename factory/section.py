"""What every section of the persona file is made of."""

from __future__ import annotations

import re
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict


class Section(BaseModel):
    """Base of everything a user can write: frozen, no unknown keys, field docs from the strings."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=()
    )


def _nonblank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a valid regular expression: {error}") from error
    return pattern


Text = Annotated[str, AfterValidator(_nonblank)]
Pattern = Annotated[str, AfterValidator(_compiles)]

TRANSPORT: dict[str, Any] = {"hashed": False}
"""Mark of fields that say how work is done, not what comes out: never part of an artifact's key."""


def section_of(annotation: Any) -> type[Section] | None:
    """The section model that a field holds, also where the section may be left out."""
    union = get_origin(annotation) in (Union, UnionType)
    for kind in get_args(annotation) if union else (annotation,):
        if isinstance(kind, type) and issubclass(kind, Section):
            return kind
    return None
