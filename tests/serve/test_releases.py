"""Only what passed the gate is served, unless the operator says otherwise, and then everybody is told."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import httpx
import pytest

from factory.errors import FactoryError, UsageError
from factory.releases import point
from serve.releases import admit, every, find
from tests.serve.conftest import MakeRelease, Serve, ask


def test_a_name_is_its_newest_release_and_a_number_pins_one(
    release: MakeRelease, factory_home: Path
) -> None:
    for number in (1, 2, 10):
        release(number=number)
    (factory_home / "releases" / "brief" / "11.partial").mkdir()
    assert find(factory_home, "brief").number == 10
    assert find(factory_home, "brief@2").number == 2


@pytest.mark.parametrize(
    "ref, allowed, hint",
    [
        ("breif", "brief", "did you mean brief?"),
        ("zzz", "brief", "factory build"),
        ("brief@7", "brief@1, brief@2", "brief@2"),
        ("brief@", "brief@1, brief@2", "brief@2"),
        ("brief@../2", "brief@1, brief@2", "brief@2"),
        ("../brief", "brief", ""),
    ],
)
def test_a_wrong_name_is_answered_with_what_exists(
    ref: str, allowed: str, hint: str, release: MakeRelease, factory_home: Path
) -> None:
    release()
    release(number=2)
    with pytest.raises(UsageError) as caught:
        find(factory_home, ref)
    assert caught.value.allowed == allowed
    assert caught.value.hint is not None and hint in caught.value.hint
    assert caught.value.got == ref


def test_without_any_release_the_next_step_is_to_build(factory_home: Path) -> None:
    with pytest.raises(UsageError) as caught:
        find(factory_home, "brief")
    assert caught.value.hint is not None and "factory build" in caught.value.hint


def flip_a_bit(folder: Path) -> None:
    file = folder / "model" / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def cut(folder: Path) -> None:
    file = folder / "model" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])


def swap_prompt(folder: Path) -> None:
    file = folder / "release.json"
    file.write_text(file.read_text().replace("one short", "ten long!"))


def remove(folder: Path) -> None:
    (folder / "model" / "chat_template.jinja").unlink()


def add(folder: Path) -> None:
    (folder / "model" / "model-extra.safetensors").write_bytes(b"")


@pytest.mark.parametrize(
    "alter, said",
    [
        (flip_a_bit, "model/model.safetensors was altered"),
        (cut, "model/model.safetensors was altered"),
        (swap_prompt, "release.json was altered"),
        (remove, "chat_template.jinja is missing"),
        (add, "model/model-extra.safetensors was added"),
    ],
)
def test_an_altered_release_is_refused_by_name(
    alter: object, said: str, release: MakeRelease, factory_home: Path
) -> None:
    made = release()
    admit(find(factory_home, "brief"), allow_ungated=False)
    assert callable(alter)
    alter(made.path)
    with pytest.raises(FactoryError) as caught:
        admit(find(factory_home, "brief"), allow_ungated=False)
    assert said in str(caught.value)
    assert "brief@1 is not what passed" in str(caught.value)
    assert not admit(find(factory_home, "brief"), allow_ungated=True).gated


def test_an_alteration_that_hides_its_time_is_seen(
    release: MakeRelease, factory_home: Path
) -> None:
    made = release()
    file = made.path / "model" / "model.safetensors"
    before = file.stat()
    admit(find(factory_home, "brief"), allow_ungated=False)
    flip_a_bit(made.path)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(FactoryError, match="not what passed"):
        admit(find(factory_home, "brief"), allow_ungated=False)


@pytest.mark.parametrize(
    "facts, said",
    [
        ({"verdict": "REGRESSION"}, "says REGRESSION"),
        ({"card_digest": "f" * 64}, "other weights"),
        ({"model_digest": "f" * 64, "card_digest": "f" * 64}, "other weights"),
    ],
)
def test_a_release_needs_a_pass_for_its_very_weights(
    facts: dict[str, str], said: str, release: MakeRelease, factory_home: Path
) -> None:
    release(**facts)
    with pytest.raises(FactoryError, match=said):
        admit(find(factory_home, "brief"), allow_ungated=False)


def test_ungated_weights_are_served_only_on_demand_and_marked_everywhere(
    release: MakeRelease, serve: Serve
) -> None:
    release(verdict="REGRESSION")
    with pytest.raises(FactoryError), serve("brief", engine="transformers"):
        pass
    with serve("brief", engine="transformers", allow_ungated=True) as url:
        body = {"model": "brief", "messages": ask("Hi"), "max_tokens": 2}
        for response in (
            httpx.post(f"{url}/v1/chat/completions", json=body),
            httpx.post(f"{url}/v1/chat/completions", json={**body, "stream": True}),
            httpx.get(f"{url}/v1/models"),
            httpx.get(f"{url}/v1/models/brief"),
            httpx.get(f"{url}/nothing"),
        ):
            assert response.headers["x-persona-factory-ungated"] == "true"


def test_the_newest_release_that_was_promoted_is_served(
    release: MakeRelease, factory_home: Path
) -> None:
    release(number=1)
    release(number=2, verdict="INCONCLUSIVE")
    assert find(factory_home, "brief").number == 1
    with pytest.raises(UsageError, match="INCONCLUSIVE"):  # as `promote` of it
        admit(find(factory_home, "brief@2"), allow_ungated=False)
    # `inconclusive: warn` in the persona file
    release(number=3, verdict="INCONCLUSIVE", promotable=True)
    newest = find(factory_home, "brief")
    assert newest.number == 3
    assert admit(newest, allow_ungated=False).gated


def test_a_promoted_release_that_was_removed_says_what_to_promote_instead(
    release: MakeRelease, factory_home: Path
) -> None:
    for number in (1, 2, 3):
        release(number=number)
    point(factory_home, "brief", 1)
    shutil.rmtree(factory_home / "releases" / "brief" / "1")
    with pytest.raises(UsageError, match="brief@1, which is promoted, is gone") as caught:
        find(factory_home, "brief")
    assert caught.value.allowed == "brief@2, brief@3"
    assert caught.value.hint is not None and "factory promote brief@N" in caught.value.hint
    assert "questions" not in caught.value.hint


def test_a_persona_without_any_promoted_release_is_not_served(
    release: MakeRelease, factory_home: Path
) -> None:
    release(number=1, verdict="INCONCLUSIVE")
    with pytest.raises(UsageError, match="inconclusive") as one:
        find(factory_home, "brief")
    with pytest.raises(UsageError, match="inconclusive") as all_:
        every(factory_home)  # `serve` without a name says no less
    assert (one.value.what, one.value.allowed) == (all_.value.what, all_.value.allowed)
    assert all_.value.allowed == "brief@1"
