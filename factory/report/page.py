"""The report as one self-contained HTML file: no script, no request, everything escaped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from factory.report import fate, record, voice
from factory.report.advice import next_steps
from factory.report.answers import entries
from factory.report.curve import read_curve, svg
from factory.report.facts import BuildReport, curve_words, labels
from factory.report.forest import LAYOUTS, forest
from factory.report.gates import gates, reasons, sight, tools
from factory.report.metrics import metric_rows, strata
from factory.report.opinions import opinions
from factory.report.suites import suites
from factory.report.teaching import summary
from factory.report.words import heading, plural

SHOWN = 6
"""Questions that are open when the page is; the rest is one click away."""

SIZES = {"wide": (860, 330), "narrow": (400, 290)}
"""Sizes of the loss curve for a desk and for a telephone, in CSS pixels."""


def html(report: BuildReport) -> str:
    """The whole report as one HTML document; all text from models and data is escaped."""
    # Jinja2 costs tens of milliseconds, which `factory --help` must not pay.
    import jinja2
    from markupsafe import Markup

    report = report.cleaned()
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2").render(
        report=report,
        card=report.scorecard,
        curve=curve_words(report),
        next_steps=next_steps(report),
        heading=lambda title: heading(title, report.language),
        plural=plural,
        **_evidence(report),
        **_answers(report),
        **_data(report),
        **_making(report),
        **_drawings(report, Markup),
    )


def _evidence(report: BuildReport) -> dict[str, Any]:
    return {
        "arms": list(labels(report).items()),
        "reasons": reasons(report),
        "gates": gates(report),
        "tools": tools(report),
        "sight": sight(report),
        "metrics": metric_rows(report),
        "strata": strata(report),
        "style": voice.style_words(report),
        "features": voice.features(report),
        "hold": voice.hold(report),
        "tics": voice.tics(report),
        "opinions": opinions(report),
    }


def _answers(report: BuildReport) -> dict[str, Any]:
    found = entries(report)
    questions = [entry for entry in found if entry.kind == "question"]
    return {
        "shown": questions[:SHOWN],
        "folded": [
            (plural(len(group), noun), group)
            for noun, group in (
                ("more question", questions[SHOWN:]),
                ("held-out row", [entry for entry in found if entry.kind == "row"]),
                ("turn of long conversations", [e for e in found if e.kind == "hold"]),
            )
            if group
        ],
        "highlighted": any(
            piece.tone for entry in found for card in entry.cards for piece in card.pieces
        ),
        "suites": suites(found),
    }


def _data(report: BuildReport) -> dict[str, Any]:
    teaching = report.dataset.get("teaching")
    return {
        "teaching": teaching,
        "taught": summary(teaching) if teaching else [],
        "fates": fate.fates(report.dataset),
        "groups": fate.groups(report.dataset),
        "closest": fate.closest(report.dataset),
        "sizes": fate.sizes(report.dataset),
        "splits": record.flat(report.dataset.get("splits") or {}),
    }


def _making(report: BuildReport) -> dict[str, Any]:
    return {
        "settings": record.settings(report.plan),
        "legs": record.legs(report.certificate),
        "notes": record.proof_notes(report.certificate),
        "steps": record.stage_rows(report),
        "versions": record.flat(report.scorecard.get("versions") or {}),
        "comparable": record.flat(report.scorecard.get("comparable") or {}),
    }


def _drawings(report: BuildReport, safe: Callable[[str], str]) -> dict[str, Any]:
    """The curve's markup holds numbers only, the forest's escapes its texts: both are safe."""
    curve, found = read_curve(report.metrics), gates(report)
    forests = [(size, safe(drawn)) for size in LAYOUTS if (drawn := forest(found, size))]
    curves = [(name, safe(svg(curve, *size))) for name, size in SIZES.items() if curve.points]
    return {"curves": curves, "forests": forests}
