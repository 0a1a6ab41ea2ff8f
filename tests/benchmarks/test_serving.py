"""The benchmark of serving: its table, and which answers it counts as others."""

from __future__ import annotations

from typing import Any

from benchmarks import serving
from pipelines.serving.prediction import Prediction, TaskPrediction


def test_table_has_the_server_and_the_means_of_the_loops() -> None:
    found = {
        "connections": 32,
        "server": {"rate": 100.4, "p50_ms": 300.2, "p99_ms": 500.6},
        "loops": {"loop of `run.predict`": [10.0, 20.0], "loop of its network": [30.0, 30.0]},
    }
    assert serving.table_of(found).splitlines()[2:] == [
        "| `zoo serve`, 32 connections | 100 | 300 | 501 |",
        "| loop of `run.predict` | 15 | | |",
        "| loop of its network | 30 | | |",
    ]


def test_other_answers_are_counted() -> None:
    expected = [
        Prediction("a", {"label": TaskPrediction(("ant", "bee"), (0.75, 0.25))}),
        Prediction("b", error="cut off"),
    ]

    def row(*probabilities: float, best: str = "ant") -> Any:
        return {"predictions": [{"classes": [best], "probabilities": probabilities}]}

    right = [(0, 0.1, 200, row(0.75, 0.25)), (1, 0.1, 422, {"error": "images[0]: cut off"})]
    assert serving.compare(right, expected) == 0
    wrong = [
        (0, 0.1, 200, row(0.74, 0.26)),
        (0, 0.1, 200, row(0.75, 0.25, best="bee")),
        (0, 0.1, 503, {"error": "100 images are waiting"}),
        (1, 0.1, 200, row(0.75, 0.25)),
    ]
    assert serving.compare(wrong, expected) == len(wrong)
