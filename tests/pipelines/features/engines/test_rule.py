"""Rule that chooses an engine: facts in, a name out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.features.engines.catalog import ENGINES
from pipelines.features.engines.engine import EngineRow
from pipelines.features.engines.network import build_feature_network
from pipelines.features.engines.rule import (
    MIN_MULTIPLY_ADDS,
    PREFERRED,
    EngineFacts,
    choose_by_rule,
)
from pipelines.runtime.processor import vector_instructions
from zoo.heads.head import HeadConfig
from zoo.models.classifier import build_classifier
from zoo.table import Table

FACTS = EngineFacts(
    multiply_adds=400_000_000,
    precision="float32",
    backend="tensorflow",
    gpu=False,
    vector_instructions=frozenset({"X86_V2", "X86_V3"}),
)


def _installed(*names: str) -> Table[EngineRow]:
    """All engines, of which these and Keras are installed."""

    def fail(network: Any, folder: Path) -> Any:
        raise AssertionError("the rule opens nothing")

    return Table(
        "engine",
        [
            EngineRow(name, "", fail, packages=() if name in ("keras", *names) else ("absent_",))
            for name in ENGINES
        ],
    )


@pytest.mark.parametrize(
    ("installed", "changed", "name", "reason"),
    [
        (PREFERRED, {}, "onnxruntime", "400 million multiply-adds an image"),
        (("onnxruntime",), {}, "onnxruntime", "400 million"),
        (("openvino",), {}, "openvino", "400 million"),
        ((), {}, "keras", "no other is installed"),
        (PREFERRED, {"multiply_adds": MIN_MULTIPLY_ADDS}, "onnxruntime", "200 million"),
        (PREFERRED, {"multiply_adds": MIN_MULTIPLY_ADDS - 1}, "keras", "too few to convert"),
        (PREFERRED, {"multiply_adds": 10**11}, "onnxruntime", "100,000 million"),
        (PREFERRED, {"precision": "mixed_bfloat16"}, "keras", "computes in mixed_bfloat16"),
        (PREFERRED, {"backend": "jax"}, "keras", "Keras' backend is jax"),
        (PREFERRED, {"gpu": True}, "keras", "there is a GPU"),
        # As NumPy names AVX2 before 2.4, and NEON.
        (PREFERRED, {"vector_instructions": frozenset({"SSE3", "AVX2"})}, "onnxruntime", "400"),
        (PREFERRED, {"vector_instructions": frozenset({"NEON", "ASIMD"})}, "onnxruntime", "400"),
        (PREFERRED, {"vector_instructions": frozenset({"X86_V2"})}, "keras", "neither AVX2 nor"),
    ],
)
def test_rule_chooses_by_facts(
    installed: tuple[str, ...], changed: dict[str, Any], name: str, reason: str
) -> None:
    choice = choose_by_rule(_installed(*installed), replace(FACTS, **changed))
    assert choice.name == name
    assert reason in choice.reason


def test_every_engine_but_keras_has_its_place_in_the_rule() -> None:
    assert {"keras", *PREFERRED} == set(ENGINES)


@pytest.mark.parametrize(
    ("backbone", "size", "chosen"),
    [
        ("micro_resnet_s", 32, "keras"),
        ("micro_resnet_m", 32, "keras"),
        ("efficientnet_lite0", 64, "keras"),
        ("efficientnet_lite0", 224, "onnxruntime"),
        ("squeezenet1_1", 224, "onnxruntime"),
    ],
)
def test_rule_on_networks_of_the_zoo(backbone: str, size: int, chosen: str) -> None:
    network = build_feature_network(
        build_classifier(backbone, 3, size=size, head=HeadConfig(), frozen=True)
    )
    facts = replace(FACTS, multiply_adds=EngineFacts.of(network).multiply_adds)
    assert choose_by_rule(_installed(*PREFERRED), facts).name == chosen


def test_facts_are_those_of_this_machine() -> None:
    import keras

    network = build_feature_network(
        build_classifier("micro_resnet_s", 3, size=32, head=HeadConfig(), frozen=True)
    )
    facts = EngineFacts.of(network)
    assert (facts.precision, facts.backend) == ("float32", keras.backend.backend())
    assert facts.vector_instructions == vector_instructions()


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="Linux tells what it finds there")
def test_vector_instructions_are_those_the_kernel_reports() -> None:
    flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    found = vector_instructions()
    assert bool(found & {"AVX2", "X86_V3"}) == ({"avx2", "fma"} <= flags)
    assert ("ASIMD" in found) == ("asimd" in flags)
