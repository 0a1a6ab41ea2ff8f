"""Preprocessing against Pillow."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from pydantic import ValidationError

from zoo.preprocessing import Preprocessing, decode

PILLOW = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos3": Image.Resampling.LANCZOS,
}


def _photo(height: int, width: int) -> np.ndarray:
    """A smooth, asymmetric image: antialiasing and flips would show."""
    y, x = np.mgrid[:height, :width].astype(float)
    waves = [127 + 120 * np.sin(x / a + y / b) for a, b in ((5, 9), (7, -4), (11, 6))]
    return np.stack(waves, axis=-1).round().astype(np.uint8)


@pytest.mark.parametrize("interpolation", PILLOW)
@pytest.mark.parametrize("size", [24, 64, 96])
def test_stretch_equals_pillow(interpolation: Any, size: int) -> None:
    image = _photo(61, 83)
    transform = Preprocessing(size=size, fit="stretch", interpolation=interpolation)
    ours = transform.fit_image(tf.constant(image))
    # Pillow keeps intermediate rows in uint8 and its bicubic kernel is the same Keys a = -0.5.
    theirs = np.asarray(Image.fromarray(image).resize((size, size), PILLOW[interpolation]))
    assert np.abs(ours.numpy().astype(int) - theirs).max() <= 2


@pytest.mark.parametrize("interpolation", PILLOW)
@pytest.mark.parametrize("fit", ["crop", "stretch", "pad"])
@pytest.mark.parametrize("shape", [(61, 83), (200, 113), (20, 13), (40, 40), (1, 7)])
def test_resampling_one_side_at_a_time_equals_both_at_once(
    shape: tuple[int, int], fit: Any, interpolation: Any
) -> None:
    transform = Preprocessing(size=40, fit=fit, interpolation=interpolation)
    image = tf.constant(_photo(*shape))
    box = transform.compute_box(tf.constant([0.0, 0.0, *shape]))
    both = tf.raw_ops.ScaleAndTranslate(
        images=image[tf.newaxis],
        size=[40, 40],
        scale=40 / box[2:],
        translation=-box[:2] * (40 / box[2:]),
        kernel_type={"bilinear": "triangle", "bicubic": "keyscubic"}.get(interpolation, "lanczos3"),
        antialias=True,
    )[0]
    expected = tf.saturate_cast(tf.round(both), tf.uint8).numpy()
    np.testing.assert_array_equal(transform.fit_image(image).numpy(), expected)


@pytest.mark.parametrize("shape", [(60, 90), (90, 60), (64, 64)])
def test_crop_keeps_the_centered_square(shape: tuple[int, int]) -> None:
    image = _photo(*shape)
    side = min(shape)
    top, left = (shape[0] - side) // 2, (shape[1] - side) // 2
    ours = Preprocessing(size=32, fit="crop").fit_image(tf.constant(image)).numpy().astype(int)
    square = Image.fromarray(image[top : top + side, left : left + side])
    theirs = np.asarray(square.resize((32, 32), Image.Resampling.BILINEAR)).astype(int)
    # At the border, this kernel reads pixels beyond the square; Pillow's does not.
    assert np.abs(ours - theirs)[2:-2, 2:-2].max() <= 2


def test_pad_keeps_the_whole_image_and_fills_with_black() -> None:
    ours = Preprocessing(size=40, fit="pad").fit_image(
        tf.fill((30, 60, 3), tf.constant(200, tf.uint8))
    )
    assert (ours.numpy()[:9] == 0).all()
    assert (ours.numpy()[-9:] == 0).all()
    assert (ours.numpy()[11:-11] == 200).all()


def test_fit_at_the_native_size_is_the_identity() -> None:
    image = _photo(48, 48)
    for fit in ("crop", "stretch", "pad"):
        ours = Preprocessing(size=48, fit=fit).fit_image(tf.constant(image))
        np.testing.assert_array_equal(ours, image)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "GIF"])
def test_decode_reads_each_format(kind: str) -> None:
    image = _photo(40, 50)
    file = io.BytesIO()
    # No chroma subsampling: decoders upsample it differently.
    options = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    Image.fromarray(image).save(file, kind, **options)
    decoded = decode(tf.constant(file.getvalue())).numpy()
    theirs = np.asarray(Image.open(io.BytesIO(file.getvalue())).convert("RGB"))
    np.testing.assert_array_equal(decoded, theirs)


def test_transform_is_the_same_eagerly_and_inside_tf_data() -> None:
    file = io.BytesIO()
    Image.fromarray(_photo(70, 45)).save(file, "PNG")
    transform = Preprocessing(size=32)
    eager = transform(tf.constant(file.getvalue()))
    dataset = tf.data.Dataset.from_tensors(file.getvalue()).map(transform)
    np.testing.assert_array_equal(eager, next(iter(dataset)))
    assert dataset.element_spec == tf.TensorSpec((32, 32, 3), tf.uint8)


def test_size_out_of_range_is_rejected() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 8"):
        Preprocessing(size=2)
