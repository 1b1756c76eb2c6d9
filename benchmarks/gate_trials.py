"""What the gate says about a model beside a healthy release; each answer is kept in the folder."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gate_models import Models, quiet

from factory import plugins
from factory.artifacts import hash_folder, hash_json, read_json, write_json
from factory.errors import InstrumentInvalid
from factory.model.examine import Local, Persona, examine
from factory.suite.cache import Cache
from factory.suite.material import material


def options(description: str | None) -> argparse.Namespace:
    """The command line all of these share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--folder", type=Path, default=Path("gate-models"), help="kept between runs"
    )
    parser.add_argument("--persona", default="concise")
    parser.add_argument("--show", action="store_true", help="print every reason")
    parser.add_argument("--first", type=int, default=1, help="first seed, to try others")
    return parser.parse_args()


def local(label: str, folder: Path, prompt: str) -> Local:
    """A model folder as it would be served."""
    digest = hash_json({name: entry.sha256 for name, entry in hash_folder(folder).items()})
    return Local(label, folder, digest, prompt)


def verdict(
    models: Models, name: str, make: Callable[[], Path], previous: Path | None, random_seed: int
) -> dict[str, Any]:
    """Verdict, summary and seconds; from the folder, if it was found out before.

    Args:
        models: The persona's models.
        name: Of this trial, unique in the folder.
        make: Makes the candidate.
        previous: The healthy release it is compared with, if with any.
        random_seed: Of the draws.
    """
    file = models.store.root / "verdicts" / f"{name.replace(' ', '-')}.json"
    if file.is_file():
        return dict(read_json(file))
    spec, data = models.spec, models.data
    asked = material(
        spec.questions, data.split("test"), data.split("validation"), data.split("train"),
        language=spec.language, suites=spec.evaluate.suites,
    )  # fmt: skip
    graders = [plugins.load("graders", g)(spec.rules, spec.language) for g in spec.evaluate.graders]
    persona = Persona(
        models.prompt, spec.description, spec.voice, spec.rules, spec.language,
        models.base.sampling(spec.serve), random_seed, spec.curate.language_check,
    )  # fmt: skip
    candidate = make()
    started = time.monotonic()
    try:
        with Cache(models.store.root / "measured.sqlite") as cache:
            card, _, _ = examine(
                spec.evaluate,
                asked,
                persona,
                base=models.base,
                candidate=local("candidate", candidate, models.prompt),
                previous=local("release", previous, models.prompt) if previous else None,
                graders=graders,
                ledger=models.store.root / "factory.sqlite",
                cache=cache,
                progress=quiet,
            )
    except InstrumentInvalid as error:
        card = {
            "verdict": "INVALID", "summary": str(error), "looks": 1, "gates": [], "metrics": [],
        }  # fmt: skip
    found = {
        "verdict": card["verdict"],
        "summary": card["summary"],
        "looks": card["looks"],
        "seconds": round(time.monotonic() - started, 1),
        "gates": card["gates"],
        "metrics": card["metrics"],
    }
    write_json(file, found)
    return found


def say(name: str, found: dict[str, Any], show: bool) -> None:
    """One line for a trial."""
    print(
        f"{name:48} {found['verdict']:12} look {found['looks']}  {found['seconds']:5.1f} s",
        flush=True,
    )
    if show:
        print(f"    {found['summary']}", flush=True)
