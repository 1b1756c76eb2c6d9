"""What the distillation benchmarks share: a persona, and the stage as a build drives it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # for the fault server, which the tests use, too

PERSONA = """\
name: brief
description: Answers in a few plain sentences.
voice: [short sentences, plain words]
rules:
  - {{max_words: 90}}
seeds:
  - instruction: How can I relax after a long day at work?
    output: Take a short walk, then put the phone away for an hour.
  - instruction: Should I learn to cook?
    output: Yes. Begin with eggs; they forgive a lot and you can eat your mistakes.
  - instruction: I failed my driving test again.
    output: That stings. Ask what went wrong, practise that one thing, and book the next date.
questions:
  - ask: How do I make new friends in a new town?
teacher: {teacher}
distill:
  pairs: {pairs}
"""


def distilled(home: Path, pairs: int, teacher: str) -> Any:
    """Gather and distill in this process; the artifact.

    Args:
        home: `$FACTORY_HOME` of this run.
        pairs: How many are wanted.
        teacher: The `teacher` section, as YAML on one line.
    """
    from factory.base import resolve
    from factory.load import load
    from factory.persona import system_prompt
    from factory.stages import distill, gather
    from factory.store import Store

    os.environ |= {"FACTORY_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    home.mkdir(parents=True, exist_ok=True)
    file = home / "brief.yaml"
    file.write_text(PERSONA.format(teacher=teacher, pairs=pairs), "utf-8")
    spec, store = load(file), Store(home)
    given: dict[str, Any] = {"name": spec.name, "seeds": spec.seeds, "files": []}
    key = store.key(gather.STAGE, None, given)
    rows = store.find(gather.STAGE, key) or store.make(gather.STAGE, key, None, given, quiet)
    inputs = distill.inputs(spec, resolve("starter"))
    inputs |= {"rows": rows, "prompt": system_prompt(spec)}
    key = store.key(distill.STAGE, spec.distill, inputs)
    return store.make(distill.STAGE, key, spec.distill, inputs, quiet)


def at(url: str, **options: object) -> str:
    """The `teacher` section for an endpoint."""
    more = "".join(f", {name}: {value}" for name, value in options.items())
    return f"{{type: openai, base_url: {url}, model: m, concurrency: 16{more}}}"


def written(pairs: Any) -> list[Any]:
    """The pairs of the teacher's."""
    return [row for row in pairs.rows() if "side" in row]


def quiet(**_: Any) -> None:
    """Nobody watches."""
