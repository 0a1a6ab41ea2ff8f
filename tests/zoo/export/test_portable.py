"""Exports to ONNX, OpenVINO and LiteRT: proven, sealed and complete, or not there at all."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
from PIL import Image

from pipelines.recipe.presets import HEADS
from tests.support.lone_runtime import run_alone
from zoo.errors import ExportError, InputError
from zoo.export import portable_proof, runtime_gate, runtimes
from zoo.export.calibration import Calibration
from zoo.export.exported import Exported
from zoo.export.formats import FORMATS, Format
from zoo.export.portable import export_portable
from zoo.export.runtimes import OPEN
from zoo.export.seal import check_seal
from zoo.heads.head import HeadConfig
from zoo.models.classifier import build_classifier
from zoo.models.decision import LabelRule, PredictionSetRule
from zoo.models.multi_task import build_multi_task
from zoo.models.trainable import pooled_features
from zoo.models.unknown import NeighborScorer
from zoo.normalization import NORMALIZATIONS
from zoo.preprocessing import Preprocessing
from zoo.tasks import Task, classification

pytestmark = pytest.mark.train

PORTABLE = [name for name, row in FORMATS.items() if row.convert]
QUICK = ("onnx",)
# Those whose predictions are the model's; the others are those of test_integers.py.
PAIRS = [
    pytest.param(name, kind, marks=[] if name in QUICK and kind == "none" else pytest.mark.slow)
    for name in PORTABLE
    for kind in FORMATS[name].quantizations
    if kind in portable_proof.TOLERANCES
]
NAMES = ["ant", "bee", "Käfer 虫"]
PREPROCESSING = Preprocessing(size=32)
TASKS = (
    Task("tint", "single_label", class_names=("red", "green")),
    Task("marks", "multi_label", class_names=("dot", "line")),
    Task("angle", "regression", mean=90.0, std=30.0),
)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    files = []
    for number, kind in enumerate(("jpg", "png", "webp") * 3):
        small = rng.integers(0, 256, (5, 5, 3)).astype(np.uint8)
        width, height = rng.integers(30, 90, 2).tolist()
        files.append(folder / f"{number}.{kind}")
        Image.fromarray(small).resize((width, height)).save(files[-1])
    return files


def build_modern() -> Exported:
    """A model with a GELU, a mean and a deviation, a scorer and sets, and large logits."""
    keras.utils.set_random_seed(3)
    head = HEADS["modern"].settings["head"]
    model = build_classifier(
        "micro_resnet_s", 3, size=32, head=head, normalization=NORMALIZATIONS["imagenet"]
    )
    kernel, bias = model.get_layer("logits").get_weights()
    model.get_layer("logits").set_weights([kernel * 3, bias])
    width = pooled_features(model).shape[-1]
    bank = np.random.default_rng(1).normal(size=(20, width)).astype(np.float32)
    bank /= np.linalg.norm(bank, axis=1, keepdims=True)
    rule = PredictionSetRule("adaptive", 0.8)
    scorer = NeighborScorer(0.9, bank, 3)
    tasks = classification(NAMES)
    return Exported(model, PREPROCESSING, tasks, scorer, {"label": rule})


@pytest.fixture(scope="module")
def modern() -> Exported:
    return build_modern()


@pytest.fixture(scope="module")
def versions(
    modern: Exported, images: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], Path]:
    """Exports the model in a format, once."""
    made: dict[tuple[str, str], Path] = {}

    def export(name: str, quantize: str) -> Path:
        if (name, quantize) not in made:
            to = tmp_path_factory.mktemp("models") / "insects"
            made[name, quantize] = export_portable(
                modern,
                FORMATS[name],
                to,
                images=images,
                quantize=quantize,
                card=lambda folder: ", ".join(sorted(path.name for path in folder.iterdir())),
            )
        return made[name, quantize]

    return export


@pytest.mark.parametrize(("name", "quantize"), PAIRS)
def test_version_has_all_that_belongs_to_it_and_the_outputs_of_the_model(
    name: str, quantize: str, versions: Callable[[str, str], Path], modern: Exported
) -> None:
    version = versions(name, quantize)
    row = FORMATS[name]
    files = {path.name for path in version.iterdir()}
    more = {"model.bin"} if name == "openvino" else set()
    fixed = {"README.md", "labels.txt", "load_image.py", "model.json", "seal.json"}
    assert files == fixed | {row.file} | more
    check_seal(version)
    assert (version / "labels.txt").read_text(encoding="utf-8").split("\n") == [*NAMES, ""]
    assert row.file in (version / "README.md").read_text()
    pixels = np.random.default_rng(5).integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)
    outputs = OPEN[name](version)(pixels)
    assert {key: (value.dtype, value.shape) for key, value in outputs.items()} == {
        "probabilities": (np.float32, (2, 3)),
        "prediction_set": (np.bool_, (2, 3)),
        "unknown_score": (np.float32, (2,)),
        "is_unknown": (np.bool_, (2,)),
    }
    expected = modern.model.predict(pixels.astype(np.float32), verbose=0)
    tolerance = portable_proof.TOLERANCES[quantize]
    np.testing.assert_allclose(outputs["probabilities"], expected, atol=tolerance)


def predict_alone(
    version: Path, name: str, images: list[Path], environment: Path, folder: Path
) -> Any:
    """The probabilities that a version answers images with where its runtime is alone."""
    job = {
        "model": str(version),
        "format": name,
        "runtimes": runtimes.__file__,
        "images": [str(file) for file in images],
        "whole_indices": [],
    }
    found = run_alone(environment, Path(runtime_gate.__file__), job, folder)
    return found["square/probabilities"]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "quantize"), PAIRS)
def test_version_answers_in_an_environment_with_its_runtime_alone(
    name: str,
    quantize: str,
    versions: Callable[[str, str], Path],
    modern: Exported,
    images: list[Path],
    lone_environment: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    elsewhere = shutil.copytree(versions(name, quantize), tmp_path / "elsewhere")
    environment = lone_environment(FORMATS[name].packages[0])
    found = predict_alone(elsewhere, name, images, environment, tmp_path / "job")
    expected = modern.model.predict(load_pixels(images, 32), verbose=0)
    np.testing.assert_allclose(found, expected, atol=portable_proof.TOLERANCES[quantize])


@pytest.mark.slow
@pytest.mark.parametrize("name", PORTABLE)
def test_half_precision_halves_the_file(name: str, versions: Callable[[str, str], Path]) -> None:
    def size(quantize: str) -> int:
        return sum(path.stat().st_size for path in versions(name, quantize).glob("model.*"))

    assert size("float16") < 0.65 * size("none")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow)
        for name in PORTABLE
        if FORMATS[name].any_size
    ],
)
def test_images_of_any_size_are_resized_as_in_training(
    name: str, versions: Callable[[str, str], Path], modern: Exported
) -> None:
    network = OPEN[name](versions(name, "none"))
    rng = np.random.default_rng(2)
    for height, width in ((50, 41), (33, 80), (12, 20)):
        small = rng.integers(0, 256, (2, 4, 4, 3)).astype(np.uint8)
        batch = [np.asarray(Image.fromarray(one).resize((width, height))) for one in small]
        squares = np.stack([PREPROCESSING.fit_image(one) for one in batch]).astype(np.float32)
        expected = modern.model.predict(squares, verbose=0)
        found = network(np.stack(batch))["probabilities"]
        np.testing.assert_allclose(found, expected, atol=2e-3)


def test_onnx_runtime_has_nothing_to_warn_of(versions: Callable[[str, str], Path]) -> None:
    code = "import onnxruntime; onnxruntime.InferenceSession('model.onnx')"
    version = versions("onnx", "none")
    done = subprocess.run([sys.executable, "-c", code], cwd=version, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    network = onnx.load(version / "model.onnx")
    assert [value.name for value in network.graph.input] == ["images"]
    onnx.checker.check_model(network, full_check=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", PORTABLE)
def test_several_tasks_have_outputs_by_their_names(
    name: str, images: list[Path], tmp_path: Path
) -> None:
    keras.utils.set_random_seed(3)
    model = build_multi_task("micro_resnet_s", 32, HeadConfig(), TASKS, frozen=True)
    rules = {"marks": LabelRule((0.4, 0.6))}
    exported = Exported(model, PREPROCESSING, TASKS, None, rules)
    version = export_portable(exported, FORMATS[name], tmp_path / "m", images=images[:3])
    described = json.loads((version / "tasks.json").read_text())
    assert [task["name"] for task in described] == ["tint", "marks", "angle"]
    outputs = OPEN[name](version)(np.zeros((1, 32, 32, 3), np.uint8))
    assert {key: value.shape for key, value in outputs.items()} == {
        "tint_probabilities": (1, 2),
        "marks_probabilities": (1, 2),
        "marks_prediction_set": (1, 2),
        "angle_value": (1,),
    }


@pytest.mark.parametrize(
    ("expected", "damage"),
    [
        ("predicts otherwise than its run; nothing was exported", "weights"),
        ("the loader of the export reads other pixels of", "loader"),
        ("does not load and predict in a fresh process", "file"),
    ],
)
def test_export_that_differs_leaves_nothing(
    expected: str,
    damage: str,
    modern: Exported,
    images: list[Path],
    versions: Callable[[str, str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    good = versions("onnx", "none")
    other = modern
    if damage == "weights":
        weights = modern.model.get_layer("logits").get_weights()
        model = keras.models.clone_model(modern.model)
        model.set_weights(modern.model.get_weights())
        model.get_layer("logits").set_weights([weights[0] * 1.05, weights[1]])
        other = Exported(model, PREPROCESSING, modern.tasks, modern.scorer, modern.rules)
    elif damage == "loader":
        upside_down = Preprocessing(size=32, fit="stretch")
        other = Exported(modern.model, upside_down, modern.tasks, modern.scorer, modern.rules)

    def write(_: Any, row: Format, folder: Path, quantize: str) -> None:
        # What was written for the first model is proven as if it were the other's.
        shutil.copytree(good, folder, dirs_exist_ok=True)
        if damage == "file":
            (folder / "model.onnx").write_bytes(b"none")

    monkeypatch.setattr("zoo.export.portable._write", write)
    if damage == "loader":
        monkeypatch.setattr(
            portable_proof,
            "load_image",
            lambda file, **settings: module_load(file, **{**settings, "fit": "crop"}),
        )
    with pytest.raises(ExportError, match=expected):
        export_portable(other, FORMATS["onnx"], tmp_path / "a" / "m", images=images)
    assert not list(tmp_path.iterdir())


def module_load(file: Path, **settings: Any) -> Any:
    """The loader itself, with settings that are not the model's."""
    from zoo.export.load_image import load_image

    return load_image(file, **settings)


def test_conversion_that_fails_says_so_and_leaves_nothing(
    modern: Exported, images: list[Path], tmp_path: Path
) -> None:
    broken = Format("savedmodel", "cannot be converted", "saved_model.pb")
    with pytest.raises(ExportError, match=r"cannot be converted to savedmodel; received .*Error"):
        export_portable(modern, broken, tmp_path / "m", images=images[:1])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", PORTABLE)
def test_what_quantizes_is_named_with_its_extra_where_it_is_absent(name: str) -> None:
    row = FORMATS[name]
    assert row.integers
    row.check_installed(row.packages_for("int8"))
    lacking = replace(row, integers=replace(row.integers, packages=("no_such_quantizer",)))
    with pytest.raises(InputError, match=rf"no no_such_quant.*transfer-zoo\[{row.extra}\]"):
        lacking.check_installed(lacking.packages_for("int8"))
    lacking.check_installed(lacking.packages_for("float16"))


@pytest.mark.parametrize("name", PORTABLE)
def test_runtime_that_is_absent_is_named_with_its_extra(name: str) -> None:
    row = FORMATS[name]
    absent = Format(name, "", row.file, row.extra, ("no_such_runtime",))
    with pytest.raises(InputError, match=rf"no no_such_runtime; .*transfer-zoo\[{row.extra}\]"):
        absent.check_installed()
    row.check_installed()
    assert row.installed
    assert not absent.installed


def test_formats_are_listed_without_numpy() -> None:
    code = (
        "import sys, zoo.export.formats; print({'numpy', 'tensorflow', 'onnx'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.slow
@pytest.mark.parametrize("name", PORTABLE)
@pytest.mark.parametrize(
    "backbone", ["efficientnet_lite0.imagenet", "squeezenet1_1", "mobilenet_v2"]
)
def test_networks_of_other_families_are_proven_in_every_precision(
    backbone: str,
    name: str,
    images: list[Path],
    lone_environment: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    keras.utils.set_random_seed(3)
    model = build_classifier(backbone, 3, size=96, frozen=True)
    exported = Exported(model, Preprocessing(size=96), classification(NAMES))
    row = FORMATS[name]
    checked = images[:3]  # one of each kind
    expected = model.predict(load_pixels(checked, 96), verbose=0)
    truth = expected.argmax(axis=1)
    # Random weights answer nearly the same to all images, so that any may change its class.
    calibration = Calibration(images, {"label": truth}, max_drop=100.0)
    environment = lone_environment(row.packages[0])
    for quantize in row.quantizations:
        version = export_portable(
            exported,
            row,
            tmp_path / quantize,
            images=checked,
            quantize=quantize,
            calibration=calibration if quantize == "int8" else None,
        )
        folder = tmp_path / f"{quantize}-alone"
        found = predict_alone(version, name, checked, environment, folder)
        if quantize == "int8":
            stated = json.loads((version / "model.json").read_text())["accuracy"]["label"]
            assert np.mean(found.argmax(axis=1) == truth) == pytest.approx(stated["int8"])
        else:
            tolerance = portable_proof.TOLERANCES[quantize]
            np.testing.assert_allclose(found, expected, atol=tolerance)


def load_pixels(images: list[Path], size: int) -> Any:
    """Images as the loader beside an export gives them, float32 [N, S, S, 3]."""
    from zoo.export.load_image import load_image

    return np.stack([load_image(file, size) for file in images]).astype(np.float32)
