"""Charts: pixels of values, and ticks that are round and inside."""

from __future__ import annotations

import math

import pytest

from pipelines.evaluation.calibration import ReliabilityBin
from pipelines.inspection.report.charts import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    horizontal,
    join_points,
    thin_out,
    vertical,
)
from pipelines.inspection.report.diagrams import draw_learning_curves, draw_reliability


@pytest.mark.parametrize(
    ("value", "share"), [(1.0, 0.0), (10.0, 1 / 3), (1000.0, 1.0), (10**1.5, 0.5)]
)
def test_logarithmic_axis_is_linear_in_the_exponent(value: float, share: float) -> None:
    axis = horizontal(1, 1000, 440, log=True)
    assert axis(value) == pytest.approx(LEFT + share * (440 - RIGHT - LEFT), abs=0.06)


def test_vertical_axis_points_up() -> None:
    axis = vertical(0, 2, 280)
    assert [axis(0), axis(1), axis(2)] == pytest.approx(
        [280 - BOTTOM, (TOP + 280 - BOTTOM) / 2, TOP]
    )


@pytest.mark.parametrize(
    ("low", "high", "log"),
    [(0, 1, False), (0.88, 1, False), (1, 27, False), (1e-5, 1e-1, True), (2e-3, 5e-3, True)],
)
def test_ticks_are_inside_and_several(low: float, high: float, log: bool) -> None:
    axis = horizontal(low, high, 440, log=log)
    ticks = axis.ticks(5)
    assert 2 <= len(ticks) <= 7
    for tick in ticks:
        assert LEFT <= tick.position <= 440 - RIGHT
        assert axis(float(tick.label)) == pytest.approx(tick.position, abs=0.5)


def test_missing_values_are_left_out_of_a_line() -> None:
    x, y = horizontal(0, 2), vertical(0, 1)
    assert len(join_points([0, 1, 2], [0, math.nan, 1], x, y).split()) == 2


@pytest.mark.parametrize("count", [1, 2, 400, 401, 10_000])
def test_thinning_keeps_both_ends(count: int) -> None:
    kept = thin_out(count)
    assert (kept[0], kept[-1]) == (0, count - 1)
    assert len(kept) == min(count, 400)


def test_bars_of_a_reliability_diagram_are_as_high_as_the_accuracy() -> None:
    bins = [ReliabilityBin(0.6, 0.7, 3, 0.65, 1 / 3), ReliabilityBin(0.9, 1.0, 12, 0.97, 1.0)]
    chart = draw_reliability(bins)
    whole = chart.bottom - TOP
    assert [bar.height / whole for bar in chart.bars] == pytest.approx([1 / 3, 1], abs=1e-3)
    assert chart.dots[1].size > chart.dots[0].size


def test_learning_curves_have_training_and_validation_and_skip_what_is_empty() -> None:
    history = [
        {"epoch": "1", "phase": "head", "loss": "2.5", "accuracy": "0.5", "val_loss": ""},
        {"epoch": "2", "phase": "head", "loss": "1.5", "accuracy": "0.75", "val_loss": "1.75"},
    ]
    loss, accuracy = draw_learning_curves(history)
    assert (loss.title, accuracy.title) == ("Loss", "Accuracy")
    assert [line.name for line in loss.lines] == ["training", "validation"]
    assert [len(line.points.split()) for line in loss.lines] == [2, 1]
    assert [line.name for line in accuracy.lines] == ["training"]
    assert draw_learning_curves([]) == []
