"""Feature extraction: the backbone's output for every view, computed once and resumed."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipelines.augment.policies import AugmentConfig
from pipelines.features.config import FeatureConfig
from pipelines.features.engines.catalog import ENGINES
from pipelines.features.engines.choice import CHOICES
from pipelines.features.engines.network import FeatureNetwork, build_feature_network
from pipelines.features.extraction import Extractor
from pipelines.features.store import FeatureFolder
from pipelines.input_pipeline.datasets import build_views_dataset
from pipelines.input_pipeline.decoded_images import build_pair_reader
from pipelines.sources.opening.dataset import open_source
from pipelines.sources.source import Examples
from tests.support.tiny import write_images
from zoo.errors import DataError, WeightsError
from zoo.heads.head import HeadConfig
from zoo.models.blocks import backbone_of
from zoo.models.classifier import build_classifier
from zoo.preprocessing import Preprocessing
from zoo.table import Table

pytestmark = pytest.mark.train

COUNT, VIEWS = 30, 2


@pytest.fixture(scope="module")
def network() -> FeatureNetwork:
    return build_feature_network(
        build_classifier("micro_resnet_s", 3, size=32, head=HeadConfig(), frozen=True)
    )


@pytest.fixture(scope="module")
def trained_network() -> FeatureNetwork:
    return build_feature_network(
        build_classifier("micro_resnet_s.cifar10", 3, size=32, head=HeadConfig(), frozen=True)
    )


@pytest.fixture(scope="module")
def images(tiny_folder: Path) -> Examples:
    return open_source(str(tiny_folder)).train


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What converted networks are kept in, for all tests; their names say whose they are."""
    return tmp_path_factory.mktemp("networks")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, networks: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Gives each test a cache with no features."""
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "networks").symlink_to(networks)
    monkeypatch.setenv("ZOO_CACHE", str(cache))
    return cache


@pytest.fixture(scope="module")
def first_features(
    network: FeatureNetwork, images: Examples, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The features of `images` in a cache that a job has left; tests copy them."""
    cache = tmp_path_factory.mktemp("first") / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_CACHE", str(cache))
        assert _extracted(network, images) == COUNT * (VIEWS + 1)
    return cache / "features"


@pytest.fixture
def extracted(first_features: Path, own_cache: Path) -> None:
    """Puts the features of `images` into the test's cache."""
    shutil.copytree(first_features, own_cache / "features")


def _extractor(network: FeatureNetwork, **changed: Any) -> Extractor:
    options: dict[str, Any] = {
        "preprocessing": Preprocessing(size=32),
        "augment": AugmentConfig(),
        "seed": 0,
        "config": FeatureConfig(engine="keras"),
        **changed,
    }
    return Extractor(network, **options)


def _extracted(
    network: FeatureNetwork, examples: Examples, num_views: int = VIEWS, **changed: Any
) -> int:
    extractor = _extractor(network, **changed)
    extractor.extract(examples, num_views)
    return extractor.num_computed


@pytest.fixture(scope="module")
def outputs(network: FeatureNetwork, images: Examples) -> np.ndarray:
    """The backbone's output for the rendered views by Keras, [N, V, poolings, D]."""
    image_keys = np.array([int(digest[:15], 16) for digest in images.digests])
    rendered = np.concatenate(
        list(
            build_views_dataset(
                images,
                Preprocessing(size=32),
                AugmentConfig(),
                seed=0,
                views=range(VIEWS + 1),
                image_keys=image_keys,
                batch_size=16,
            ).as_numpy_iterator()
        )
    )
    found: np.ndarray = network.model.predict(rendered, verbose=0)
    return found.reshape(COUNT, VIEWS + 1, 2, -1)


@pytest.mark.parametrize("engine", [*ENGINES, *CHOICES])
def test_features_are_the_backbones_output_for_the_rendered_views(
    engine: str, network: FeatureNetwork, images: Examples, outputs: np.ndarray
) -> None:
    extractor = _extractor(network, config=FeatureConfig(engine=engine))
    found = extractor.extract(images, VIEWS)
    assert (len(found), found.num_views) == (COUNT, VIEWS + 1)
    for view in range(VIEWS + 1):
        for column, pooling in enumerate(("avg", "max")):
            received = found.read(pooling, views=view)
            scale = np.abs(outputs[:, :, column]).max()
            np.testing.assert_allclose(
                received, outputs[:, view, column], rtol=0, atol=1e-4 * scale
            )


@pytest.mark.usefixtures("extracted")
def test_second_job_computes_nothing(network: FeatureNetwork, images: Examples) -> None:
    assert _extracted(network, images) == 0


def _other_weights(network: FeatureNetwork) -> dict[str, Any]:
    other = build_classifier("micro_resnet_s", 3, size=32, head=HeadConfig(), frozen=True)
    return {"network": build_feature_network(other)}


def _lower_blocks(network: FeatureNetwork) -> dict[str, Any]:
    lower = build_classifier(
        "micro_resnet_s", 3, size=32, head=HeadConfig(), frozen=True, truncate_blocks=3
    )
    trained = network.model.get_layer("trunk").get_layer("micro_resnet_s")
    for layer in backbone_of(lower, "micro_resnet_s").layers[1:]:
        layer.set_weights(trained.get_layer(layer.name).get_weights())
    return {"network": build_feature_network(lower)}


PLAIN, AUGMENTED = COUNT, COUNT * VIEWS


@pytest.mark.usefixtures("extracted")
@pytest.mark.parametrize(
    ("change", "computed"),
    [
        (_other_weights, PLAIN + AUGMENTED),
        (_lower_blocks, PLAIN + AUGMENTED),
        (lambda _: {"preprocessing": Preprocessing(size=32, fit="pad")}, PLAIN + AUGMENTED),
        (
            lambda _: {"preprocessing": Preprocessing(size=32, interpolation="bicubic")},
            PLAIN + AUGMENTED,
        ),
        (
            lambda _: {"augment": AugmentConfig(policy="flip_lr(0.1)|crop(0.6, aspect=1.2)")},
            AUGMENTED,
        ),
        (lambda _: {"seed": 1}, AUGMENTED),
        (lambda _: {"num_views": VIEWS + 1}, COUNT),
        (lambda _: {"num_views": VIEWS - 1}, 0),
        (lambda _: {"config": FeatureConfig(engine="onnxruntime")}, PLAIN + AUGMENTED),
        (lambda _: {"config": FeatureConfig(engine="keras", cache_gib=1.0)}, 0),
    ],
)
def test_key_covers_what_features_depend_on_and_nothing_else(
    change: Callable[[FeatureNetwork], dict[str, Any]],
    computed: int,
    network: FeatureNetwork,
    images: Examples,
) -> None:
    changed = change(network)
    assert _extracted(changed.pop("network", network), images, **changed) == computed


@pytest.mark.usefixtures("extracted")
@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_key_covers_what_keras_runs_on(
    backend: str, network: FeatureNetwork, images: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _extracted(network, images, 0) == 0
    with monkeypatch.context() as patch:
        # TensorFlow computes either way: it is the key that is looked at.
        row = replace(ENGINES["keras"], platform=lambda: "elsewhere")
        patch.setattr("pipelines.features.extraction.ENGINES", Table("engine", [row]))
        assert _extracted(network, images, 0) == PLAIN
    monkeypatch.setattr("keras.backend.backend", lambda: backend)
    # Not imported: JAX warns of every later fork of the process.
    monkeypatch.setitem(sys.modules, "jax", SimpleNamespace(default_backend=lambda: "cpu"))
    assert ENGINES["keras"].platform() == f"{backend} cpu"


@pytest.mark.parametrize("engine", ENGINES)
def test_features_do_not_depend_on_what_other_jobs_left(
    engine: str,
    trained_network: FeatureNetwork,
    images: Examples,
    own_cache: Path,
) -> None:
    """Another job took some of the images, in another order."""

    def extract() -> np.ndarray:
        extractor = _extractor(trained_network, config=FeatureConfig(engine=engine))
        features: np.ndarray = extractor.extract(images, VIEWS).read_views("avg")
        return features

    alone = extract()
    shutil.rmtree(own_cache / "features")
    config = FeatureConfig(engine=engine)
    assert _extracted(trained_network, images.take(range(25, 3, -3)), config=config) == 24
    np.testing.assert_array_equal(extract(), alone)


def test_key_covers_the_color_axes(network: FeatureNetwork, images: Examples) -> None:
    augment = AugmentConfig(policy="pca_noise")
    assert _extracted(network, images, augment=augment) == PLAIN + AUGMENTED
    assert _extracted(network, images, augment=augment) == 0
    # Fitted to some of the images, the axes differ, and so do the views.
    some = images.take(range(COUNT // 2))
    assert _extracted(network, some, augment=augment) == len(some) * VIEWS


@pytest.mark.usefixtures("extracted")
def test_images_are_identified_by_their_bytes(
    network: FeatureNetwork, images: Examples, tmp_path: Path
) -> None:
    backwards = images.take(range(COUNT)[::-1])
    assert _extracted(network, backwards) == 0
    # The same files under other names, and some new ones before them.
    folder = write_images(tmp_path / "more", 2, seed=7)
    for index in range(COUNT):
        (folder / "red" / f"zz{index:02d}.jpg").write_bytes(images.read(index))
    more = open_source(str(folder)).train
    known = sum(digest in images.digests for digest in more.digests)
    assert 0 < known < len(more)
    first = _extractor(network)
    found = first.extract(more, VIEWS)
    assert first.num_computed == (len(more) - known) * (VIEWS + 1)
    before = _extractor(network).extract(images, VIEWS)
    for index, digest in enumerate(more.digests):
        if digest in images.digests:
            old_index = images.digests.index(digest)
            for view in range(VIEWS + 1):
                np.testing.assert_array_equal(
                    found.read("avg", np.array([index]), view),
                    before.read("avg", np.array([old_index]), view),
                )


def test_image_that_occurs_twice_is_computed_once(
    network: FeatureNetwork, images: Examples
) -> None:
    twice = images.take([3, 3, 4, 3])
    assert _extracted(network, twice, 1) == 4
    found = _extractor(network).extract(twice, 1)
    np.testing.assert_array_equal(*found.read("max", np.array([0, 3]), 1))


@pytest.mark.usefixtures("extracted")
def test_shards_of_any_size_hold_every_image(
    network: FeatureNetwork, images: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _extractor(network).extract(images, VIEWS)
    for size in (1, 7):
        monkeypatch.setattr("pipelines.features.extraction._SHARD_IMAGES", size)
        monkeypatch.setenv("ZOO_CACHE", f"{os.environ['ZOO_CACHE']}{size}")
        parts = _extractor(network).extract(images, VIEWS)
        for view in range(VIEWS + 1):
            np.testing.assert_array_equal(
                parts.read("concatenated", views=view), whole.read("concatenated", views=view)
            )


@pytest.mark.parametrize("ahead_mib", [0, 64])
def test_image_that_changed_since_its_scan_is_refused(
    network: FeatureNetwork, tmp_path: Path, ahead_mib: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = partial(build_pair_reader, ahead_mib=ahead_mib)
    monkeypatch.setattr("pipelines.input_pipeline.datasets.build_pair_reader", reader)
    folder = write_images(tmp_path / "data", 3)
    examples = open_source(str(folder)).train
    changed = (examples.files or ())[0]
    changed.write_bytes((examples.files or ())[1].read_bytes())
    with pytest.raises(DataError, match=r"changed while the job ran; expected .* scanned"):
        _extracted(network, examples)
    assert not list(Path(os.environ["ZOO_CACHE"]).rglob("features/*/*.features"))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused_and_not_kept(
    images: Examples, own_cache: Path, value: float
) -> None:
    model = build_classifier("micro_resnet_s.cifar10", 3, size=32, head=HeadConfig(), frozen=True)
    bias = backbone_of(model, "micro_resnet_s").get_layer("stage3_res2_bn").beta
    bias.assign(np.full(bias.shape, value))
    expected = rf"backbone's features of .*\.jpg are not finite; expected .* {value}; choose "
    with pytest.raises(WeightsError, match=expected):
        _extracted(build_feature_network(model), images)
    assert not list(own_cache.rglob("features/*/*.features"))


@pytest.mark.usefixtures("extracted")
def test_features_of_other_jobs_are_evicted(
    network: FeatureNetwork, images: Examples, capsys: pytest.CaptureFixture[str]
) -> None:
    tight = FeatureConfig(engine="keras", cache_gib=1e-9)
    other = Preprocessing(size=32, fit="stretch")
    _extracted(network, images, config=tight, preprocessing=other)
    assert "removed old features" in capsys.readouterr().err
    assert _extracted(network, images, preprocessing=other) == 0, "a job keeps its own features"
    assert _extracted(network, images) == PLAIN + AUGMENTED


def test_killed_extraction_resumes_after_its_last_shard(
    network: FeatureNetwork,
    images: Examples,
    own_cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write, written, killed = FeatureFolder.write, [], tmp_path / "killed"

    def write_and_copy(folder: FeatureFolder, rows: Any, features: Any) -> None:
        write(folder, rows, features)
        written.append(len(rows))
        if len(written) == 8:
            # What is on the disk now is what a kill would leave.
            shutil.copytree(own_cache, killed)

    with monkeypatch.context() as patch:
        patch.setattr("pipelines.features.extraction._SHARD_IMAGES", 4)
        patch.setattr(FeatureFolder, "write", write_and_copy)
        assert _extracted(network, images) == 3 * COUNT
    monkeypatch.setenv("ZOO_CACHE", str(killed))
    assert len(list(killed.rglob("features/*/[!.]*.features"))) == 8
    # Each shard holds one view of four images.
    assert _extracted(network, images) == 3 * COUNT - 8 * 4
    assert _extracted(network, images) == 0
