"""Choice of an engine: `auto` gives the same whatever was cached, and Keras where one fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipelines.features.engines import rule
from pipelines.features.engines.catalog import ENGINES
from pipelines.features.engines.choice import CHOICES, choose_engine
from pipelines.features.engines.engine import EngineRow
from pipelines.features.engines.network import FeatureNetwork, build_feature_network
from tests.support.engines import EngineOff
from zoo.errors import EngineError
from zoo.heads.head import HeadConfig
from zoo.models.classifier import build_classifier
from zoo.table import Table


@pytest.fixture(scope="module")
def network() -> FeatureNetwork:
    return build_feature_network(
        build_classifier("micro_resnet_s", 3, size=32, head=HeadConfig(), frozen=True)
    )


@pytest.fixture(autouse=True)
def any_network_is_large_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rule, "MIN_MULTIPLY_ADDS", 0)


def _table(open_it: Any) -> Table[EngineRow]:
    return Table("engine", [ENGINES["keras"], EngineRow("onnxruntime", "", open_it)])


def test_the_same_engine_with_and_without_what_was_found_out(
    network: FeatureNetwork, tmp_path: Path
) -> None:
    chosen = set()
    for folder in (tmp_path / "a", tmp_path / "a", tmp_path / "b"):
        for num_images in (1, 10**6):
            chosen.add(choose_engine("auto", ENGINES, network, num_images, folder)[0])
    assert len(chosen) == 1
    assert chosen & {"onnxruntime", "openvino", "keras"}


def test_auto_takes_keras_where_the_engine_of_the_rule_differs_and_says_so(
    network: FeatureNetwork, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = []

    def open_it(network: FeatureNetwork, _: Path) -> Any:
        opened.append(1)
        return EngineOff(network, 1.0)

    for _ in range(2):
        assert choose_engine("auto", _table(open_it), network, 100, tmp_path) == ("keras", None)
        logged = capsys.readouterr().err
        assert "engine keras: onnxruntime is not used: features from onnxruntime differ" in logged
    assert len(opened) == 1, "the second job knows it"


def test_auto_opens_the_engine_of_the_rule_once(network: FeatureNetwork, tmp_path: Path) -> None:
    table = _table(lambda n, _: EngineOff(n, 0.0))
    name, engine = choose_engine("auto", table, network, 100, tmp_path)
    assert name == "onnxruntime"
    assert isinstance(engine, EngineOff)
    assert choose_engine("auto", table, network, 100, tmp_path) == ("onnxruntime", None)


@pytest.mark.parametrize("error", [OSError("No space left on device"), MemoryError()])
def test_failure_of_the_machine_is_no_reason_for_another_engine(
    error: Exception, network: FeatureNetwork, tmp_path: Path
) -> None:
    def fail(network: FeatureNetwork, folder: Path) -> Any:
        raise error

    with pytest.raises(EngineError, match=r"onnxruntime cannot run the backbone"):
        choose_engine("auto", _table(fail), network, 100, tmp_path)
    assert not list(tmp_path.iterdir())


def test_only_the_race_looks_at_rates(
    network: FeatureNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.features.engines import race

    monkeypatch.setattr(race, "TRIAL_THRESHOLD_S", 0.0)
    monkeypatch.setattr(race, "measure_rate", lambda e, *_: 9.0 if hasattr(e, "error") else 10.0)
    table = _table(lambda n, _: EngineOff(n, 0.0))
    assert [choose_engine(way, table, network, 100, tmp_path)[0] for way in CHOICES] == [
        "onnxruntime",
        "keras",
    ]
