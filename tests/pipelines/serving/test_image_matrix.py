"""Every kind of file reaches training's datasets and predictions as Pillow shows it."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipelines.augment.policies import AugmentConfig
from pipelines.input_pipeline.config import InputConfig
from pipelines.input_pipeline.datasets import build_image_dataset, build_train_stream
from pipelines.input_pipeline.order import build_order
from pipelines.serving.predictor import _open_keras
from pipelines.sources.source import Examples
from tests.support.image_matrix import build_matrix, show
from zoo.preprocessing import Preprocessing
from zoo.tasks import classification

FILES = build_matrix()
TRANSFORM = Preprocessing(size=32, decode="full", background="#20c040")


@pytest.fixture(scope="module")
def shown() -> np.ndarray:
    """What Pillow shows, resized: uint8 [N, 32, 32, 3]."""
    images = (show(file, (0x20, 0xC0, 0x40)) for file in FILES.values())
    return np.stack([TRANSFORM.fit_image(tf.constant(image)) for image in images])


@pytest.fixture(scope="module")
def examples() -> Examples:
    labels = np.arange(len(FILES)) % 2
    encoded = tuple(FILES.values())
    return Examples(tuple(FILES), labels, encoded=encoded, targets={"label": labels})


def test_validation_and_training_see_what_pillow_shows(
    examples: Examples, shown: np.ndarray
) -> None:
    found = np.concatenate(list(build_image_dataset(examples, TRANSFORM, 64).as_numpy_iterator()))
    np.testing.assert_array_equal(found, shown)
    config = InputConfig(**dict(TRANSFORM) | {"cache_mib": 0, "depth": "auto"})
    order = build_order(examples.labels, 32, seed=0)
    augment = AugmentConfig.from_arguments({"policy": "none"})
    stream = build_train_stream(
        examples, order, config, augment, tasks=classification(["a", "b"]), endless=False
    )
    found = np.concatenate([images for images, _, _ in stream.dataset.as_numpy_iterator()])
    assert {image.tobytes() for image in found} == {image.tobytes() for image in shown}


def test_predictions_are_those_of_what_pillow_shows(shown: np.ndarray) -> None:
    inputs = keras.Input((32, 32, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 50)(inputs))
    model = keras.Model(inputs, keras.layers.Softmax()(pooled))
    predictor: Any = _open_keras(model, TRANSFORM, classification(["red", "green", "blue"]))
    problems, found = predictor.predict([*FILES], [*FILES.values()])
    assert set(problems) == {""}, [n for n, p in zip(FILES, problems, strict=True) if p]
    expected = model.predict(shown, verbose=0)
    for name, row, other in zip(FILES, found.predictions["label"], expected, strict=True):
        np.testing.assert_allclose(row, other, atol=1e-5, err_msg=name)
