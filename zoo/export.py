"""Export: a SavedModel that takes files, and the gate it has to pass.

The gate is a fresh process that imports TensorFlow and NumPy and nothing of
this project. It loads what was written, answers the images it is given through
both signatures, and only if its answers are the classifier's own does the
export count.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from zoo.errors import ExportError, RunError
from zoo.files import placing_folder
from zoo.preprocessing import Preprocessing

TOLERANCE = 1e-5
TOP_K = 5

_OUTPUTS = ("probabilities", "top_labels", "top_scores")
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
        to: The model's folder; the version is the highest number in it plus one.
        images: Image files to prove it with.
        probabilities: float32 [N, C], the classifier's own answers to them.

    Returns:
        The version's folder.

    Raises:
        RunError: `to` or a version in it is a file.
        ExportError: A class name does not fit a line of labels.txt, the fresh
            process failed, or an answer of its is not the classifier's.
    """
    version = next_version(to)
    made = [folder for folder in (to, *to.parents) if not folder.exists()]
    try:
        with placing_folder(version) as folder:
            write_savedmodel(classifier, preprocessing, class_names, folder)
            check_savedmodel(folder, images, probabilities, class_names)
    finally:
        # Of a failed export nothing stays; what holds something, as after a good one, does.
        with contextlib.suppress(OSError):
            for folder in made:
                folder.rmdir()
    return version


def next_version(to: Path) -> Path:
    """Returns the folder for the next version: the highest number in `to` plus one.

    A gap is left as it is: TensorFlow Serving serves the highest.

    Raises:
        RunError: `to` is no folder, or one of its versions is a file.
    """
    if not os.path.lexists(to):
        return to / "1"
    if not to.is_dir():
        raise RunError(
            f"{to} is a file", expected="a folder to write into", mend="choose another --to"
        )
    # Not isdigit, which takes a superscript for a digit where int() does not.
    versions = [path for path in to.iterdir() if path.name.isdecimal()]
    for path in versions:
        if not path.is_dir():
            raise RunError(
                f"{path} is a file",
                expected="a folder, as each version of a model is one",
                mend="move it away, or choose another --to",
            )
    return to / str(max((int(path.name) for path in versions), default=0) + 1)


def write_savedmodel(
    classifier: Any, preprocessing: Preprocessing, class_names: Sequence[str], folder: Path
) -> None:
    """Writes a SavedModel with two signatures, unproven.

    `serving_default`: `images` uint8 [B, H, W, 3], any H and W; `serving_bytes`:
    `image_bytes` string [B]. Both answer `probabilities` float32 [B, C],
    `top_labels` string [B, k] and `top_scores` float32 [B, k]; B may be 0.
    assets/labels.txt holds the class names as they are, one a line.

    Args:
        classifier: From float32 [B, S, S, 3] in 0 to 255 to probabilities.
        preprocessing: The transform in front of it.
        class_names: C of them.
        folder: An empty folder to write into.

    Raises:
        ExportError: A class name does not fit a line of labels.txt.
    """
    import keras
    import tensorflow as tf

    lines = _lines_of(class_names)
    labels = tf.constant(list(class_names))
    pixels = tf.TensorSpec((preprocessing.size, preprocessing.size, 3), tf.uint8)

    def answers(images: Any) -> dict[str, Any]:
        # Some of oneDNN's kernels refuse an empty batch, so that it gets one black image.
        count = tf.shape(images)[0]
        spare = tf.zeros(tf.stack([tf.cast(count == 0, tf.int32), *pixels.shape]), tf.uint8)
        batch = tf.cast(tf.concat([images, spare], 0), tf.float32)
        probabilities = classifier(batch, training=False)[:count]
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
    (folder / "assets").mkdir(exist_ok=True)
    (folder / "assets" / "labels.txt").write_bytes(lines)


def _lines_of(class_names: Sequence[str]) -> bytes:
    """Returns the names as they are, one a line, in UTF-8."""
    for name in class_names:
        if "\n" in name or "\r" in name:
            raise ExportError(
                f"the class {name!r} does not fit a line of labels.txt",
                expected="a name without line breaks",
                mend="rename the class and train again",
            )
    try:
        return "".join(f"{name}\n" for name in class_names).encode()
    except UnicodeEncodeError as error:
        raise ExportError(
            f"the class names cannot be written as UTF-8: {error.reason}",
            received=repr(error.object[error.start : error.end]),
            mend="rename the class and train again",
        ) from None


def check_savedmodel(
    folder: Path,
    images: Sequence[Path],
    probabilities: npt.NDArray[np.float32],
    class_names: Sequence[str],
) -> float:
    """Compares a SavedModel's answers, given in a fresh process, with the expected ones.

    `serving_bytes` is asked about every image. `serving_default` gets decoded
    images of one size at a time, here therefore one by one, which is slow: it is
    asked about 32 of them at most, taken evenly.

    Args:
        folder: Where saved_model.pb lies.
        images: N image files.
        probabilities: float32 [N, C], what it should answer.
        class_names: C of them, what the outputs mean.

    Returns:
        The largest difference of two probabilities.

    Raises:
        ExportError: It is above 1e-5, a label is not that of its score, or the
            process failed.
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
            served = {name: file[name] for name in file.files}
    asked = served.pop("asked")
    parts = {
        "serving_bytes": (images, probabilities),
        "serving_default": ([images[i] for i in asked], probabilities[asked]),
    }
    return max(
        _compare(
            signature,
            {name: served[f"{signature}/{name}"] for name in _OUTPUTS},
            files,
            expected,
            class_names,
        )
        for signature, (files, expected) in parts.items()
    )


def _compare(
    signature: str,
    served: Mapping[str, npt.NDArray[Any]],
    images: Sequence[Path],
    expected: npt.NDArray[np.float32],
    class_names: Sequence[str],
) -> float:
    """Returns how far a signature's answers are from the expected ones, at most 1e-5."""
    probabilities, top_labels, top_scores = (served[name] for name in _OUTPUTS)
    if probabilities.shape != expected.shape or not np.isfinite(probabilities).all():
        raise ExportError(
            f"the exported model (by {signature}) answers in another shape or with no numbers",
            expected=f"probabilities {expected.shape}",
            received=f"{probabilities.shape}",
        )
    rows = np.abs(probabilities - expected).max(axis=1)
    top = -np.sort(-expected, axis=1)[:, : top_scores.shape[1]]
    rows = np.maximum(rows, np.abs(top_scores - top).max(axis=1))
    if rows.max() > TOLERANCE:
        worst = images[int(rows.argmax())]
        raise ExportError(
            "the exported model does not answer as its run does; nothing was exported",
            expected=f"the same probabilities within {TOLERANCE:g}",
            received=f"{rows.max():.2g} apart by {signature}, most for {worst}",
        )
    # By its own probabilities: two that differ by less than the tolerance may change places.
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, : top_labels.shape[1]]
    right = np.array(class_names)[order]
    wrong = np.argwhere(top_labels != right)
    if len(wrong):
        row, column = wrong[0]
        raise ExportError(
            f"the exported model (by {signature}) names another class than its probabilities say",
            expected=f"{str(right[row, column])!r} for {images[row]}",
            received=repr(str(top_labels[row, column])),
        )
    return float(rows.max())
