"""The contract of every row of BACKBONES and WEIGHTS, parametrized over both tables.

Shapes, counts, names and blocks need no weight values: those tests build inside a
`StatelessScope`, which creates variables without values, so that the 51 networks take
half a minute at their native sizes instead of several minutes. Forward passes run at the
smallest size, since a convolution's weights do not depend on the size. `ZOO_ALL_ROWS=1` computes
and loads the largest networks, too; without it, those of their families stand for them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.support.networks import build_empty, num_parameters, random_images, without_values
from zoo.backbones.base import Backbone, blocks_of
from zoo.backbones.catalog import BACKBONES, WEIGHTS, build_backbone, resolve
from zoo.backbones.keras_applications import build_application
from zoo.errors import RecipeError, UnknownNameError, WeightsError
from zoo.normalization import NORMALIZATIONS
from zoo.table import Table
from zoo.weights.row import Weights

LARGE, HUGE = 12_000_000, 30_000_000
KERAS_ROWS = [
    row
    for row in BACKBONES.values()
    if isinstance(row.build, partial) and row.build.func is build_application
]


def _params(rows: Iterable[Backbone], fast: Callable[[Backbone], bool]) -> list[Any]:
    """Returns one pytest parameter a row, a slow one unless it is fast."""
    if not os.environ.get("ZOO_ALL_ROWS"):
        rows = [row for row in rows if row.num_parameters < HUGE]
    slow = [pytest.mark.slow]
    return [pytest.param(row, id=row.name, marks=[] if fast(row) else slow) for row in rows]


def _is_small(row: Backbone) -> bool:
    return row.num_parameters < LARGE


def _mark_by_size(row: Backbone) -> list[pytest.MarkDecorator]:
    if _is_small(row):
        return []
    return [pytest.mark.train if row.num_parameters < HUGE else pytest.mark.slow]


@pytest.mark.parametrize(
    "row",
    [pytest.param(row, id=row.name, marks=_mark_by_size(row)) for row in BACKBONES.values()],
)
def test_backbone_matches_its_row(row: Backbone) -> None:
    model = build_empty(row, row.input_size)
    assert model.name == row.name
    assert model.count_params() == row.num_parameters
    batch, height, width, features = model.output.shape
    assert batch is None
    assert height == width >= 1
    assert features == row.num_features
    assert tuple(model.input.shape) == (None, row.input_size, row.input_size, 3)
    names = [layer.name for layer in model.layers]
    assert len(set(names)) == len(names)
    assert not [name for name in names if "/" in name]

    blocks = blocks_of(row, model)
    split = [layer for block in blocks for layer in block]
    assert len(split) == len(model.layers)
    assert {id(layer) for layer in split} == {id(layer) for layer in model.layers}
    assert len(blocks) >= 3
    assert all(num_parameters(block) for block in blocks)
    assert sum(num_parameters(block) for block in blocks) == row.num_parameters
    assert num_parameters(blocks[-1]) < 0.4 * row.num_parameters
    assert blocks[0][0] is model.layers[0]


@pytest.mark.parametrize("name", ["inception_v3", "mobilenet_v3_small", "xception"])
def test_blocks_do_not_depend_on_earlier_models(name: str) -> None:
    row = BACKBONES[name]

    def split() -> list[list[int]]:
        model = build_empty(row, row.min_size)
        places = {id(layer): place for place, layer in enumerate(model.layers)}
        return [[places[id(layer)] for layer in block] for block in blocks_of(row, model)]

    # Automatic names count up: conv2d_7 in the first model, conv2d_101 in the second.
    assert split() == split()


def test_blocks_are_the_cells_and_modules() -> None:
    def last_names(name: str) -> list[str]:
        row = BACKBONES[name]
        return [block[-1].name for block in blocks_of(row, build_empty(row, row.min_size))]

    assert last_names("inception_v3") == [f"mixed{index}" for index in range(11)]
    assert len(last_names("vgg16")) == 13
    assert len(last_names("resnet50")) == 1 + 16
    assert len(last_names("mobilenet_v2")) == 1 + 17 + 1
    assert len(last_names("efficientnet_lite0")) == 1 + 16 + 1
    # The stem, its two reduction cells, twelve normal cells, and two reduction cells.
    assert len(last_names("nasnet_mobile")) == 1 + 2 + 12 + 2


# These compute the features of Keras, which are finite.
COMPARED = ["vgg16", "mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0", "efficientnet_v2_b0"]
# One row a family; building and calling all of them takes minutes.
FIRST = {
    "micro_resnet_s", "squeezenet1_1", "xception", "resnet50", "resnet50_v2", "inception_v3",
    "mobilenet", "efficientnet_lite0", "convnext_tiny",
}  # fmt: skip
# Engines that compute the same are refused where it is not finite; see their slow tests.
OF_ENGINES = ["densenet121", "nasnet_mobile"]
CALLED = [row for row in BACKBONES.values() if row.name not in (*COMPARED, *OF_ENGINES)]


@pytest.mark.train
@pytest.mark.parametrize("row", _params(CALLED, lambda row: row.name in FIRST))
def test_backbone_forward_is_finite(row: Backbone) -> None:
    keras.utils.set_random_seed(0)
    features = row.build(row.min_size)(random_images(row.min_size), training=False)
    assert features.shape[0] == 2
    assert features.shape[-1] == row.num_features
    assert bool(np.isfinite(features).all())
    assert float(np.abs(features).max()) > 0


@pytest.mark.parametrize("row", BACKBONES.values(), ids=list(BACKBONES))
def test_backbone_row_is_documented(row: Backbone) -> None:
    assert row.summary
    assert "\n" not in row.summary
    assert "https://" in row.paper
    assert row.normalization in NORMALIZATIONS
    assert row.input_size >= row.min_size
    for weights in row.weights:
        architecture, dot, tag = weights.name.partition(".")
        assert (architecture, dot) == (row.name, ".")
        assert tag


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=list(WEIGHTS))
def test_weights_row_is_documented(weights: Weights) -> None:
    row = BACKBONES[weights.name.partition(".")[0]]
    assert weights.normalization in NORMALIZATIONS
    assert weights.input_size >= row.min_size
    assert weights.license
    assert weights.data
    assert weights.origin
    assert weights.top1 is None or 0.5 < weights.top1 < 1
    if not weights.shipped:
        assert weights.url.startswith("https://")
        assert weights.url.rpartition("/")[2] == weights.file
        assert 4 * row.num_parameters < weights.max_bytes < 6 * row.num_parameters + 5_000_000
    # Rows verified by their first fetch alone should stay exceptions.
    if not (weights.md5 or weights.sha256):
        assert row.name in {"mobilenet", "mobilenet_v2"}


def test_tables_hold_every_keras_application() -> None:
    ours = {row.build.args[1] for row in KERAS_ROWS}  # type: ignore[attr-defined]
    theirs = {name for name in dir(keras.applications) if name[0].isupper()}
    assert ours == theirs
    assert isinstance(BACKBONES, Table)
    assert BACKBONES.kind == "backbone"
    assert WEIGHTS.kind == "weights"
    assert len(WEIGHTS) == sum(len(row.weights) for row in BACKBONES.values())


def test_catalog_imports_no_heavy_module() -> None:
    code = (
        "import sys, zoo.backbones.catalog; "
        "print(*sorted({'keras', 'tensorflow', 'numpy', 'pydantic', 'h5py'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


class _Asked(Exception):
    """Raised instead of a download, with the URL and digest that Keras requests."""


def _keras_function(row: Backbone) -> Any:
    return getattr(keras.applications, row.build.args[1])  # type: ignore[attr-defined]


@pytest.mark.parametrize("row", _params(KERAS_ROWS, _is_small))
def test_weights_file_is_the_one_keras_downloads(
    row: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    def get_file(fname: str, origin: str, file_hash: str | None = None, **_: Any) -> None:
        raise _Asked(origin, file_hash)

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", get_file)
    # At other sizes than the native one Keras warns, and downloads the same file.
    shape = (row.input_size, row.input_size, 3)
    with pytest.raises(_Asked, match="https") as asked, without_values():
        _keras_function(row)(weights="imagenet", include_top=False, input_shape=shape)
    (weights,) = row.weights
    url, digest = asked.value.args
    assert url == weights.url
    assert (digest or "") == weights.md5 + weights.sha256


@pytest.mark.parametrize("row", KERAS_ROWS, ids=lambda row: row.name)
def test_min_size_equals_keras(row: Backbone) -> None:
    small = row.min_size - 1
    with pytest.raises(ValueError, match=f"at least {row.min_size}x{row.min_size}"):
        _keras_function(row)(weights=None, include_top=False, input_shape=(small, small, 3))


@pytest.mark.parametrize("row", KERAS_ROWS, ids=lambda row: row.name)
def test_normalization_equals_keras(row: Backbone) -> None:
    module = sys.modules[_keras_function(row).__module__]
    pixels = random_images(8)
    expected = module.preprocess_input(pixels.copy())
    for source in (row, *row.weights):
        received = NORMALIZATIONS[source.normalization].apply(keras.ops.convert_to_tensor(pixels))
        np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-4)


def _save_as_keras_1(model: Any, path: Path) -> None:
    """Writes a file in the format that Keras publishes, with changed weights."""
    import h5py
    from keras.src.legacy.saving import legacy_h5_format

    random = np.random.default_rng(3)
    for weight in model.weights:
        if weight.name == "count":
            continue
        value = np.asarray(weight)
        if weight.name in ("gamma", "variance", "moving_variance"):
            weight.assign(random.uniform(0.2, 0.9, value.shape))
        else:
            weight.assign(value + 0.05 * random.standard_normal(value.shape))
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)


@pytest.mark.train
@pytest.mark.parametrize("name", [*COMPARED, pytest.param("convnext_tiny", marks=pytest.mark.slow)])
def test_loaded_backbone_computes_the_features_of_keras(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # MobileNets at their native size, since Keras warns at other sizes.
    row = BACKBONES[name]
    size = row.input_size if name.startswith("mobilenet") else row.min_size
    path = tmp_path / row.weights[0].file
    keras.utils.set_random_seed(0)
    model = row.build(size)
    _save_as_keras_1(model, path)
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", lambda *_, **__: str(path))
    reference = _keras_function(row)(
        weights="imagenet", include_top=False, input_shape=(size, size, 3)
    )
    row.load(model, path)
    # The first convolution too: a deep network with random weights hardly depends on its
    # input, so at its end a wrong normalization would look like rounding.
    for part in (_first_convolution, lambda whole: whole):
        pixels = random_images(size)
        expected = np.asarray(part(reference)(pixels, training=False))
        received = np.asarray(part(model)(pixels, training=False))
        scale = float(np.abs(expected).max())
        assert 0 < scale < np.inf
        # The corrected input of EfficientNet differs by rounding, which grows with depth.
        np.testing.assert_allclose(received / scale, expected / scale, rtol=0, atol=1e-4)


def _first_convolution(model: Any) -> Any:
    layer = next(layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
    return keras.Model(model.input, layer.output)


def test_resolve_returns_architecture_and_weights() -> None:
    assert resolve("resnet50") == (BACKBONES["resnet50"], None)
    assert resolve("resnet50.imagenet") == (BACKBONES["resnet50"], WEIGHTS["resnet50.imagenet"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet_50", r"Unknown backbone 'resnet_50'\. Did you mean 'resnet50'"),
        ("mobilenetv2.imagenet", r"Did you mean 'mobilenet_v2\.imagenet'"),
        (
            "resnet50.imagenet21k",
            r"weights 'resnet50\.imagenet21k'\. Did .* 'resnet50\.imagenet'\?",
        ),
        ("resnet50.x", r"Unknown weights 'resnet50\.x'\. .*'?resnet50\.imagenet"),
        (
            "micro_resnet_xl.imagenet",
            r"has no pretrained weights: 'micro_resnet_xl' starts",
        ),
        ("", r"Unknown backbone ''\. Known: micro_resnet_s, "),
    ],
)
def test_resolve_suggests_near_names_on_a_miss(name: str, message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        resolve(name)


def test_build_backbone_rejects_too_small_images() -> None:
    with pytest.raises(RecipeError, match="inception_v3; expected a size of at least 75; received"):
        build_backbone("inception_v3", 64)


def test_build_backbone_defaults_to_the_size_of_the_weights() -> None:
    assert build_backbone("micro_resnet_s").input.shape == (None, 32, 32, 3)
    assert build_backbone("micro_resnet_s", 48).input.shape == (None, 48, 48, 3)


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that ZOO_WEIGHTS names, with a separate cache."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    monkeypatch.setenv("ZOO_WEIGHTS", str(folder))
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    return folder


def test_build_backbone_loads_the_fetched_file(mirror: Path) -> None:
    row = BACKBONES["mobilenet"]
    original = row.build(64)
    _save_as_keras_1(original, mirror / row.weights[0].file)
    model = build_backbone("mobilenet.imagenet", 64)
    pixels = random_images(64)
    np.testing.assert_array_equal(model(pixels, training=False), original(pixels, training=False))


@pytest.mark.parametrize("content", ["no HDF5", "another network", "no network"])
def test_build_backbone_reports_an_unreadable_file(content: str, mirror: Path) -> None:
    import h5py

    path = mirror / WEIGHTS["mobilenet.imagenet"].file
    if content == "no HDF5":
        path.write_text("<html>not found</html>")
    elif content == "another network":
        _save_as_keras_1(BACKBONES["micro_resnet_s"].build(32), path)
    else:
        with h5py.File(path, "w") as file:
            file["numbers"] = [1, 2, 3]
    with pytest.raises(WeightsError, match=r"cannot be read( as the weights of mob\w+)?; exp"):
        build_backbone("mobilenet.imagenet", 64)
