"""Phases: which blocks train from which epoch on."""

from __future__ import annotations

from typing import Any

from pipelines.recipe.recipe import Recipe
from pipelines.training.phases import Phase, build_phases


def _phases(frozen: bool = True, **fine_tune: Any) -> list[Phase]:
    recipe = Recipe.from_settings(
        {
            "backbone": {"name": "micro_resnet_s", "frozen": frozen},
            "input": {"size": 32},
            "train": {"epochs": 4},
            "optimizer": {"learning_rate": 0.1},
            "fine_tune": {"learning_rate": 0.01, **fine_tune},
        }
    )
    return build_phases(recipe.resolve())


def test_head_alone() -> None:
    assert _phases() == [Phase("head", 0, 4, 0, 0.1)]
    assert _phases(frozen=False) == [Phase("all", 0, 4, 0, 0.1)]


def test_blocks_at_once() -> None:
    assert _phases(blocks=3, epochs=5) == [
        Phase("head", 0, 4, 0, 0.1),
        Phase("fine_tune", 4, 9, 3, 0.01),
    ]


def test_blocks_one_after_the_other() -> None:
    assert _phases(blocks=3, epochs=7, gradual=2)[1:] == [
        Phase("fine_tune", 4, 6, 1, 0.01),
        Phase("fine_tune", 6, 8, 2, 0.01),
        Phase("fine_tune", 8, 11, 3, 0.01),
    ]
    assert _phases(blocks=1, epochs=7, gradual=2)[1:] == [Phase("fine_tune", 4, 11, 1, 0.01)]
    assert _phases(blocks=0, gradual=2) == _phases()
