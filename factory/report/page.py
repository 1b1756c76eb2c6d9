"""The report as one self-contained HTML file: no script, no request, everything escaped."""

from __future__ import annotations

from pathlib import Path

from factory.report import fate, record
from factory.report.advice import next_steps
from factory.report.answers import entries
from factory.report.curve import read_curve, svg
from factory.report.facts import ARM_LABELS, BuildReport, arms, curve_words, gates, metric_rows
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
    drawn = read_curve(report.metrics)
    found = entries(report)
    questions = [entry for entry in found if not entry.is_row]
    return environment.get_template("page.html.j2").render(
        report=report,
        arms=[(arm, ARM_LABELS.get(arm, arm)) for arm in arms(report)],
        metrics=metric_rows(report),
        gates=gates(report),
        shown=questions[:SHOWN],
        folded=[
            (plural(len(group), noun), group)
            for noun, group in (
                ("more question", questions[SHOWN:]),
                ("held-out row", [entry for entry in found if entry.is_row]),
            )
            if group
        ],
        teaching=report.dataset.get("teaching"),
        taught=summary(report.dataset["teaching"]) if report.dataset.get("teaching") else [],
        fates=fate.fates(report.dataset),
        groups=fate.groups(report.dataset),
        closest=fate.closest(report.dataset),
        sizes=fate.sizes(report.dataset),
        splits=record.flat(report.dataset.get("splits") or {}),
        curve=curve_words(report),
        settings=record.settings(report.plan),
        legs=record.legs(report.certificate),
        notes=record.proof_notes(report.certificate),
        steps=record.stage_rows(report),
        versions=record.flat(report.scorecard.get("versions") or {}),
        next_steps=next_steps(report),
        # Safe as they are: `svg` puts numbers into its markup and nothing else.
        curves=[(name, Markup(svg(drawn, *size))) for name, size in SIZES.items() if drawn.points],
        heading=lambda title: heading(title, report.language),
        plural=plural,
    )
