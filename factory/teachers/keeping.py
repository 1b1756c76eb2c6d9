"""A persona as runs and releases keep it, without the logins in its addresses."""

from __future__ import annotations

from typing import Any

from factory.spec import Spec


def kept(spec: Spec) -> dict[str, Any]:
    """The persona in JSON's types; its addresses hold no login."""
    found = spec.model_dump(mode="json")
    for section in (found["teacher"], found["evaluate"]["judge"]):
        if section and section["base_url"]:
            from factory.teachers.address import stored  # brings httpx, which few personas need

            section["base_url"] = stored(section["base_url"])
    return found
