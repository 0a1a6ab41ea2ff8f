"""Race of the engines: the fastest that matches Keras, remembered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.features.engines import race
from pipelines.features.engines.catalog import ENGINES
from pipelines.features.engines.engine import EngineRow
from pipelines.features.engines.network import FeatureNetwork, build_feature_network
from pipelines.features.engines.race import race_engines
from tests.support.engines import EngineOff
from zoo.heads.head import HeadConfig
from zoo.models.classifier import build_classifier


@pytest.fixture(scope="module")
def network() -> FeatureNetwork:
    return build_feature_network(
        build_classifier("micro_resnet_s", 3, size=32, head=HeadConfig(), frozen=True)
    )


def _with_keras(*rows: EngineRow) -> list[EngineRow]:
    return [ENGINES["keras"], *rows]


def test_race_skips_a_refused_engine_and_stores_its_choice(
    network: FeatureNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(race, "TRIAL_THRESHOLD_S", 0.0)
    rows = _with_keras(EngineRow("off", "wrong", lambda n, _: EngineOff(n, 1.0)))
    name, engine = race_engines(rows, network, 100, tmp_path)
    assert name == "keras"
    assert engine is not None
    assert "engine off is not used" in capsys.readouterr().err
    assert race_engines(rows, network, 10_000, tmp_path) == ("keras", None)


def test_race_chooses_the_fastest(
    network: FeatureNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(race, "TRIAL_THRESHOLD_S", 0.0)
    answers = {}

    class Remembering(EngineOff):
        def __call__(self, images: np.ndarray) -> np.ndarray:
            key = images.tobytes()
            if key not in answers:
                answers[key] = super().__call__(images)
            return answers[key]

    rows = _with_keras(EngineRow("quick", "", lambda n, _: Remembering(n, 0.0)))
    name, _ = race_engines(rows, network, 100, tmp_path)
    assert name == "quick"


def test_small_job_runs_in_keras_and_a_larger_one_tries_other_engines(
    network: FeatureNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = _with_keras(EngineRow("off", "wrong", lambda n, _: EngineOff(n, 0.0)))
    name, engine = race_engines(rows, network, 10, tmp_path)
    assert name == "keras"
    assert engine is not None
    assert race_engines(rows, network, 10, tmp_path)[1] is None
    monkeypatch.setattr(race, "TRIAL_THRESHOLD_S", 0.0)
    tried, engine = race_engines(rows, network, 11, tmp_path)
    assert tried in ("keras", "off")
    assert engine is not None


def test_engine_is_tried_only_while_the_fastest_exceeds_the_threshold(
    network: FeatureNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []

    def opens(name: str, rate: float) -> EngineRow:
        def open_it(network: FeatureNetwork, _: Path) -> Any:
            opened.append(name)
            engine = EngineOff(network, 0.0)
            engine.rate = rate  # type: ignore[attr-defined]
            return engine

        return EngineRow(name, "", open_it)

    monkeypatch.setattr(race, "measure_rate", lambda e, *_: getattr(e, "rate", 10.0))
    rows = _with_keras(opens("quick", 100.0), opens("quicker", 200.0))

    def winner(num_images: int) -> str:
        return race_engines(rows, network, num_images, tmp_path)[0]

    assert winner(100) == "quick"
    assert opened == ["quick"], "at 100 images/s one second of work is left"
    assert winner(90) == "quick"
    assert opened == ["quick"]
    assert winner(1000) == "quicker"
    assert opened == ["quick", "quick", "quicker"]
    assert winner(10**6) == "quicker"
    assert len(opened) == 3
