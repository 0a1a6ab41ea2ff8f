"""Export: what is written answers as the classifier does, or is not written at all."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from zoo.classifier import build_classifier
from zoo.errors import ExportError
from zoo.export import check_savedmodel, export_savedmodel
from zoo.heads import HeadConfig
from zoo.preprocessing import Preprocessing

NAMES = ["ant", "bee", "Käfer 虫", "dragon fly", "e", "f", "g"]
TRANSFORM = Preprocessing(size=32, fit="crop", interpolation="bicubic")


@pytest.fixture(scope="module")
def classifier() -> Any:
    """Random weights; large logits, so that a difference would show."""
    keras.utils.set_random_seed(3)
    model = build_classifier("micro_resnet_s", 32, HeadConfig(), len(NAMES), frozen=True)
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
def answers(classifier: Any, images: list[Path]) -> np.ndarray:
    batch = np.stack([TRANSFORM(file.read_bytes()) for file in images])
    return np.asarray(classifier.predict(batch, verbose=0))


@pytest.fixture(scope="module")
def exported(
    classifier: Any,
    images: list[Path],
    answers: np.ndarray,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    to = tmp_path_factory.mktemp("saved_models") / "insects"
    return export_savedmodel(classifier, TRANSFORM, NAMES, to, images=images, probabilities=answers)


def test_export_has_the_layout_tensorflow_serving_reads(exported: Path) -> None:
    assert exported.name == "1"
    assert (exported / "saved_model.pb").is_file()
    labels = (exported / "assets" / "labels.txt").read_text(encoding="utf-8")
    assert labels.splitlines() == NAMES
    assert [p.name for p in exported.parent.iterdir()] == ["1"]


def test_signatures_are_those_of_the_contract(exported: Path) -> None:
    signatures = tf.saved_model.load(str(exported)).signatures
    inputs = {
        name: {k: (v.dtype, v.shape.as_list()) for k, v in s.structured_input_signature[1].items()}
        for name, s in signatures.items()
    }
    assert inputs == {
        "serving_default": {"images": (tf.uint8, [None, None, None, 3])},
        "serving_bytes": {"image_bytes": (tf.string, [None])},
    }
    for signature in signatures.values():
        outputs = {
            k: (v.dtype, v.shape.as_list()[1:]) for k, v in signature.structured_outputs.items()
        }
        assert outputs == {
            "probabilities": (tf.float32, [7]),
            "top_labels": (tf.string, [5]),
            "top_scores": (tf.float32, [5]),
        }


def test_both_signatures_answer_as_the_classifier(
    exported: Path, images: list[Path], answers: np.ndarray
) -> None:
    model = tf.saved_model.load(str(exported))
    for file, expected in zip(images[:8], answers, strict=False):
        by_bytes = model.signatures["serving_bytes"](image_bytes=tf.constant([file.read_bytes()]))
        pixels = tf.io.decode_image(file.read_bytes(), channels=3, expand_animations=False)
        by_pixels = model.signatures["serving_default"](images=pixels[tf.newaxis])
        for answer in (by_bytes, by_pixels):
            np.testing.assert_allclose(answer["probabilities"][0], expected, atol=1e-5)
            order = np.argsort(-expected)[:5]
            assert [label.decode() for label in answer["top_labels"][0].numpy()] == [
                NAMES[i] for i in order
            ]
            np.testing.assert_allclose(answer["top_scores"][0], expected[order], atol=1e-5)


def test_second_export_is_the_next_version(
    classifier: Any, images: list[Path], answers: np.ndarray, exported: Path
) -> None:
    again = export_savedmodel(
        classifier, TRANSFORM, NAMES, exported.parent, images=images[:3], probabilities=answers[:3]
    )
    assert again == exported.parent / "2"
    assert exported.is_dir()


def test_export_that_answers_otherwise_fails_and_leaves_nothing(
    classifier: Any, images: list[Path], answers: np.ndarray, tmp_path: Path
) -> None:
    wrong = answers[:3].copy()
    wrong[1, 2] += 2e-5
    with pytest.raises(ExportError, match=r"within 1e-05; received 2e-05 apart, most for .*1\.png"):
        export_savedmodel(
            classifier,
            TRANSFORM,
            NAMES,
            tmp_path / "models" / "x",
            images=images[:3],
            probabilities=wrong,
        )
    assert not (tmp_path / "models" / "x").exists()
    assert not list((tmp_path / "models").iterdir())


def test_export_with_another_transform_is_caught(
    classifier: Any, images: list[Path], answers: np.ndarray, tmp_path: Path
) -> None:
    # The commonest fault of a served model: it resizes as training did not.
    other = TRANSFORM.model_copy(update={"interpolation": "bilinear"})
    with pytest.raises(ExportError, match="does not answer as its run does; nothing was exported"):
        export_savedmodel(
            classifier, other, NAMES, tmp_path / "x", images=images[:3], probabilities=answers[:3]
        )
    assert not list(tmp_path.iterdir())


def test_model_that_does_not_load_is_an_error_in_one_line(
    images: list[Path], answers: np.ndarray, tmp_path: Path
) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"not a model")
    with pytest.raises(ExportError, match="does not load and answer in a fresh process") as caught:
        check_savedmodel(tmp_path, images[:1], answers[:1])
    assert "\n" not in str(caught.value)


def test_transform_inside_the_graph_is_the_one_outside() -> None:
    # Guards the claim on its own: the same bits through tf.function and eagerly.
    rng = np.random.default_rng(1)
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (47, 61, 3)).astype(np.uint8)).save(file, "JPEG")
    content = tf.constant(file.getvalue())
    np.testing.assert_array_equal(tf.function(TRANSFORM)(content), TRANSFORM(content))
