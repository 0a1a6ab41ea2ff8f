"""Backbones from KerasHub: every class against KerasHub's own output, and presets that are refused.

Networks are small and random; the oracle is the network itself, called as KerasHub calls it on
what its own image converter returns.
"""

from __future__ import annotations

import json
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import h5py
import keras
import keras_hub
import numpy as np
import pytest

from tests.support.kerashub_presets import SETTINGS, SIZE, build_network, edit_json, write_preset
from tests.support.lean_import import WITHOUT_THEM
from zoo.backbones.base import blocks_of
from zoo.backbones.catalog import build_backbone, resolve
from zoo.backbones.kerashub.families import FAMILIES
from zoo.backbones.kerashub.installation import INSTALL
from zoo.errors import InputError, RecipeError, UnknownNameError, WeightsError
from zoo.models.classifier import build_classifier

CONVERTER: dict[str, Any] = {
    "image_size": (SIZE, SIZE),
    "scale": [1 / 127.5, 1 / 120, 1 / 130],
    "offset": [-1.0, -0.9, -1.1],
}
PIXELS = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3)).astype(np.float32)
# Class tokens and registers before the patches, by the classes' documentation.
TOKENS = {
    "ViTBackbone": (1, 0),
    "DeiTBackbone": (2, 0),
    "DINOV2Backbone": (1, 3),
    "DINOV3Backbone": (1, 4),
    "CLIPVisionEncoder": (1, 0),
    "CLIPBackbone": (1, 0),
    "SwinTransformerBackbone": (0, 0),
}


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A preset of a vision transformer; read-only by convention."""
    folder = tmp_path_factory.mktemp("presets") / "vit"
    return write_preset(folder, "ViTBackbone", converter=CONVERTER)


def own_output(network: Any, converter: dict[str, Any]) -> np.ndarray[Any, Any]:
    """Returns what a network of KerasHub returns for PIXELS after an image converter."""
    images = keras_hub.layers.ImageConverter(**converter)(PIXELS)
    network = getattr(network, "vision_encoder", network)
    inputs = network.input
    fed = {key: images for key in inputs} if isinstance(inputs, dict) else images
    return np.asarray(network(fed, training=False))


def test_every_family_has_a_small_network() -> None:
    assert set(SETTINGS) == set(FAMILIES)
    assert all(
        issubclass(getattr(keras_hub.models, n), keras_hub.models.Backbone) for n in SETTINGS
    )


@pytest.mark.train
@pytest.mark.parametrize("name", FAMILIES)
def test_features_are_those_of_the_network(name: str, tmp_path: Path) -> None:
    folder = write_preset(tmp_path / "preset", name, converter=CONVERTER)
    network = keras_hub.models.Backbone.from_preset(str(folder))
    backbone, weights = resolve(f"kerashub:{folder}")
    assert weights
    model = build_backbone(f"kerashub:{folder}")
    maps = np.asarray(model(PIXELS, training=False))
    assert model.name == backbone.name
    assert maps.shape[-1] == backbone.num_features
    vision = getattr(network, "vision_encoder", network)
    floats = [w for w in vision.weights if keras.backend.is_float_dtype(w.dtype)]
    assert backbone.num_parameters == sum(int(np.prod(w.shape)) for w in floats)
    assert (backbone.input_size, weights.input_size) == (SIZE, SIZE)

    expected = own_output(network, CONVERTER)
    if name not in TOKENS:
        np.testing.assert_allclose(maps, expected.reshape(maps.shape), rtol=1e-5, atol=1e-5)
        return
    num_class, num_registers = TOKENS[name]
    patches = expected[:, num_class + num_registers :]
    side = maps.shape[1]
    assert maps.shape[1:3] == (side, side)
    assert side * side == patches.shape[1]
    width = expected.shape[-1]
    assert maps.shape[-1] == (num_class + 1) * width
    np.testing.assert_array_equal(
        maps[..., num_class * width :].reshape(len(PIXELS), -1, width), patches
    )
    # The class tokens stand at every place, so no pooling changes them.
    class_tokens = expected[:, :num_class].reshape(len(PIXELS), -1)
    everywhere = np.broadcast_to(class_tokens[:, None, None], (*maps.shape[:3], num_class * width))
    np.testing.assert_array_equal(maps[..., : num_class * width], everywhere)


@pytest.mark.train
def test_saved_backbone_loads_with_kerashub_alone(vit: Path, tmp_path: Path) -> None:
    model = build_backbone(f"kerashub:{vit}")
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "pixels.npy", PIXELS)
    code = WITHOUT_THEM + (
        "sys.modules['zoo'] = None; import keras, keras_hub, numpy as np;"
        "model = keras.models.load_model('model.keras');"
        "np.save('maps.npy', model(np.load('pixels.npy'), training=False))"
    )
    subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, check=True)
    received = np.load(tmp_path / "maps.npy")
    # Another process may have other threads, and so another order of sums.
    np.testing.assert_allclose(received, model(PIXELS, training=False), rtol=1e-5, atol=1e-6)


def test_converter_in_its_older_form(vit: Path, tmp_path: Path) -> None:
    folder = write_preset(tmp_path / "preset", "ViTBackbone", converter={"image_size": (32, 32)})
    file = folder / "image_converter.json"
    older = {"mean": [0.4, 0.5, 0.6], "variance": [0.04, 0.09, 0.16], "scale": 1 / 255}
    config = {k: v for k, v in json.loads(file.read_text())["config"].items() if k != "offset"}
    edit_json(file, "config", value={**config, **older})
    maps = build_backbone(f"kerashub:{folder}")(PIXELS, training=False)
    plain = {"scale": (1 / 255 / np.sqrt(older["variance"])).tolist()}
    plain["offset"] = (-np.array(older["mean"]) / np.sqrt(older["variance"])).tolist()
    expected = own_output(keras_hub.models.Backbone.from_preset(str(folder)), plain)
    np.testing.assert_allclose(
        np.asarray(maps)[..., -16:].reshape(3, -1, 16), expected[:, 1:], rtol=1e-5, atol=1e-5
    )


def test_without_a_converter_pixels_stay_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    network = build_network("VGGBackbone")
    folder = write_preset(tmp_path / "preset", "VGGBackbone", network=network)
    maps = build_backbone(f"kerashub:{folder}", SIZE)(PIXELS, training=False)
    np.testing.assert_allclose(maps, own_output(network, {}), rtol=1e-5)
    assert "has no image_converter.json" in caplog.text
    assert resolve(f"kerashub:{folder}")[0].input_size == 224


def test_convolutional_network_takes_any_size(tmp_path: Path) -> None:
    folder = write_preset(tmp_path / "preset", "ResNetBackbone", converter=CONVERTER)
    name = f"kerashub:{folder}"
    assert build_backbone(name, 64).output_shape == (None, 8, 8, 32)
    with pytest.raises(RecipeError, match="expected a size of at least 32; received 16"):
        build_backbone(name, 16)


def test_dinov2_interpolates_positions_as_kerashub_does(tmp_path: Path) -> None:
    folder = write_preset(tmp_path / "preset", "DINOV2Backbone", converter=CONVERTER)
    model = build_backbone(f"kerashub:{folder}", 48)
    own = keras_hub.models.Backbone.from_preset(str(folder), image_shape=(48, 48, 3))
    pixels = np.random.default_rng(1).integers(0, 256, (2, 48, 48, 3)).astype(np.float32)
    converter = keras_hub.layers.ImageConverter(**{**CONVERTER, "image_size": (48, 48)})
    expected = np.asarray(own({"images": converter(pixels)}, training=False))
    maps = np.asarray(model(pixels, training=False))
    np.testing.assert_array_equal(maps[..., 16:].reshape(2, 36, 16), expected[:, 4:])
    with pytest.raises(RecipeError, match=r"expected a multiple of 8.*received 36"):
        build_backbone(f"kerashub:{folder}", 36)


def test_learned_positions_fix_the_size(vit: Path) -> None:
    with pytest.raises(RecipeError, match=r"expected input\.size = 32.*received 64"):
        build_backbone(f"kerashub:{vit}", 64)
    with pytest.raises(RecipeError, match="expected a size of at least 32"):
        build_backbone(f"kerashub:{vit}", 24)


def test_network_is_one_block(vit: Path) -> None:
    name = f"kerashub:{vit}"
    model = build_backbone(name)
    (block,) = blocks_of(resolve(name)[0], model)
    assert block == model.layers
    with pytest.raises(
        RecipeError, match=r"no blocks to cut between; expected .*= 0 and .*= 1; received 1 and 1"
    ):
        build_backbone(name, truncate_blocks=1)


def test_frozen_classifier_trains_nothing_of_it(vit: Path) -> None:
    classifier = build_classifier(f"kerashub:{vit}", 2)
    assert [w.path for w in classifier.trainable_weights] == ["logits/kernel", "logits/bias"]


def test_name_tells_presets_apart(vit: Path, tmp_path: Path) -> None:
    """Stored features are found by the name and the weights, so the name covers the rest."""
    again = write_preset(tmp_path / "again", "ViTBackbone", converter=CONVERTER)
    assert resolve(f"kerashub:{again}")[0].name == resolve(f"kerashub:{vit}")[0].name
    edit_json(again / "config.json", "config", "num_heads", value=4)
    other_heads = resolve(f"kerashub:{again}")[0].name
    edit_json(again / "image_converter.json", "config", "scale", value=0.01)
    names = {resolve(f"kerashub:{vit}")[0].name, other_heads, resolve(f"kerashub:{again}")[0].name}
    assert len(names) == 3


def test_recorded_name_is_absolute(vit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.recipe.recipe import Recipe

    monkeypatch.chdir(vit.parent)
    recipe = Recipe.from_settings({"backbone": {"name": "kerashub:vit"}})
    assert recipe.backbone.name == f"kerashub:{vit.resolve()}"
    resolved = recipe.resolve()
    assert resolved.backbone.frozen
    assert resolved.input.size == SIZE


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("registered_name",), "evil>ViTBackbone", "received evil>ViTBackbone"),
        (("class_name",), "BertBackbone", r"does not describe an image network of KerasHub"),
        (("class_name",), ["ViTBackbone"], "does not describe an image network of KerasHub"),
        (("config",), None, "expected the settings of ViTBackbone"),
        (("config", "mlp_dim"), {"class_name": "Lambda", "config": {}}, "lists of them as mlp_dim"),
        (("config", "patch_size"), [{"class_name": "Lambda"}], "lists of them as patch_size"),
        (("config", "image_shape"), [32, 48, 3], "expected square images of three channels"),
        (("config", "image_shape"), [32, 32, 1], "expected square images of three channels"),
        (("config", "data_format"), "channels_first", "expected images with channels last"),
    ],
)
def test_foreign_config_is_refused(
    vit: Path, tmp_path: Path, path: tuple[str, ...], value: Any, message: str
) -> None:
    (tmp_path / "config.json").write_bytes((vit / "config.json").read_bytes())
    (tmp_path / "model.weights.h5").symlink_to(vit / "model.weights.h5")
    edit_json(tmp_path / "config.json", *path, value=value)
    with pytest.raises(WeightsError, match=message):
        resolve(f"kerashub:{tmp_path}")


def test_foreign_half_is_refused(tmp_path: Path) -> None:
    folder = write_preset(tmp_path / "preset", "SigLIPBackbone")
    file = folder / "config.json"
    edit_json(file, "config", "text_encoder", "registered_name", value="builtins>exec")
    with pytest.raises(
        WeightsError, match="expected keras_hub>SigLIPTextEncoder; received builtins"
    ):
        resolve(f"kerashub:{folder}")


@pytest.mark.parametrize(
    ("key", "value"),
    [("num_heads", "many"), ("no_such_setting", 1), ("hidden_dim", None), ("patch_size", 5)],
)
def test_config_that_the_class_refuses_is_an_error_of_the_preset(
    vit: Path, tmp_path: Path, key: str, value: Any
) -> None:
    (tmp_path / "config.json").write_bytes((vit / "config.json").read_bytes())
    (tmp_path / "model.weights.h5").symlink_to(vit / "model.weights.h5")
    edit_json(tmp_path / "config.json", "config", key, value=value)
    with pytest.raises(WeightsError, match=r"config\.json"):
        build_backbone(f"kerashub:{tmp_path}")


@pytest.mark.parametrize("text", ["{", "[]", "null", '"keras_hub>ViTBackbone"', "[" * 100_000])
def test_damaged_config_is_refused(vit: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(WeightsError, match=r"config\.json"):
        resolve(f"kerashub:{tmp_path}")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scale": "1 / 255"}, "expected a number or three as scale"),
        ({"scale": [1.0, 1.0]}, "expected a number or three as scale"),
        ({"offset": {"class_name": "Lambda"}}, "expected a number or three as offset"),
        ({"image_size": [32, 64]}, "expected square images"),
        ({"mean": [0.0] * 3, "variance": [0.0] * 3}, "variances above 0"),
    ],
)
def test_damaged_converter_is_refused(
    vit: Path, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    (tmp_path / "config.json").write_bytes((vit / "config.json").read_bytes())
    (tmp_path / "image_converter.json").write_text(json.dumps({"config": settings}))
    with pytest.raises(WeightsError, match=message):
        resolve(f"kerashub:{tmp_path}")


def test_missing_files_are_named(vit: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"has no config\.json; expected the folder of a"):
        resolve(f"kerashub:{tmp_path}")
    (tmp_path / "config.json").write_bytes((vit / "config.json").read_bytes())
    with pytest.raises(WeightsError, match=r"has no model\.weights\.h5"):
        resolve(f"kerashub:{tmp_path}")


def test_weights_of_another_network_are_refused(vit: Path, tmp_path: Path) -> None:
    folder = write_preset(tmp_path / "preset", "VGGBackbone")
    (folder / "config.json").write_bytes((vit / "config.json").read_bytes())
    with pytest.raises(WeightsError, match="cannot be read as the weights of kerashub_vit"):
        build_backbone(f"kerashub:{folder}")


def test_weights_that_lie_in_another_file_are_refused(vit: Path, tmp_path: Path) -> None:
    folder = write_preset(tmp_path / "preset", "VGGBackbone")
    with h5py.File(folder / "model.weights.h5", "a") as file:
        file["layers/stolen"] = h5py.ExternalLink(str(vit / "model.weights.h5"), "layers")
    with pytest.raises(WeightsError, match="received a ExternalLink at /layers"):
        build_backbone(f"kerashub:{folder}")


@pytest.mark.parametrize("given", ["", "./no/folder", "hf://google/vit"])
def test_missing_folder_is_an_error(given: str) -> None:
    with pytest.raises(UnknownNameError, match=r"there is no folder .* expected kerashub:FOLDER"):
        resolve(f"kerashub:{given}")


def test_unknown_handle_suggests_presets_of_image_networks() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'vit_base_patch16_224_imagenet'"):
        resolve("kerashub:vit_base_patch16_224_imagent")
    with pytest.raises(UnknownNameError, match="Unknown preset of KerasHub 'bert_base_en'"):
        resolve("kerashub:bert_base_en")


def test_handle_is_downloaded_by_kagglehub(vit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Kaggle cannot be asked in a test: this stands for its client, and returns its cache.
    asked: list[str] = []

    def model_download(handle: str) -> str:
        asked.append(handle)
        if "kaggle" in handle:
            raise OSError("no route to host")
        return str(vit)

    module = types.ModuleType("kagglehub")
    module.model_download = model_download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "kagglehub", module)
    name = "kerashub:vit_base_patch16_224_imagenet"
    backbone, weights = resolve(name)
    assert weights
    assert weights.name == name
    assert backbone == resolve(f"kerashub:{vit}")[0] or backbone.name.startswith("kerashub_vit")
    assert [handle.startswith("keras/vit/keras/vit_base_patch16_224") for handle in asked] == [True]
    with pytest.raises(WeightsError, match="cannot be downloaded; received OSError: no route"):
        resolve("kerashub:kaggle://kaggle/vit/keras/x")
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(WeightsError, match="kagglehub, which downloads it, not installed; pip"):
        resolve(name)


@pytest.mark.train
@pytest.mark.parametrize(
    "blocked", ["keras_hub", pytest.param("tokenizers", marks=pytest.mark.slow)]
)
def test_absent_package_is_one_line_with_the_command(vit: Path, blocked: str) -> None:
    code = (
        f"import sys; sys.modules[{blocked!r}] = None; from pipelines.cli.main import main; main()"
    )
    arguments = ["train", "textures", "--out", "never", "--backbone", f"kerashub:{vit}"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=vit.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 2
    assert len(errors) == 1
    assert INSTALL in errors[0]
    assert "Traceback" not in done.stderr
    assert not (vit.parent / "never").exists()


def test_command_pins_what_the_tests_install(root: Path) -> None:
    pinned = {
        line.split("==")[0]: line.split()[0]
        for line in (root / "constraints-kerashub.txt").read_text().splitlines()
        if "==" in line
    }
    named = INSTALL.removeprefix("pip install --no-deps ").split()
    assert {name.split("==")[0] for name in named} == set(pinned)
    assert pinned["keras-hub"] in named


@pytest.mark.train
def test_listing_backbones_does_not_import_kerashub() -> None:
    code = (
        "import sys, zoo.backbones.catalog as c; c.resolve('mobilenet_v2.imagenet');"
        "sys.exit('keras_hub' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_installed_package_is_said_to_be_missing_where_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(InputError, match=r"needs KerasHub, which is not installed; .*--no-deps"):
        resolve("kerashub:anything")


def test_mixed_precision_keeps_the_converter_in_float32(vit: Path) -> None:
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        model = build_backbone(f"kerashub:{vit}")
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
    assert model.get_layer("converter").compute_dtype == "float32"
    assert model.get_layer("network").compute_dtype == "bfloat16"
