"""Inference engines: each computes the features of Keras, or is refused."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.features.engines.catalog import ENGINES
from pipelines.features.engines.engine import EngineRow, cache_sized_batch, pad_batch
from pipelines.features.engines.network import FeatureNetwork, build_feature_network
from pipelines.features.engines.opening import build_probes, open_engine
from tests.support.busy_machine import busy_machine
from tests.support.engines import EngineOff
from zoo.errors import EngineError, RecipeError
from zoo.heads.head import HeadConfig
from zoo.models.classifier import build_classifier

# One backbone per kind of layers: inverted residuals, preprocessing inside the model,
# concatenations, separable convolutions.
# Without ConvNeXt: Keras compiles its depthwise convolutions, which tf2onnx cannot convert.
FAMILIES = ["mobilenet_v2", "efficientnet_b0", "densenet121", "nasnet_mobile"]


def _network(backbone: str, size: int) -> FeatureNetwork:
    return build_feature_network(
        build_classifier(backbone, 3, size=size, head=HeadConfig(), frozen=True)
    )


def _images(count: int, size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def network() -> FeatureNetwork:
    return _network("micro_resnet_s", 32)


@pytest.fixture(scope="module")
def networks() -> Callable[[str, int], FeatureNetwork]:
    """Builds the network of a backbone and size once: the engines share its conversion, too."""
    return cache(_network)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("networks")


def _pooled(network: FeatureNetwork, images: np.ndarray) -> np.ndarray:
    """Mean and maximum of the backbone's own feature map, in NumPy."""
    trunk = network.model.get_layer("trunk")
    maps = trunk.predict(images.astype(np.float32), verbose=0).astype(np.float64)
    return np.stack([maps.mean(axis=(1, 2)), maps.max(axis=(1, 2))], axis=1)


def _check(name: str, network: FeatureNetwork, folder: Path) -> None:
    engine = open_engine(ENGINES[name], network, folder)
    images = _images(engine.batch_size, network.size, seed=1)
    expected = _pooled(network, images)
    received = engine(images)
    assert received.shape == (len(images), 2, network.num_features)
    assert received.dtype == np.float32
    for pooling in (0, 1):
        scale = np.abs(expected[:, pooling]).max()
        np.testing.assert_allclose(
            received[:, pooling], expected[:, pooling], rtol=0, atol=1e-4 * scale
        )


def test_network_is_converted_where_the_cache_cannot_be_written(
    network: FeatureNetwork, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Another engine would compute other bits.
    (tmp_path / "networks").write_text("in the way")
    file = network.onnx_file(tmp_path / "networks")
    assert f"this job keeps its network in {file}" in capsys.readouterr().err
    assert network.onnx_file(file.parent) == file
    _check("onnxruntime", network, file.parent)


@pytest.mark.parametrize("name", ENGINES)
def test_engine_computes_the_features_of_the_backbone(
    name: str, network: FeatureNetwork, folder: Path
) -> None:
    _check(name, network, folder)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", FAMILIES)
@pytest.mark.parametrize("name", ENGINES)
def test_engine_runs_each_family(
    name: str, backbone: str, networks: Callable[[str, int], FeatureNetwork], folder: Path
) -> None:
    _check(name, networks(backbone, 64), folder)


@pytest.mark.parametrize("name", ENGINES)
def test_features_do_not_depend_on_batch_or_thread(
    name: str, network: FeatureNetwork, folder: Path
) -> None:
    engine = open_engine(ENGINES[name], network, folder)
    images = _images(4 * engine.batch_size, 32, seed=2)
    batches = np.split(images, 4)
    alone = np.concatenate([engine(batch) for batch in batches])
    with ThreadPoolExecutor(max(4, engine.num_callers)) as pool:
        np.testing.assert_array_equal(np.concatenate(list(pool.map(engine, batches))), alone)
    shuffled = np.random.default_rng(3).permutation(len(images))
    mixed = np.concatenate([engine(batch) for batch in np.split(images[shuffled], 4)])
    np.testing.assert_array_equal(mixed, alone[shuffled])
    few = engine(pad_batch(images[:1], engine.batch_size))[:1]
    np.testing.assert_array_equal(few, alone[:1])


@pytest.mark.parametrize(
    ("backbone", "size"),
    [
        ("micro_resnet_s.cifar10", 32),
        ("efficientnet_lite0.imagenet", 96),
        pytest.param("resnet50", 64, marks=pytest.mark.slow),
        pytest.param("densenet121", 64, marks=pytest.mark.slow),
        pytest.param("efficientnet_b0", 64, marks=pytest.mark.slow),
        pytest.param("xception", 96, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("name", ENGINES)
def test_image_has_the_same_features_at_every_place(
    name: str,
    backbone: str,
    size: int,
    networks: Callable[[str, int], FeatureNetwork],
    folder: Path,
) -> None:
    """At the end of a batch TensorFlow's convolutions round otherwise than elsewhere."""
    engine = open_engine(ENGINES[name], networks(backbone, size), folder)
    for image in _images(2, size, seed=5):
        rows = engine(np.repeat(image[None], engine.batch_size, axis=0))
        np.testing.assert_array_equal(rows, np.broadcast_to(rows[:1], rows.shape))


@pytest.mark.slow
@pytest.mark.parametrize("name", ENGINES)
def test_features_do_not_depend_on_how_busy_the_machine_is(name: str, tmp_path: Path) -> None:
    network = _network("mobilenet_v2", 96)
    images = _images(4 * 32, 96, seed=4)

    def compute(folder: Path) -> np.ndarray:
        # Converted anew each time: the conversion is part of what must not vary.
        engine = open_engine(ENGINES[name], network, folder)
        batches = np.split(images, range(engine.batch_size, len(images), engine.batch_size))
        batches = [pad_batch(batch, engine.batch_size) for batch in batches]
        with ThreadPoolExecutor(engine.num_callers) as pool:
            return np.concatenate(list(pool.map(engine, batches)))[: len(images)]

    quiet = compute(tmp_path / "quiet")
    with busy_machine():
        np.testing.assert_array_equal(compute(tmp_path / "busy"), quiet)


def test_digest_depends_on_weights_size_and_normalization_alone(network: FeatureNetwork) -> None:
    classifier = build_classifier(
        "micro_resnet_s", 5, size=32, head=HeadConfig(hidden=(4,)), frozen=True
    )
    classifier.get_layer("micro_resnet_s").set_weights(
        network.model.get_layer("trunk").get_layer("micro_resnet_s").get_weights()
    )
    assert build_feature_network(classifier).digest == network.digest, (
        "the digest leaves the head out"
    )
    weight = classifier.get_layer("micro_resnet_s").weights[-1]
    weight.assign(weight * 1.001)
    assert build_feature_network(classifier).digest != network.digest
    other_size = build_classifier("micro_resnet_s", 3, size=40, head=HeadConfig(), frozen=True)
    other_size.get_layer("micro_resnet_s").set_weights(
        network.model.get_layer("trunk").get_layer("micro_resnet_s").get_weights()
    )
    assert build_feature_network(other_size).digest != network.digest


def test_engine_whose_features_differ_is_refused(network: FeatureNetwork, folder: Path) -> None:
    for error, refused in ((0.5e-4, False), (3e-4, True), (float("nan"), True)):
        row = EngineRow("off", "wrong", lambda n, _, e=error: EngineOff(n, e))
        if refused:
            with pytest.raises(EngineError, match=r"features from off differ from those of Keras"):
                open_engine(row, network, folder)
        else:
            open_engine(row, network, folder)


def test_error_of_failing_engine_names_the_remedy(network: FeatureNetwork, folder: Path) -> None:
    def fail(network: FeatureNetwork, folder: Path) -> Any:
        raise RuntimeError("no such kernel")

    with pytest.raises(EngineError, match=r"cannot run the backbone; received RuntimeError: no"):
        open_engine(EngineRow("broken", "", fail), network, folder)
    absent = EngineRow("absent", "", fail, packages=("no_such_package",), extra="onnx")
    with pytest.raises(RecipeError, match=r"'absent' is not installed.*transfer-zoo\[onnx\]"):
        open_engine(absent, network, folder)


def test_cache_sized_batch_holds_a_constant_number_of_pixels() -> None:
    for size in (8, 32, 64, 128, 224, 331, 1024):
        batch = cache_sized_batch(size)
        assert 1 <= batch <= 64
        assert batch * size**2 <= 1.5 * 2 * 224**2 or batch == 1


@pytest.mark.parametrize("size", [32, 224, 331])
def test_probes_are_the_same_colored_images_every_time(size: int) -> None:
    probes = build_probes(size)
    assert probes.shape == (8, size, size, 3)
    np.testing.assert_array_equal(probes, build_probes(size))
    assert probes.std(axis=(1, 2)).min() > 40, "every channel of every image varies"
    assert 100 < probes.mean() < 155
