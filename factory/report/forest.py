"""Every gate's difference with its interval, as one inline SVG whose colours follow the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from factory.report.gates import Gate

REACH = 2.4
"""Margins on either side of zero that are drawn; an interval that goes further ends in an arrow."""

TONES = {"held": "good", "failed": "bad", "undecided": "warn", "invalid": "bad"}


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where things lie in a drawing, in CSS pixels at full size."""

    width: int
    left: int
    right: int
    row: int
    unit: bool
    """Whether there is room for the unit behind a value."""
    bar: int
    """Centre of the bar below the row's top."""
    name: int
    """Baseline of the name below the row's top."""
    letters: int
    """Longest name."""
    top: int = 34

    def x(self, place: float) -> float:
        """Place of a value in margins."""
        middle = (self.left + self.right) / 2
        return middle + place / REACH * (self.right - self.left) / 2


LAYOUTS = {
    "wide": _Layout(width=860, left=318, right=646, row=27, unit=True, bar=13, name=17, letters=44),
    "narrow": _Layout(
        width=400, left=8, right=206, row=50, unit=False, bar=31, name=15, letters=54
    ),
}
"""For a desk, and for a telephone: there the name has a line of its own."""


def forest(gates: Sequence[Gate], size: str) -> str:
    """Draw the differences, tuned minus other; to the left of zero is worse.

    Every row has its own scale: the allowed loss is as wide in each, and where none is allowed
    (the tuned model has to win) the interval fills half of the row.

    Args:
        gates: The gates; those without an estimate are left out.
        size: Key of `LAYOUTS`.

    Returns:
        An `<svg>` element, or an empty string if there is nothing to draw. All text is escaped.
    """
    drawn = [gate for gate in gates if gate.estimate is not None]
    if not drawn:
        return ""
    lay = LAYOUTS[size]
    height = lay.top + lay.row * len(drawn) + 8
    zero = lay.x(0)
    parts: list[str] = [
        f'<text x="{zero - 8:.0f}" y="14" text-anchor="end">← worse</text>',
        f'<text x="{zero + 8:.0f}" y="14">better →</text>',
    ]
    for i, gate in enumerate(drawn):
        parts += _row(lay, gate, lay.top + i * lay.row)
    told = escape("; ".join(f"{gate.title}: {gate.difference}, {gate.result}" for gate in drawn))
    return (
        f'<svg class="forest" viewBox="0 0 {lay.width} {height}" role="img" aria-label="{told}">'
        + "".join(parts)
        + "</svg>"
    )


def _row(lay: _Layout, gate: Gate, top: int) -> Iterator[str]:
    y, tone = top + lay.bar, TONES.get(gate.result, "quiet")
    name = gate.title if len(gate.title) <= lay.letters else gate.title[: lay.letters - 1] + "…"
    yield f'<g class="{tone}"><title>{escape(gate.seen or gate.title)}</title>'
    yield f'<text class="name" x="4" y="{top + lay.name}">{escape(gate.sign)} {escape(name)}</text>'
    if gate.margin:
        yield (
            f'<rect class="allowed" x="{lay.x(-1):.1f}" y="{y - 8}" '
            f'width="{lay.x(0) - lay.x(-1):.1f}" height="16"/>'
            f'<line class="margin" x1="{lay.x(-1):.1f}" x2="{lay.x(-1):.1f}" '
            f'y1="{y - 8}" y2="{y + 8}"/>'
        )
    # One piece a row, so that on a telephone it does not run through the names.
    zero = f"{lay.x(0):.1f}"
    yield f'<line class="zero" x1="{zero}" x2="{zero}" y1="{y - 13}" y2="{y + 14}"/>'
    scale = _scale(gate)
    if gate.low is not None and gate.high is not None:
        yield from _interval(lay, gate.low / scale, gate.high / scale, y)
    place = (gate.estimate or 0.0) / scale
    if abs(place) <= REACH:  # further out the arrow alone says it
        yield f'<circle cx="{lay.x(place):.1f}" cy="{y}" r="4.2"/>'
    value = escape(gate.difference if lay.unit else gate.interval)
    yield f'<text class="value" x="{lay.right + 12}" y="{y + 4}">{value}</text></g>'


def _scale(gate: Gate) -> float:
    """What one unit of a row is worth."""
    if gate.margin:
        return abs(gate.margin)
    known = [abs(x) for x in (gate.estimate, gate.low, gate.high) if x is not None]
    return max(known, default=0.0) / 2 or 1.0


def _interval(lay: _Layout, low: float, high: float, y: int) -> Iterator[str]:
    start, end = max(low, -REACH), min(high, REACH)
    if start > end:  # wholly outside: only the arrow is left
        start = end = -REACH if high < 0 else REACH
    yield f'<line class="span" x1="{lay.x(start):.1f}" x2="{lay.x(end):.1f}" y1="{y}" y2="{y}"/>'
    for place, out, way in ((start, low < -REACH, -1), (end, high > REACH, 1)):
        x = lay.x(place)
        if out:
            yield f'<path d="M{x + 7 * way:.1f} {y}l{-8 * way} -4.5v9z"/>'
        else:
            yield f'<line class="span" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 4}" y2="{y + 4}"/>'
