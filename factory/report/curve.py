"""The loss curve as data and as an inline SVG whose colours follow the page's theme."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from factory.report.words import number

MOST_POINTS = 300
"""More points than this are averaged: nobody sees them, and the page stays small."""

MOST_DOTS = 60
"""With more held-out points than this only the best one gets a dot."""

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Curve:
    """Losses in nats per token over the number of updates."""

    train: tuple[Point, ...]
    smooth: tuple[Point, ...]
    """Moving mean of `train`; it looks as far ahead as back, so that it does not lag."""
    validation: tuple[Point, ...]
    epochs: tuple[Point, ...]
    """`(step, epoch)` of every logged update that says its epoch."""

    @property
    def best(self) -> Point | None:
        """The lowest held-out point, the earliest if there are several."""
        return min(self.validation, key=lambda point: point[1], default=None)

    @property
    def points(self) -> tuple[Point, ...]:
        """Everything that has to fit into the frame."""
        return self.train + self.validation


def read_curve(metrics: Sequence[dict[str, Any]]) -> Curve:
    """Sort the entries of `metrics.jsonl` into a curve; values that are not finite are left out."""
    train = _thin(_series(metrics, "loss"))
    return Curve(
        train=train,
        smooth=_smooth(train),
        validation=_series(metrics, "validation_loss"),
        epochs=_series(metrics, "epoch"),
    )


def _series(metrics: Sequence[dict[str, Any]], name: str) -> tuple[Point, ...]:
    return tuple(
        (float(entry["step"]), float(value))
        for entry in metrics
        if isinstance(value := entry.get(name), float | int) and math.isfinite(value)
    )


def _mean(points: Sequence[Point]) -> Point:
    return (
        sum(x for x, _ in points) / len(points),
        sum(y for _, y in points) / len(points),
    )


def _thin(points: tuple[Point, ...]) -> tuple[Point, ...]:
    if len(points) <= MOST_POINTS:
        return points
    edges = [len(points) * i // MOST_POINTS for i in range(MOST_POINTS + 1)]
    return tuple(_mean(points[a:b]) for a, b in pairwise(edges))


def _smooth(points: tuple[Point, ...]) -> tuple[Point, ...]:
    reach = max(2, len(points) // 12)
    return tuple(
        (x, _weighted(points[max(0, i - reach) : i + reach + 1], i - max(0, i - reach), reach))
        for i, (x, _) in enumerate(points)
    )


def _weighted(window: Sequence[Point], middle: int, reach: int) -> float:
    """Mean of the losses, weighted less the further they are from the middle."""
    weights = [reach + 1 - abs(i - middle) for i in range(len(window))]
    return sum(w * y for w, (_, y) in zip(weights, window, strict=True)) / sum(weights)


def ticks(low: float, high: float, count: int) -> list[float]:
    """About `count` round numbers within [low, high]."""
    raw = (high - low) / max(1, count) or 1.0
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def svg(curve: Curve, width: int, height: int) -> str:
    """Draw the curve; only numbers go into the markup, colours come from classes of the page.

    Args:
        curve: What to draw.
        width: Width of the drawing; one unit is one CSS pixel at full size.
        height: Height of the drawing.

    Returns:
        An `<svg>` element, or an empty string if nothing was logged.
    """
    if not curve.points:
        return ""
    frame = _Frame.around(curve, width, height)
    best, last = curve.best, curve.smooth[-1] if curve.smooth else None
    parts = [*frame.grid(curve)]
    parts.append(_line(frame, curve.train, "raw"))
    parts.append(_line(frame, curve.smooth, "train"))
    parts.append(_line(frame, curve.validation, "held"))
    parts += [
        f'<circle class="held-dot{" best" if point == best else ""}" cx="{frame.x(point[0]):.1f}" '
        f'cy="{frame.y(point[1]):.1f}" r="{6 if point == best else 3.5}">'
        f"<title>update {point[0]:.0f}: held-out {number(point[1])}</title></circle>"
        for point in curve.validation
        if point == best or len(curve.validation) <= MOST_DOTS
    ]
    parts += _labels(frame, curve)
    told = "Loss over updates."
    if last:
        told += f" Training ends at {number(last[1])}."
    if best:
        told += f" Best held-out loss {number(best[1])} at update {best[0]:.0f}."
    return (
        f'<svg class="curve" viewBox="0 0 {width} {height}" role="img" aria-label="{told}">'
        + "".join(parts)
        + "</svg>"
    )


def _line(frame: _Frame, points: Sequence[Point], kind: str) -> str:
    path = " ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in points)
    return f'<polyline class="{kind}" points="{path}"/>' if len(points) > 1 else ""


def _labels(frame: _Frame, curve: Curve) -> list[str]:
    """The ends of the two lines and the best point, written where they are."""
    right = frame.width - frame.right + 10
    held = frame.y(curve.validation[-1][1]) if curve.validation else None
    parts = []
    if curve.smooth:
        y = frame.y(curve.smooth[-1][1])
        if held is not None and abs(y - held) < 18:  # pushed apart, on the side it is on
            y = held + (18 if y >= held else -18)
        parts.append(f'<text class="train-name" x="{right}" y="{y + 4:.1f}">training</text>')
    if held is not None:
        parts.append(f'<text class="held-name" x="{right}" y="{held + 4:.1f}">held-out</text>')
    if best := curve.best:
        x, y = frame.x(best[0]), frame.y(best[1])
        end = x > frame.left + 0.8 * (frame.width - frame.left - frame.right)
        anchor = "end" if end else "middle"
        parts.append(
            f'<text class="best-name" x="{x:.1f}" y="{y - 13:.1f}" text-anchor="{anchor}">'
            f"best {number(best[1])}</text>"
        )
    return parts


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where values lie in the drawing."""

    width: int
    height: int
    steps: Point
    losses: Point
    left: int = 44
    right: int = 74
    top: int = 22
    bottom: int = 40

    @classmethod
    def around(cls, curve: Curve, width: int, height: int) -> _Frame:
        xs, ys = zip(*curve.points, strict=True)
        room = 0.06 * (max(ys) - min(ys)) or 0.5
        last = max(xs)
        return cls(width, height, (0.0, last or 1.0), (max(0.0, min(ys) - room), max(ys) + room))

    def x(self, step: float) -> float:
        return self.left + (self.width - self.left - self.right) * step / self.steps[1]

    def y(self, loss: float) -> float:
        low, high = self.losses
        inner = self.height - self.top - self.bottom
        return self.top + inner * (1 - (loss - low) / (high - low))

    def grid(self, curve: Curve) -> list[str]:
        """Horizontal lines at round losses, marks at round updates, dashed lines between epochs."""
        end, floor = self.width - self.right, self.height - self.bottom
        parts = []
        for loss in ticks(*self.losses, 5):
            y = self.y(loss)
            parts.append(
                f'<line class="grid" x1="{self.left}" x2="{end}" y1="{y:.1f}" y2="{y:.1f}"/>'
            )
            parts.append(
                f'<text x="{self.left - 8}" y="{y + 4:.1f}" text-anchor="end">{loss:.4g}</text>'
            )
        for step in ticks(*self.steps, max(4, self.width // 110)):
            x = self.x(step)
            parts.append(
                f'<text x="{x:.1f}" y="{floor + 18}" text-anchor="middle">{step:.4g}</text>'
            )
        for step in epoch_ends(curve):
            x = self.x(step)
            parts.append(
                f'<line class="epoch" x1="{x:.1f}" x2="{x:.1f}" y1="{self.top}" y2="{floor}"/>'
            )
        middle = (self.left + end) / 2
        parts.append(
            f'<text class="axis" x="{middle:.0f}" y="{self.height - 4}" text-anchor="middle">'
            + ("updates (dashed: end of an epoch)" if epoch_ends(curve) else "updates")
            + "</text>"
        )
        parts.append('<text class="axis" x="4" y="12">loss, nats per token</text>')
        return parts


def epoch_ends(curve: Curve) -> list[float]:
    """The steps at which a whole epoch ended, the last update excepted; empty if there are many."""
    ends = [step for step, epoch in curve.epochs if epoch > 0 and abs(epoch - round(epoch)) < 1e-6]
    ends = sorted({step for step in ends if step < max((s for s, _ in curve.points), default=0)})
    return ends if len(ends) <= 12 else []
