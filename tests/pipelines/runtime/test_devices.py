"""Precision and compilation by device; the GPUs are described, not there."""

from __future__ import annotations

from collections.abc import Iterator

import keras
import pytest
import tensorflow as tf

from pipelines.recipe.recipe import Recipe
from pipelines.runtime.devices import DeviceConfig, choose_precision, prepare_devices


@pytest.fixture(autouse=True)
def _same_policy() -> Iterator[None]:
    policy = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(policy)


@pytest.mark.parametrize(
    ("capabilities", "on_images", "expected"),
    [
        ([], True, "float32"),
        ([(9, 0)], True, "mixed_bfloat16"),
        ([(8, 0)], True, "mixed_bfloat16"),
        ([(7, 5)], True, "mixed_float16"),
        ([(6, 1)], True, "float32"),
        ([(9, 0), (7, 0)], True, "mixed_float16"),
        ([None], True, "float32"),
        ([(9, 0)], False, "float32"),
    ],
)
def test_precision_is_that_of_the_weakest_gpu_where_images_pass_the_network(
    capabilities: list[tuple[int, int] | None],
    on_images: bool,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: capabilities)
    monkeypatch.setattr(
        tf.config.experimental,
        "get_device_details",
        lambda gpu: {"compute_capability": gpu} if gpu else {},
    )
    assert choose_precision(DeviceConfig(), on_images=on_images) == expected
    assert choose_precision(DeviceConfig(precision="float32"), on_images=on_images) == "float32"


@pytest.mark.parametrize(
    ("settings", "on_images"),
    [
        ({}, False),
        ({"fine_tune": {"blocks": 1}}, True),
        ({"backbone": {"frozen": False}}, True),
        ({"features": {"use": False}}, True),
    ],
)
def test_images_pass_the_network_where_more_than_a_head_trains(
    settings: dict[str, dict[str, object]], on_images: bool
) -> None:
    base = {"data": {"source": "signs"}, "backbone": {"name": "micro_resnet_s.cifar10"}}
    recipe = Recipe.from_settings(base, settings).resolve()
    assert recipe.trains_on_images is on_images


def test_another_precision_is_for_a_while_only() -> None:
    devices = prepare_devices(DeviceConfig(), on_images=False)
    before = keras.config.dtype_policy().name
    config = DeviceConfig(precision="mixed_bfloat16")
    with devices.in_precision(config, on_images=False) as mixed:
        assert mixed.description == "CPU, mixed_bfloat16"
        assert keras.layers.Dense(1).compute_dtype == "bfloat16"
        assert devices.can_stack_heads
        assert not mixed.can_stack_heads
    assert keras.config.dtype_policy().name == before == devices.precision
