"""Export: a SavedModel that takes files, and the gate it has to pass.

The gate is a fresh process that imports TensorFlow and NumPy and nothing of
this project. It loads what was written, answers the images it is given, and
only if its answers are the classifier's own does the export count.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from zoo.errors import ExportError
from zoo.files import placing_folder
from zoo.preprocessing import Preprocessing

TOLERANCE = 1e-5
TOP_K = 5

_GATE = Path(__file__).with_name("export_gate.py")


def export_savedmodel(
    classifier: Any,
    preprocessing: Preprocessing,
    class_names: Sequence[str],
    to: Path,
    *,
    images: Sequence[Path],
    probabilities: npt.NDArray[np.float32],
) -> Path:
    """Writes `to`/VERSION and proves it, or leaves nothing behind.

    Args:
        classifier: From float32 [B, S, S, 3] in 0 to 255 to probabilities.
        preprocessing: The transform in front of it.
        class_names: C of them.
        to: The model's folder; the version is the first number that is free.
        images: Image files to prove it with.
        probabilities: float32 [N, C], the classifier's own answers to them.

    Returns:
        The version's folder.

    Raises:
        ExportError: The fresh process failed, or one of its probabilities is
            more than 1e-5 from the classifier's.
    """
    versions = [int(p.name) for p in to.glob("*/") if p.name.isdigit()]
    version = to / str(max(versions, default=0) + 1)
    existed = to.exists()
    try:
        with placing_folder(version) as folder:
            write_savedmodel(classifier, preprocessing, class_names, folder)
            check_savedmodel(folder, images, probabilities)
    finally:
        if not existed and to.exists() and not any(to.iterdir()):
            to.rmdir()
    return version


def write_savedmodel(
    classifier: Any, preprocessing: Preprocessing, class_names: Sequence[str], folder: Path
) -> None:
    """Writes a SavedModel with two signatures, unproven.

    `serving_default`: `images` uint8 [B, H, W, 3], any H and W; `serving_bytes`:
    `image_bytes` string [B]. Both answer `probabilities` float32 [B, C],
    `top_labels` string [B, k] and `top_scores` float32 [B, k].
    """
    import keras
    import tensorflow as tf

    labels = tf.constant(list(class_names))
    pixels = tf.TensorSpec((preprocessing.size, preprocessing.size, 3), tf.uint8)

    def answers(images: Any) -> dict[str, Any]:
        probabilities = classifier(tf.cast(images, tf.float32), training=False)
        scores, indices = tf.math.top_k(probabilities, min(TOP_K, len(class_names)))
        return {
            "probabilities": probabilities,
            "top_labels": tf.gather(labels, indices),
            "top_scores": scores,
        }

    def serve_images(images: Any) -> dict[str, Any]:
        return answers(tf.map_fn(preprocessing.fit_image, images, fn_output_signature=pixels))

    def serve_bytes(image_bytes: Any) -> dict[str, Any]:
        return answers(tf.map_fn(preprocessing, image_bytes, fn_output_signature=pixels))

    archive = keras.export.ExportArchive()
    archive.track(classifier)
    archive.add_endpoint(
        "serving_default",
        serve_images,
        [tf.TensorSpec((None, None, None, 3), tf.uint8, name="images")],
    )
    archive.add_endpoint(
        "serving_bytes", serve_bytes, [tf.TensorSpec((None,), tf.string, name="image_bytes")]
    )
    archive.write_out(str(folder), verbose=False)
    lines = "".join(" ".join(name.split()) + "\n" for name in class_names)
    (folder / "assets").mkdir(exist_ok=True)
    (folder / "assets" / "labels.txt").write_text(lines, encoding="utf-8")


def check_savedmodel(
    folder: Path, images: Sequence[Path], probabilities: npt.NDArray[np.float32]
) -> float:
    """Compares a SavedModel's answers, given in a fresh process, with the expected ones.

    Args:
        folder: Where saved_model.pb lies.
        images: N image files.
        probabilities: float32 [N, C], what it should answer.

    Returns:
        The largest difference of two probabilities.

    Raises:
        ExportError: It is above 1e-5, or the process failed.
    """
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        listing, answers = scratch / "images.json", scratch / "answers.npz"
        listing.write_text(json.dumps([str(path.resolve()) for path in images]), encoding="utf-8")
        # -I: neither the working folder nor PYTHONPATH, so nothing of ours is at hand.
        done = subprocess.run(
            [sys.executable, "-I", str(_GATE), str(folder), str(listing), str(answers)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or ["it said nothing"]
            raise ExportError(
                "the exported model does not load and answer in a fresh process",
                received=lines[-1],
            )
        with np.load(answers) as file:
            served, served_top = file["probabilities"], file["top_scores"]
    if served.shape != probabilities.shape or not np.isfinite(served).all():
        raise ExportError(
            "the exported model answers in another shape or with numbers that are none",
            expected=f"probabilities {probabilities.shape}",
            received=f"{served.shape}",
        )
    apart = float(np.abs(served - probabilities).max())
    top = -np.sort(-probabilities, axis=1)[:, : served_top.shape[1]]
    apart = max(apart, float(np.abs(served_top - top).max()))
    if apart > TOLERANCE:
        worst = int(np.abs(served - probabilities).max(axis=1).argmax())
        raise ExportError(
            "the exported model does not answer as its run does; nothing was exported",
            expected=f"the same probabilities within {TOLERANCE:g}",
            received=f"{apart:.2g} apart, most for {images[worst]}",
        )
    return apart
