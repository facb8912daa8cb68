"""Figures that compare candidate and champion on the same holdout."""

from __future__ import annotations

from typing import Any

import numpy as np

from homeostat.bundle.evaluate import Evaluation
from homeostat.config import ModelConfig
from homeostat.config.label_text import label_text, label_texts
from homeostat.figures.style import (
    ALERT,
    CURRENT,
    FAINT,
    INK,
    REFERENCE,
    new_figure,
    placeholder,
    plain_axes,
    shorten,
    title,
    to_png,
)

#: Further classes are summed in a last row and column.
_CLASSES = 10
_POINTS = 4000


def evaluation(config: ModelConfig, candidate: Evaluation, champion: Evaluation | None) -> dict[str, bytes]:
    """Return the figures of a validation by file name: confusion and calibration, or residuals."""
    if config.task == "regression":
        return {"residuals.png": residuals(candidate, champion)}
    figures = {"confusion.png": confusion(candidate, champion)}
    if candidate.predictions.proba is not None:
        figures["calibration.png"] = calibration(candidate, champion)
    return figures


def confusion(candidate: Evaluation, champion: Evaluation | None = None) -> bytes:
    """Draw the confusion matrices side by side: rows are the true classes, each adding up to 100 %."""
    sides = _sides(candidate, champion)
    names = _names([side for _, side in sides])
    size = max(2.4, 0.36 * (len(names) + 1))
    fig = new_figure((size + 1.0) * len(sides), size + 0.9)
    for place, (name, side) in enumerate(sides):
        axes = fig.add_subplot(1, len(sides), place + 1)
        _matrix(axes, side, names)
        right = side.metrics.get("accuracy")
        small = f"accuracy {right:.3f}, {side.rows} rows" if right is not None else f"{side.rows} rows"
        title(axes, name, small=small)
        axes.set_xlabel("predicted", fontsize=8, color=FAINT)
        if place == 0:
            axes.set_ylabel("true", fontsize=8, color=FAINT)
    return to_png(fig)


def calibration(candidate: Evaluation, champion: Evaluation | None = None) -> bytes:
    """Draw the calibration: of the rows with a predicted probability of p, a share of p should be true.

    For two classes, the probability of the positive one (of the second where none is known); for more, that
    of the predicted class.
    """
    fig = new_figure(3.8, 3.9)
    axes, counts = fig.subplots(2, 1, height_ratios=[4, 1], sharex=True)
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)))
    for name, side in _sides(candidate, champion):
        probability, outcome = _reliability(side)
        if not len(probability):
            continue
        color = CURRENT if name == "candidate" else REFERENCE
        bins = np.clip((probability * 10).astype(int), 0, 9)
        there = np.unique(bins)
        x = [probability[bins == b].mean() for b in there]
        y = [outcome[bins == b].mean() for b in there]
        brier = float(((probability - outcome) ** 2).mean())
        axes.plot(
            x,
            y,
            "o-",
            color=color,
            markersize=4,
            linewidth=1.5,
            zorder=3 if color == CURRENT else 2,
            label=f"{name} (Brier {brier:.3f})",
        )
        counts.hist(
            probability, bins=np.linspace(0, 1, 11).tolist(), histtype="step", color=color, linewidth=1.3
        )
    plain_axes(axes, grid="both")
    plain_axes(counts)
    axes.set_ylabel("share that came true", fontsize=8, color=FAINT)
    axes.set_ylim(-0.03, 1.03)
    counts.set_xlabel(_probability_of(candidate), fontsize=8, color=FAINT)
    counts.set_ylabel("rows", fontsize=8, color=FAINT)
    counts.set_xlim(-0.02, 1.02)
    axes.legend(fontsize=8, frameon=False, loc="upper left", labelcolor=INK)
    title(axes, "Calibration on the holdout")
    return to_png(fig)


def residuals(candidate: Evaluation, champion: Evaluation | None = None) -> bytes:
    """Draw prediction minus truth against the truth, with the median and the middle 80 %."""
    sides = [(name, side, *_errors(side)) for name, side in _sides(candidate, champion)]
    sides = [item for item in sides if len(item[2])]
    if not sides:
        return placeholder("no row has both a label and a prediction")
    fig = new_figure(3.6 * len(sides) + 0.4, 3.1)
    most = max(float(np.quantile(np.abs(errors), 0.995)) for *_, errors in sides) or 1.0
    for place, (name, side, truth, errors) in enumerate(sides):
        axes = fig.add_subplot(1, len(sides), place + 1)
        color = CURRENT if name == "candidate" else REFERENCE
        axes.set_xlim(*_limits([item[2] for item in sides]))
        step = max(1, len(truth) // _POINTS)
        axes.axhline(0, color=FAINT, linewidth=0.8)
        shown = np.clip(errors, -most, most)  # draw the few larger errors at the edge
        axes.scatter(truth[::step], shown[::step], s=6, color=color, alpha=0.25, linewidths=0)
        _bands(axes, truth, errors)
        axes.set_ylim(-1.08 * most, 1.08 * most)
        plain_axes(axes, grid="y")
        axes.set_xlabel("truth", fontsize=8, color=FAINT)
        if place == 0:
            axes.set_ylabel("prediction minus truth", fontsize=8, color=FAINT)
        mae, rmse = side.metrics.get("mae"), side.metrics.get("rmse")
        small = f"mae {mae:.4g}, rmse {rmse:.4g}" if mae is not None and rmse is not None else ""
        title(axes, name, small=f"{small}, {side.rows} rows".removeprefix(", "))
    return to_png(fig)


def _sides(candidate: Evaluation, champion: Evaluation | None) -> list[tuple[str, Evaluation]]:
    return [("candidate", candidate), *([("champion", champion)] if champion is not None else [])]


def _names(sides: list[Evaluation]) -> list[str]:
    """Return the classes on the axes: the most frequent ones, sorted by name, then "other"."""
    seen: dict[str, int] = {}
    for side in sides:
        for text in label_texts([*side.truth.tolist(), *side.predicted.tolist()]):
            if text is not None:
                seen[text] = seen.get(text, 0) + 1
    frequent = sorted(seen, key=lambda text: -seen[text])[:_CLASSES]
    return [*sorted(frequent), *(["other"] if len(seen) > _CLASSES else [])]


def _matrix(axes: Any, side: Evaluation, names: list[str]) -> None:
    has_missing = bool(side.predictions.missing.any())
    columns = [*names, *(["none"] if has_missing else [])]
    counts = np.zeros((len(names), len(columns)))
    truths, predictions = label_texts(side.truth.tolist()), label_texts(side.predicted.tolist())
    for true, predicted in zip(truths, predictions, strict=True):
        row = names.index(true) if true in names else len(names) - 1
        column = names.index(predicted) if predicted in names else len(names) - 1
        if predicted is None:
            column = len(columns) - 1
        counts[row, column] += true is not None
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    size = 8.5 if len(names) <= 4 else 6.5
    for (row, column), share in np.ndenumerate(shares):
        text = f"{share:.0%}\n{counts[row, column]:.0f}" if len(names) <= 4 else f"{share:.0%}"
        if counts[row, column] or len(names) <= 4:
            color = "white" if share > 0.6 else INK
            axes.text(column, row, text, ha="center", va="center", fontsize=size, color=color)
    axes.set_xticks(range(len(columns)), [shorten(text, 10) for text in columns])
    axes.set_yticks(range(len(names)), [shorten(text, 10) for text in names])
    axes.tick_params(labelsize=8, colors=INK, length=0)
    if max(len(text) for text in columns) > 4 and len(columns) > 4:
        axes.tick_params(axis="x", rotation=45)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if has_missing:
        axes.axvline(len(names) - 0.5, color=ALERT, linewidth=1)


def _reliability(side: Evaluation) -> tuple[np.ndarray, np.ndarray]:
    """Return the predicted probabilities, and 1 where the prediction was true."""
    if side.predictions.proba is None or side.classes is None:
        return np.empty(0), np.empty(0)
    truth = np.array(label_texts(side.truth.tolist()), dtype=object)
    if len(side.classes) == 2:
        at = _charted_class(side)
        probability = side.predictions.proba[:, at]
        outcome = truth == label_text(side.classes[at])
    else:
        probability = side.predictions.proba.max(axis=1)
        outcome = truth == np.array(label_texts(side.predicted.tolist()), dtype=object)
    good = np.isfinite(probability)
    return probability[good], outcome[good].astype(np.float64)


def _probability_of(side: Evaluation) -> str:
    if side.classes is None or len(side.classes) != 2:
        return "probability given"
    return f"probability given to {shorten(str(label_text(side.classes[_charted_class(side)])), 24)}"


def _charted_class(side: Evaluation) -> int:
    """Return the position of the positive one of two classes; of the second where none is known."""
    names = label_texts(side.classes or ())
    return names.index(side.positive) if side.positive in names else 1


def _errors(side: Evaluation) -> tuple[np.ndarray, np.ndarray]:
    truth = np.asarray(side.truth, dtype=np.float64)
    errors = np.asarray(side.predicted, dtype=np.float64) - truth
    good = np.isfinite(errors)
    return truth[good], errors[good]


def _bands(axes: Any, truth: np.ndarray, errors: np.ndarray) -> None:
    order = np.argsort(truth, kind="stable")
    parts = [part for part in np.array_split(order, min(12, max(1, len(order) // 25))) if len(part)]
    if len(parts) < 3:
        return
    x = [truth[part].mean() for part in parts]
    low, middle, high = np.array([np.quantile(errors[part], [0.1, 0.5, 0.9]) for part in parts]).T
    for line in (low, high):
        axes.plot(x, line, color=INK, linewidth=0.9, linestyle=(0, (2, 2)))
    axes.plot(x, middle, color=INK, linewidth=1.4)


def _limits(truths: list[np.ndarray]) -> tuple[float, float]:
    low, high = min(t.min() for t in truths), max(t.max() for t in truths)
    room = 0.04 * (high - low) or 1.0
    return float(low - room), float(high + room)
