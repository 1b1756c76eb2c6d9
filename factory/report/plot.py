"""The loss curve as a picture file, for people who open the adapter's folder."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from factory.report.curve import epoch_ends, read_curve
from factory.report.words import clean, number

_INK, _MUTED, _TRAIN, _HELD = "#22262b", "#6b7280", "#2b6cb0", "#c2410c"


def loss_plot(metrics: Sequence[dict[str, Any]], path: Path, *, title: str) -> None:
    """Draw training and held-out loss over the updates and write it as a PNG, atomically.

    Args:
        metrics: Entries of `metrics.jsonl`: `step`, and `loss` or `validation_loss`, in nats per
            token.
        path: The file to write; a reader sees the old picture or the new, never a part.
        title: Written above the curve.
    """
    # The object interface: no window system, no global state, nothing to close.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    curve = read_curve(metrics)
    figure = Figure(figsize=(8, 4.5), dpi=150, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_title(clean(title), loc="left", color=_INK, fontsize=12, pad=12, parse_math=False)
    axes.set_xlabel("updates", color=_MUTED)
    axes.set_ylabel("loss, nats per token", color=_MUTED)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#d1d5db")
    axes.tick_params(colors=_MUTED, length=0)
    axes.grid(axis="y", color="#e5e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    for step in epoch_ends(curve):
        axes.axvline(step, color="#e5e7eb", linestyle=(0, (3, 3)), linewidth=0.8)
    if curve.train:
        axes.plot(*zip(*curve.train, strict=True), color=_TRAIN, alpha=0.3, linewidth=0.9)
        axes.plot(*zip(*curve.smooth, strict=True), color=_TRAIN, linewidth=2.2, label="training")
    if curve.validation:
        axes.plot(
            *zip(*curve.validation, strict=True),
            color=_HELD, linewidth=1.6, marker="o", markersize=4, label="held-out",
        )  # fmt: skip
    if best := curve.best:
        axes.plot(*best, "o", markersize=10, markerfacecolor="white", markeredgecolor=_HELD, mew=2)
        axes.annotate(
            f"best {number(best[1])} at update {best[0]:.0f}",
            best, textcoords="offset points", xytext=(0, 14), ha="center",
            color=_HELD, fontsize=9, fontweight="bold",
        )  # fmt: skip
    if curve.points:
        axes.margins(x=0.03, y=0.14)
        axes.legend(frameon=False, labelcolor=_INK)
    else:
        axes.text(0.5, 0.5, "nothing was logged", transform=axes.transAxes, ha="center")

    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", metadata={"Software": None})
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(drawn.getvalue())
    partial.replace(path)
