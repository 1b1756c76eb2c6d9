"""`factory eval`: gates a release again, beside another release, a folder, an endpoint or a record."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from factory import plugins
from factory.artifacts import Release, hash_folder, hash_json, read_json, read_jsonl, write_json
from factory.base import Base, tuned_from
from factory.contracts import Grader, Progress
from factory.errors import UsageError
from factory.releases import newest_promoted, numbers, release_of
from factory.report import BuildReport
from factory.report.comparing import people
from factory.spec import Spec
from factory.suite import comparable
from factory.suite.cache import Cache
from factory.suite.endpoint import Endpoint
from factory.suite.material import Material, material
from factory.suite.record import Record
from factory.weights import weight_files

CACHE, LEDGER = "measured.sqlite", "factory.sqlite"


def evaluate(
    root: Path, ref: str, *, against: str, model: str | None, keep: bool, progress: Progress
) -> tuple[BuildReport, Record | None]:
    """Measure a release again and let the gate decide; all that is named is looked at before that.

    Args:
        root: `$FACTORY_HOME`.
        ref: NAME (the newest release) or NAME@N.
        against: `promoted`, `base`, NAME@N, a model folder, `URL` or `URL#MODEL`, or a record's file.
        model: A model folder or NAME@N to judge in the place of the release's own weights.
        keep: Whether the judged model's record is wanted.
        progress: Told how far it is.

    Returns:
        The report, and the record.

    Raises:
        UsageError: If something named does not exist, is not comparable (says in what), or cannot
            be judged, as an endpoint.
    """
    release = release_of(root, ref)
    judged = _judged(root, model) if model else release
    written = against.endswith(".json")
    other = (
        _opponent(root, against) if against not in ("promoted", "base") and not written else None
    )
    facts = release.facts()
    spec = Spec.model_validate(read_json(release.path / "persona.json"))
    base = _base(root, facts)
    rows = {
        name: list(read_jsonl(release.path / "evaluation" / f"{name}.jsonl"))
        for name in ("train", "validation", "test")
    }
    asked = material(
        spec.questions, rows["test"], rows["validation"], rows["train"],
        language=spec.language, suites=spec.evaluate.suites,
    )  # fmt: skip
    graders = {name: plugins.load("graders", name).version for name in spec.evaluate.graders}
    keys = comparable.keys(asked, base, facts["sampling"], spec.evaluate, spec.language)
    record = read_record(Path(against), keys) if written else None
    progress(note="loading torch")
    from factory.model.examine import Local, Persona, examine

    def local(named: Release | Path) -> Local:
        if isinstance(named, Release):
            return Local.of(named)
        return Local(named.name, named, _digest(named), facts["prompt"])

    candidate = local(judged)
    if against == "promoted":
        other = newest_promoted(root, spec.name, but=candidate.digest)
    previous = other if other is None or isinstance(other, Endpoint) else local(other)
    plugged: list[Grader] = [plugins.load("graders", g)(spec.rules, spec.language) for g in graders]
    with Cache(root / CACHE) as cache:
        card, answers, kept = examine(
            spec.evaluate,
            asked,
            Persona(
                facts["prompt"],
                spec.description,
                spec.voice,
                spec.rules,
                spec.language,
                facts["sampling"],
                spec.random_seed,
                spec.curate.language_check,
            ),
            base=base,
            candidate=candidate,
            previous=previous,
            record=record,
            keep=keep,
            graders=plugged,
            ledger=root / LEDGER,
            cache=cache,
            progress=progress,
        )
    card["model_digest"] = candidate.digest
    card["template_sha256"], card["graders"] = facts["template_sha256"], graders
    card["counts"] = counts(spec, asked)
    card["judged"], card["against"] = candidate.label, card["previous"] or "its base"
    if written:
        card["against"] += f" as in {against}"
    card["people"] = people(root, spec.name, answers)
    return _report(release, spec, base, card, answers), kept


def counts(spec: Spec, asked: Material) -> dict[str, int]:
    """How much was asked and read."""
    return {
        "questions": len(spec.questions),
        "expected": sum(q.expect is not None for q in spec.questions),
        "rows": len(asked.held_out),
        "suites": len(asked.suites),
    }


def bless(file: Path, record: Record) -> None:
    """Write a record down; one that is there is never overwritten.

    Raises:
        UsageError: As `may_bless`.
    """
    may_bless(file)
    write_json(
        file, {**record.as_dict(), "blessed": datetime.now(UTC).isoformat(timespec="seconds")}
    )


def may_bless(file: Path) -> None:
    """See that a record could be written, and found again.

    Raises:
        UsageError: If the file exists, or `--against` would not take it for a record.
    """
    if file.suffix != ".json":
        raise UsageError(
            "`--against` takes only a .json file for a record",
            where="--bless",
            got=str(file),
            hint=f"call it {file.name}.json",
        )
    if file.exists():
        raise UsageError(
            "this record exists, and records do not drift",
            where=str(file),
            hint="remove it yourself, or bless under another name",
        )


def read_record(file: Path, keys: Mapping[str, Any]) -> Record:
    """A record, if it may be compared.

    Raises:
        UsageError: If it is none, or was measured otherwise; names every key that differs.
    """
    wrong = ""
    try:
        record = Record.parse(read_json(file))
    except FileNotFoundError:
        wrong = "no such file"
    except OSError as error:
        wrong = f"a file that cannot be read: {error.strerror}"
    except ValidationError as error:
        wrong = "; ".join(
            ": ".join(filter(None, [".".join(map(str, one["loc"])), one["msg"]]))
            for one in error.errors()
        )
    except ValueError as error:
        wrong = f"no JSON: {error}"
    if wrong:
        raise UsageError(
            "there is no record" if wrong == "no such file" else "this is no record",
            where=str(file),
            got=wrong[:200],
            allowed="what `factory eval NAME --bless FILE.json` writes",
        )
    if different := comparable.differences(record.keys, keys):
        raise UsageError(
            "this record was measured otherwise, so it says nothing about this model",
            where=str(file),
            got="; ".join(different),
            allowed="equal questions, suites, rows, base, template, sampling and engine",
            hint="bless a new record, or compare with the release itself: --against NAME@N",
        )
    return record


def _base(root: Path, facts: Mapping[str, Any]) -> Base:
    base = tuned_from(facts["base"], root)
    if base.digest != facts["base"]["digest"]:
        raise UsageError(
            "the base is not the one this release was tuned from",
            where=str(base.folder),
            got=f"digest {base.digest[:16]}",
            allowed=f"digest {facts['base']['digest'][:16]}",
            hint="bring the old base back, or build the persona again on the new one",
        )
    return base


def _judged(root: Path, text: str) -> Release | Path:
    if _is_address(text):
        raise UsageError(
            "an endpoint cannot be judged: it does not say how likely it finds a text",
            where="--model",
            got=text,
            allowed="a model folder or NAME@N",
            hint="to hold a release to what answers there: --against URL",
        )
    return _weights(root, text, "--model")


def _opponent(root: Path, text: str) -> Release | Endpoint | Path:
    """What a reference means: it is there, and an endpoint has answered."""
    if not _is_address(text):
        return _weights(root, text, "--against")
    endpoint = Endpoint.parse(text, "--against")
    endpoint.check()
    return endpoint


def _is_address(text: str) -> bool:
    return re.match("https?://", text) is not None


def _weights(root: Path, text: str, option: str) -> Release | Path:
    folder = Path(text)
    if folder.is_dir():
        if (folder / "config.json").is_file() and weight_files(folder):
            return folder
        missing = "safetensors" if (folder / "config.json").is_file() else "config.json"
    elif re.fullmatch(r"[^/]+@[^/]*", text):
        return release_of(root, text)
    else:
        missing = ""
    own = numbers(root, text) if re.fullmatch(r"[\w-]+", text) else []
    raise UsageError(
        "this is no model folder",
        where=option,
        got=f"{text}, a folder without {missing}" if missing else f"{text}, which is not there",
        allowed="a Hugging Face folder with config.json and safetensors, NAME@N"
        + (", a URL, or a record's .json file" if option == "--against" else ""),
        hint=f"did you mean {text}@{own[-1]}?" if own else None,
    )


def _digest(folder: Path) -> str:
    return hash_json({k: v.sha256 for k, v in hash_folder(folder).items()})


def _report(
    release: Release, spec: Spec, base: Base, card: dict[str, Any], answers: list[dict[str, Any]]
) -> BuildReport:
    path = release.path
    return BuildReport(
        name=spec.name,
        description=spec.description,
        base=base.name,
        language=spec.language,
        verdict=card["verdict"],
        scorecard=card | {"versions": release.facts()["versions"]},
        answers=answers,
        dataset=read_json(path / "data.json"),
        plan=read_json(path / "plan.json"),
        curve=read_json(path / "curve.json"),
        certificate=read_json(path / "certificate.json"),
        metrics=list(read_jsonl(path / "metrics.jsonl")),
        stages=[],
        release={"number": release.number, "path": str(path)},
        created=f"{datetime.now(UTC):%Y-%m-%d %H:%M UTC}, {card['judged']} against {card['against']}",
    )
