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
from zoo.export.signatures import compare, output_names, serve
from zoo.files import placing_folder, write_json
from zoo.preprocessing import Preprocessing
from zoo.tasks import Task, wrap

_GATE = Path(__file__).with_name("gate.py")


def export_savedmodel(
    classifier: Any,
    preprocessing: Preprocessing,
    tasks: Sequence[Task],
    to: Path,
    *,
    images: Sequence[Path],
    answers: Mapping[str, npt.NDArray[np.float32]],
) -> Path:
    """Writes `to`/VERSION and proves it, or leaves nothing behind.

    Args:
        classifier: From float32 [B, S, S, 3] in 0 to 255 to probabilities, or to a
            dictionary of answers to named tasks.
        preprocessing: The transform in front of it.
        tasks: What it predicts; `zoo.tasks.classification` for a plain classifier.
        to: The model's folder; the version is the highest number in it plus one.
        images: Image files to prove it with.
        answers: The classifier's own for them, float32 [N, K] by task.

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
            write_savedmodel(classifier, preprocessing, tasks, folder)
            check_savedmodel(folder, images, answers, tasks)
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
    classifier: Any, preprocessing: Preprocessing, tasks: Sequence[Task], folder: Path
) -> None:
    """Writes a SavedModel with two signatures, unproven.

    `serving_default`: `images` uint8 [B, H, W, 3], any H and W; `serving_bytes`:
    `image_bytes` string [B]. Both answer `probabilities` float32 [B, C],
    `top_labels` string [B, k] and `top_scores` float32 [B, k]; B may be 0.
    assets/labels.txt holds the class names as they are, one a line.

    Of named tasks each has outputs of its own, called after it (`tint_probabilities`,
    `tint_top_labels`, `tint_top_scores`; `angle_value` float32 [B]), and
    assets/tasks.json says what they mean.

    Args:
        classifier: From float32 [B, S, S, 3] in 0 to 255 to probabilities, or to a
            dictionary of answers to named tasks.
        preprocessing: The transform in front of it.
        tasks: What it is asked.
        folder: An empty folder to write into.

    Raises:
        ExportError: A class name does not fit a line of labels.txt.
    """
    import keras
    import tensorflow as tf

    plain = tasks[0].bare
    lines = _lines_of(tasks[0].class_names) if plain else b""
    pixels = tf.TensorSpec((preprocessing.size, preprocessing.size, 3), tf.uint8)

    def answers(images: Any) -> dict[str, Any]:
        # Some of oneDNN's kernels refuse an empty batch, so that it gets one black image.
        count = tf.shape(images)[0]
        spare = tf.zeros(tf.stack([tf.cast(count == 0, tf.int32), *pixels.shape]), tf.uint8)
        batch = tf.cast(tf.concat([images, spare], 0), tf.float32)
        answered = wrap(tasks, classifier(batch, training=False))
        served: dict[str, Any] = {}
        for task in tasks:
            served |= serve(task, answered[task.name][:count])
        return served

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
    if plain:
        (folder / "assets" / "labels.txt").write_bytes(lines)
    else:
        write_json(folder / "assets" / "tasks.json", [task.to_json() for task in tasks])


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
    answers: Mapping[str, npt.NDArray[np.float32]],
    tasks: Sequence[Task],
) -> float:
    """Compares a SavedModel's answers, given in a fresh process, with the expected ones.

    `serving_bytes` is asked about every image. `serving_default` gets decoded
    images of one size at a time, here therefore one by one, which is slow: it is
    asked about 32 of them at most, taken evenly.

    Args:
        folder: Where saved_model.pb lies.
        images: N image files.
        answers: What it should answer, float32 [N, K] by task.
        tasks: What it is asked, and what the outputs mean.

    Returns:
        The largest difference of two answers; see `zoo.export.signatures.compare`.

    Raises:
        ExportError: It is above 1e-5, a label is not that of its score, or the
            process failed.
    """
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        listing, written = scratch / "images.json", scratch / "answers.npz"
        listing.write_text(json.dumps([str(path.resolve()) for path in images]), encoding="utf-8")
        # -I: neither the working folder nor PYTHONPATH, so nothing of ours is at hand.
        done = subprocess.run(
            [sys.executable, "-I", str(_GATE), str(folder), str(listing), str(written)],
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
        with np.load(written) as file:
            served = {name: file[name] for name in file.files}
    asked = served.pop("asked")
    parts = {"serving_bytes": np.arange(len(images)), "serving_default": asked}
    return max(
        compare(
            signature,
            task,
            {name: served[f"{signature}/{name}"] for name in output_names(task)},
            answers[task.name][indices],
            [images[i] for i in indices],
        )
        for signature, indices in parts.items()
        for task in tasks
    )
