"""Export: what is written predictions as the classifier does, or is not written at all."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.support.exports import answering, recorded_answers
from tests.support.image_matrix import build_matrix, show
from tests.support.lone_runtime import run_alone
from zoo.errors import ExportError, RunError
from zoo.export import gate
from zoo.export.broken_images import preprocess_files
from zoo.export.fresh_process import predict_in_fresh_process
from zoo.export.savedmodel import (
    check_savedmodel,
    export_savedmodel,
    write_savedmodel,
)
from zoo.export.signatures import TOLERANCE
from zoo.export.versions import next_version
from zoo.export.warm_up import WARM_UP_FILE
from zoo.heads.activations import ACTIVATIONS
from zoo.heads.head import HeadConfig
from zoo.models.classifier import build_classifier
from zoo.preprocessing import Preprocessing
from zoo.tasks import classification

pytestmark = pytest.mark.train

# Two differ by a space alone, one holds what Python calls a line's end.
NAMES = ["ant", "bee", "Käfer 虫", "dragon fly", "dragon  fly", " f\u2028", "g"]
TASKS = classification(NAMES)
TRANSFORM = Preprocessing(size=32, fit="crop", interpolation="bicubic")


@pytest.fixture(scope="module")
def classifier() -> Any:
    """Random weights; large logits, so that a difference would show."""
    keras.utils.set_random_seed(3)
    model = build_classifier("micro_resnet_s", len(NAMES), size=32, head=HeadConfig(), frozen=True)
    kernel, bias = model.get_layer("logits").get_weights()
    model.get_layer("logits").set_weights([kernel * 3, bias])
    return model


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Files of every format and of many sizes, more than one batch of them."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    files = []
    for number, kind in enumerate(("jpg", "png", "bmp", "gif") * 9):
        pixels = rng.integers(0, 256, (*rng.integers(20, 80, 2), 3)).astype(np.uint8)
        files.append(folder / f"{number}.{kind}")
        Image.fromarray(pixels).save(files[-1])
    return files


@pytest.fixture(scope="module")
def predictions(classifier: Any, images: list[Path]) -> np.ndarray:
    batch = np.stack([TRANSFORM(file.read_bytes()) for file in images])
    return np.asarray(classifier.predict(batch, verbose=0))


@pytest.fixture(scope="module")
def checked_export(
    classifier: Any,
    images: list[Path],
    predictions: np.ndarray,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, dict[str, np.ndarray]]:
    """An export, and what the fresh process that checked it wrote."""
    to = tmp_path_factory.mktemp("saved_models") / "insects"
    with recorded_answers() as answers:
        version = export_savedmodel(
            classifier, TRANSFORM, TASKS, to, images=images, predictions={"label": predictions}
        )
    ((_, arrays),) = answers
    return version, arrays


@pytest.fixture(scope="module")
def exported(checked_export: tuple[Path, dict[str, np.ndarray]]) -> Path:
    return checked_export[0]


@pytest.fixture
def check(
    checked_export: tuple[Path, dict[str, np.ndarray]],
    images: list[Path],
    predictions: np.ndarray,
) -> Callable[..., None]:
    """Checks the export as if its process had written some arrays otherwise."""

    def check(wrong: dict[str, np.ndarray], expected: np.ndarray = predictions) -> None:
        folder, arrays = checked_export
        with answering(arrays | wrong):
            check_savedmodel(folder, images, {"label": expected}, TASKS)

    check({})  # which is right
    return check


@pytest.mark.slow
def test_export_answers_in_an_environment_with_tensorflow_alone(
    exported: Path,
    images: list[Path],
    predictions: np.ndarray,
    lone_environment: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    elsewhere = shutil.copytree(exported, tmp_path / "elsewhere")
    job = {"model": str(elsewhere), "images": [str(file) for file in images]}
    environment = lone_environment("tensorflow")
    found = run_alone(environment, Path(gate.__file__), job, tmp_path / "job")
    np.testing.assert_allclose(found["serving_bytes/probabilities"], predictions, atol=TOLERANCE)


@pytest.fixture(scope="module")
def served(exported: Path) -> Any:
    """The exported model, loaded; it has `signatures`."""
    return tf.saved_model.load(str(exported))


def test_export_has_the_layout_tensorflow_serving_reads(exported: Path) -> None:
    assert exported.name == "1"
    assert (exported / "saved_model.pb").is_file()
    labels = (exported / "assets" / "labels.txt").read_bytes().decode()
    assert labels.split("\n") == [*NAMES, ""]
    assert [p.name for p in exported.parent.iterdir()] == ["1"]


def test_each_weight_is_saved_once(exported: Path, classifier: Any) -> None:
    size = sum(array.nbytes for array in classifier.get_weights())
    saved = (exported / "variables" / "variables.data-00000-of-00001").stat().st_size
    assert size <= saved < 1.05 * size


def test_signatures_are_those_of_the_contract(served: Any) -> None:
    signatures = served.signatures
    inputs = {
        name: {k: (v.dtype, v.shape.as_list()) for k, v in s.structured_input_signature[1].items()}
        for name, s in signatures.items()
    }
    assert inputs == {
        "serving_default": {"images": (tf.uint8, [None, None, None, 3])},
        "serving_bytes": {"image_bytes": (tf.string, [None])},
        "decode": {"image_bytes": (tf.string, [])},
    }
    for name in ("serving_default", "serving_bytes"):
        signature = signatures[name]
        outputs = {
            k: (v.dtype, v.shape.as_list()[1:]) for k, v in signature.structured_outputs.items()
        }
        further = {"valid": (tf.bool, [])} if name == "serving_bytes" else {}
        assert outputs == {
            "probabilities": (tf.float32, [7]),
            "top_labels": (tf.string, [5]),
            "top_scores": (tf.float32, [5]),
            **further,
        }


def test_both_signatures_predict_as_the_classifier(
    served: Any, images: list[Path], predictions: np.ndarray
) -> None:
    for file, expected in zip(images[:8], predictions, strict=False):
        by_bytes = served.signatures["serving_bytes"](image_bytes=tf.constant([file.read_bytes()]))
        pixels = TRANSFORM.decode_pixels(file.read_bytes())
        by_pixels = served.signatures["serving_default"](images=pixels[tf.newaxis])
        for outputs in (by_bytes, by_pixels):
            np.testing.assert_allclose(outputs["probabilities"][0], expected, atol=1e-5)
            order = np.argsort(-expected)[:5]
            assert [label.decode() for label in outputs["top_labels"][0].numpy()] == [
                NAMES[i] for i in order
            ]
            np.testing.assert_allclose(outputs["top_scores"][0], expected[order], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", [row.name for row in ACTIVATIONS.values() if row.custom])
def test_activation_of_this_project_is_exported_to_a_process_without_it(
    name: str, images: list[Path], tmp_path: Path
) -> None:
    keras.utils.set_random_seed(3)
    head = HeadConfig(hidden=(8,), activation=name)
    model = build_classifier("micro_resnet_s", len(NAMES), size=32, head=head, frozen=True)
    batch = np.stack([TRANSFORM(file.read_bytes()) for file in images[:4]])
    predictions = np.asarray(model.predict(batch, verbose=0))
    # Raises unless a fresh process with TensorFlow alone predicts the same.
    export_savedmodel(
        model, TRANSFORM, TASKS, tmp_path, images=images[:4], predictions={"label": predictions}
    )


def test_second_export_is_the_next_version(
    classifier: Any, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first export was checked; this one is compared with nothing.
    monkeypatch.setattr("zoo.export.savedmodel.check_savedmodel", lambda *_: 0.0)
    folder = shutil.copytree(exported.parent, tmp_path / "insects")
    again = export_savedmodel(classifier, TRANSFORM, TASKS, folder, images=[], predictions={})
    assert again == folder / "2"
    assert (folder / "1").is_dir()


def test_export_that_predicts_otherwise_is_refused(
    check: Callable[..., None], predictions: np.ndarray
) -> None:
    wrong = predictions.copy()
    wrong[1, 2] += 2e-5
    with pytest.raises(
        ExportError, match=r"within 1e-05; received 2e-05 apart by serving_bytes, most for .*1\.png"
    ):
        check({}, wrong)


def test_export_with_another_transform_fails_and_leaves_nothing(
    checked_export: tuple[Path, dict[str, np.ndarray]],
    classifier: Any,
    images: list[Path],
    tmp_path: Path,
) -> None:
    # The commonest fault of a served model: it resizes as training did not.
    other = TRANSFORM.model_copy(update={"interpolation": "bilinear"})
    batch = np.stack([other(file.read_bytes()) for file in images])
    predictions = np.asarray(classifier.predict(batch, verbose=0))
    refused = pytest.raises(ExportError, match="predicts otherwise than its run; nothing was exp")
    # The process of the same export has answered before.
    with answering(checked_export[1]), refused:
        export_savedmodel(
            classifier,
            TRANSFORM,
            TASKS,
            tmp_path / "models" / "insects" / "x",
            images=images,
            predictions={"label": predictions},
        )
    assert not list(tmp_path.iterdir()), "the folders above it are gone as well"


@pytest.fixture(scope="module")
def faulty(
    classifier: Any, images: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, np.ndarray]:
    """What a process writes that predicts with a SavedModel with four faults.

    Labels are in another order, decoded images are predicted otherwise, broken images are
    predicted, and there are no warm-up requests.
    """
    folder = tmp_path_factory.mktemp("faulty") / "model"
    spec = tf.TensorSpec((32, 32, 3), tf.uint8)

    def predict(batch: Any) -> dict[str, Any]:
        probabilities = classifier(tf.cast(batch, tf.float32), training=False)
        scores, indices = tf.math.top_k(probabilities, 5)
        top_labels = tf.gather(tf.constant(NAMES[::-1]), indices)
        return {"probabilities": probabilities, "top_scores": scores, "top_labels": top_labels}

    def serve_images(images: Any) -> dict[str, Any]:
        return predict(tf.map_fn(TRANSFORM.fit_image, images // 2 + 8, fn_output_signature=spec))

    def serve_bytes(image_bytes: Any) -> dict[str, Any]:
        batch, valid = preprocess_files(TRANSFORM, image_bytes)
        return {**predict(batch), "valid": valid}

    archive = keras.export.ExportArchive()
    archive.track(classifier)
    pixels = tf.TensorSpec((None, None, None, 3), tf.uint8, name="images")
    archive.add_endpoint("serving_default", serve_images, [pixels])
    content = tf.TensorSpec((None,), tf.string, name="image_bytes")
    archive.add_endpoint("serving_bytes", serve_bytes, [content])
    file = tf.TensorSpec((), tf.string, name="image_bytes")
    archive.add_endpoint(
        "decode", lambda image_bytes: {"image": TRANSFORM.decode_pixels(image_bytes)}, [file]
    )
    archive.write_out(str(folder), verbose=False)
    return predict_in_fresh_process(folder, images)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            ["serving_bytes/top_labels"],
            r"names another class than that of its probability; expected '.*' for .*0\.jpg",
        ),
        (
            ["serving_default/probabilities", "serving_default/top_scores"],
            r"within 1e-05; received .* apart by serving_default, most for .*\.(jpg|png|bmp|gif)",
        ),
        (
            ["broken/probabilities"],
            "does not tell a broken image from the one beside it",
        ),
        (["warm_up"], f"other warm-up requests .* expected 4 in {WARM_UP_FILE}"),
    ],
    ids=lambda parts: parts[0] if isinstance(parts, list) else "",
)
def test_each_fault_of_a_savedmodel_is_found(
    parts: list[str], message: str, check: Callable[..., None], faulty: dict[str, np.ndarray]
) -> None:
    with pytest.raises(ExportError, match=message):
        check({name: faulty[name] for name in parts})


def test_broken_images_spoil_no_other(
    served: Any, images: list[Path], predictions: np.ndarray
) -> None:
    signature = served.signatures["serving_bytes"]
    good = [file.read_bytes() for file in images[:3]]
    batch = [b"", good[0], good[1][:80], good[2], b"Dear diary", good[0]]
    valid = np.array([False, True, False, True, False, True])
    outputs = {k: v.numpy() for k, v in signature(image_bytes=tf.constant(batch)).items()}
    np.testing.assert_array_equal(outputs["valid"], valid)
    expected = predictions[[0, 2, 0]]
    np.testing.assert_allclose(outputs["probabilities"][valid], expected, atol=1e-5)
    assert np.isnan(outputs["probabilities"][~valid]).all()
    assert np.isnan(outputs["top_scores"][~valid]).all()
    assert (outputs["top_labels"][~valid] == b"").all()
    # Even if no image is left.
    outputs = signature(image_bytes=tf.constant([b"", b"x"]))
    assert not outputs["valid"].numpy().any()


def test_matrix_is_served_as_pillow_shows_it(served: Any, classifier: Any) -> None:
    signatures = served.signatures
    matrix = build_matrix()
    for name, file in matrix.items():
        image = signatures["decode"](image_bytes=tf.constant(file))["image"]
        np.testing.assert_array_equal(image, TRANSFORM.decode_pixels(file), err_msg=name)
        if not name.startswith("JPEG"):
            np.testing.assert_array_equal(image, show(file), err_msg=name)
    batch = tf.stack([TRANSFORM(file) for file in matrix.values()])
    outputs = signatures["serving_bytes"](image_bytes=tf.constant([*matrix.values()]))
    assert outputs["valid"].numpy().all()
    expected = classifier.predict(batch, verbose=0)
    np.testing.assert_allclose(outputs["probabilities"], expected, atol=1e-5)


def test_empty_batch_has_empty_predictions(served: Any) -> None:
    signatures = served.signatures
    by_bytes = signatures["serving_bytes"](image_bytes=tf.constant([], tf.string))
    by_pixels = signatures["serving_default"](images=tf.zeros((0, 40, 50, 3), tf.uint8))
    for outputs in (by_bytes, by_pixels):
        shapes = {name: tuple(v.shape) for name, v in outputs.items() if name != "valid"}
        assert shapes == {"probabilities": (0, 7), "top_labels": (0, 5), "top_scores": (0, 5)}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a\nb", r"the class 'a\\nb' does not fit a line of labels\.txt"),
        ("a\rb", r"the class 'a\\rb' does not fit a line of labels\.txt"),
        ("\udcff", r"cannot be written as UTF-8: surrogates not allowed; received '\\udcff'"),
    ],
)
def test_class_name_that_no_line_holds_is_refused(
    name: str, message: str, classifier: Any, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match=message):
        write_savedmodel(classifier, TRANSFORM, classification([*NAMES[:6], name]), tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_next_version_is_the_highest_plus_one(tmp_path: Path) -> None:
    assert next_version(tmp_path / "new") == tmp_path / "new" / "1"
    for name in ("1", "7", "²", "notes", ".8.part"):
        (tmp_path / name).mkdir()
    assert next_version(tmp_path) == tmp_path / "8"
    (tmp_path / "9").write_text("a file")
    with pytest.raises(RunError, match=r"9 is a file; expected a folder"):
        next_version(tmp_path)
    with pytest.raises(RunError, match="9 is a file; expected a folder to write into"):
        next_version(tmp_path / "9")


def test_model_that_does_not_load_is_an_error_in_one_line(
    images: list[Path], predictions: np.ndarray, tmp_path: Path
) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"not a model")
    with pytest.raises(ExportError, match="does not load and predict in a fresh process") as caught:
        check_savedmodel(tmp_path, images[:1], {"label": predictions[:1]}, TASKS)
    assert "\n" not in str(caught.value)


def test_transform_inside_the_graph_is_the_one_outside() -> None:
    # Guards the claim on its own: the same bits through tf.function and eagerly.
    rng = np.random.default_rng(1)
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (47, 61, 3)).astype(np.uint8)).save(file, "JPEG")
    content = tf.constant(file.getvalue())
    np.testing.assert_array_equal(tf.function(TRANSFORM)(content), TRANSFORM(content))
