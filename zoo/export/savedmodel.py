"""Export to SavedModel, with a check in a fresh process.

A process that imports TensorFlow and NumPy, but nothing of this project, loads the
SavedModel and predicts the given images by both signatures; an export counts only if these
predictions are the run's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from zoo.errors import ExportError
from zoo.export.broken_images import broken_value, mask_outputs, preprocess_files
from zoo.export.fresh_process import predict_in_fresh_process
from zoo.export.seal import seal
from zoo.export.signature import Signer
from zoo.export.signatures import (
    build_outputs,
    build_unknown_outputs,
    compare_outputs,
    compare_unknown_outputs,
    output_names,
)
from zoo.export.versions import next_version, placing_version
from zoo.export.warm_up import WARM_UP_FILE, WARM_UP_SIGNATURES, write_warm_up
from zoo.files import write_json
from zoo.models.decision import DecisionRule, set_output
from zoo.models.unknown import IS_UNKNOWN, UNKNOWN_SCORE, UnknownScorer, build_scored_model
from zoo.preprocessing import Preprocessing
from zoo.tasks import Task, wrap


def export_savedmodel(
    model: Any,
    preprocessing: Preprocessing,
    tasks: Sequence[Task],
    to: Path,
    *,
    images: Sequence[Path],
    predictions: Mapping[str, npt.NDArray[np.float32]],
    scorer: UnknownScorer | None = None,
    unknown_scores: npt.NDArray[np.float32] | None = None,
    rules: Mapping[str, DecisionRule] = MappingProxyType({}),
    sign: Signer | None = None,
) -> Path:
    """Writes `to`/VERSION, checks, signs and seals it; a failed export leaves nothing behind.

    Args:
        model: A `keras.Model` from float32 [B, S, S, 3] in 0 to 255 to what `tasks` say.
        preprocessing: Turns files and decoded images into the model's input.
        tasks: What the model predicts; `zoo.tasks.classification` for a plain classifier.
        to: The model's folder; the version is the highest number in it plus one.
        images: N image files to check the export with.
        predictions: The model's own predictions for them, float32 [N, K] by task.
        scorer: Of the features of the model's head; None exports no unknown scores.
        unknown_scores: The run's own scores for them, float32 [N], where there is a scorer.
        rules: Which classes or labels are in the answer, by task that has a rule.
        sign: Signs it, by `zoo.export.signature.open_signer`; None leaves it unsigned.

    Returns:
        The version's folder.

    Raises:
        RunError: `to` or a version in it is a file.
        ExportError: A class name does not fit a line of labels.txt, the fresh process
            failed, or its predictions differ from `predictions`.
    """
    version = next_version(to)
    with placing_version(version) as folder:
        write_savedmodel(model, preprocessing, tasks, folder, scorer, rules)
        check_savedmodel(
            folder,
            images,
            predictions,
            tasks,
            unknown_scores,
            scorer.rounding if scorer else 0.0,
            rules,
        )
        if sign:
            sign(folder, f"{to.name}/{version.name}")
        seal(folder)
    return version


def write_savedmodel(
    model: Any,
    preprocessing: Preprocessing,
    tasks: Sequence[Task],
    folder: Path,
    scorer: UnknownScorer | None = None,
    rules: Mapping[str, DecisionRule] = MappingProxyType({}),
) -> None:
    """Writes a SavedModel with three signatures, without checking it.

    `serving_default` takes `images` uint8 [B, H, W, 3], any H and W; `serving_bytes` takes
    `image_bytes` string [B]. B may be 0. The outputs of both, for a plain classifier, are
    `probabilities` float32 [B, C], `top_labels` string [B, k] and `top_scores` float32
    [B, k]; assets/labels.txt lists the class names, one a line.

    `serving_bytes` also returns `valid` bool [B]. Where an image is broken, it is False,
    numbers are NaN and labels empty; the other images are predicted all the same.

    With a scorer, both have `unknown_score` float32 [B] and `is_unknown` bool [B], whether it is
    above 1; a broken image counts as unknown. With a rule, both have `prediction_set` bool
    [B, C], which classes the image may be of; that of a broken image is empty.

    `decode` takes `image_bytes` string [] and returns `image` uint8 [H, W, 3]: the pixels
    for which `serving_default` predicts what `serving_bytes` predicts for the file.

    TensorFlow Serving runs the requests of `zoo.export.warm_up` before it serves.

    Each of several tasks has outputs that begin with its name (`tint_probabilities`,
    `tint_top_labels`, `tint_top_scores`; `angle_value` float32 [B]); assets/tasks.json
    describes them.

    Args:
        model: A `keras.Model` from float32 [B, S, S, 3] in 0 to 255 to what `tasks` say.
        preprocessing: Turns files and decoded images into the model's input.
        tasks: What the model predicts.
        folder: An empty folder to write into.
        scorer: Of the features of the model's head; None exports no unknown scores.
        rules: Which classes or labels are in the answer, by task that has a rule.

    Raises:
        ExportError: A class name does not fit a line of labels.txt.
    """
    import keras
    import tensorflow as tf

    plain = tasks[0].bare
    labels = encode_labels(tasks[0].class_names) if plain else b""
    network = model if scorer is None else build_scored_model(model, scorer)
    pixels = tf.TensorSpec((preprocessing.size, preprocessing.size, 3), tf.uint8)

    def predict(images: Any) -> dict[str, Any]:
        # Some of oneDNN's kernels refuse an empty batch: pad it with a black image.
        count = tf.shape(images)[0]
        padding = tf.zeros(tf.stack([tf.cast(count == 0, tf.int32), *pixels.shape]), tf.uint8)
        batch = tf.cast(tf.concat([images, padding], 0), tf.float32)
        values, outputs = network(batch, training=False), {}
        if scorer is not None:
            values, scores = values
            outputs = build_unknown_outputs(scores[:count])
        predictions = wrap(tasks, values)
        for task in tasks:
            outputs |= build_outputs(task, predictions[task.name][:count], rules.get(task.name))
        return outputs

    def serve_images(images: Any) -> dict[str, Any]:
        return predict(tf.map_fn(preprocessing.fit_image, images, fn_output_signature=pixels))

    def serve_bytes(image_bytes: Any) -> dict[str, Any]:
        images, valid = preprocess_files(preprocessing, image_bytes)
        return mask_outputs(predict(images), valid)

    def decode(image_bytes: Any) -> dict[str, Any]:
        return {"image": preprocessing.decode_pixels(image_bytes)}

    # Endpoints bring the variables that they read. Those of a tracked model are saved once more.
    archive = keras.export.ExportArchive()
    archive.add_endpoint(
        "serving_default",
        serve_images,
        [tf.TensorSpec((None, None, None, 3), tf.uint8, name="images")],
    )
    archive.add_endpoint(
        "serving_bytes", serve_bytes, [tf.TensorSpec((None,), tf.string, name="image_bytes")]
    )
    archive.add_endpoint("decode", decode, [tf.TensorSpec((), tf.string, name="image_bytes")])
    archive.write_out(str(folder), verbose=False)
    write_warm_up(folder)
    (folder / "assets").mkdir(exist_ok=True)
    if plain:
        (folder / "assets" / "labels.txt").write_bytes(labels)
    else:
        write_json(folder / "assets" / "tasks.json", [task.to_json() for task in tasks])


def encode_labels(class_names: Sequence[str]) -> bytes:
    """Returns the content of labels.txt: the names one a line, in UTF-8.

    Args:
        class_names: The classes, in the order of the probabilities.

    Raises:
        ExportError: A name holds a line break or is not valid Unicode.
    """
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


def _check_valid(arrays: dict[str, npt.NDArray[Any]], images: Sequence[Path]) -> None:
    """Checks that the images are valid, and that a broken one beside the first is not.

    Args:
        arrays: What the fresh process wrote; the outputs for the broken one are removed.
        images: The image files.

    Raises:
        ExportError: They are not, or the broken image has a prediction.
    """
    valid = arrays["serving_bytes/valid"]
    if not valid.all():
        raise ExportError(
            "the exported model takes an image for broken that its run predicts",
            received=str(images[int(valid.argmin())]),
        )
    names = [name for name in arrays if name.startswith("broken/")]
    for name in names:
        first, broken = arrays.pop(name)
        if name == "broken/valid":
            is_right = first and not broken
        elif first.dtype.kind == "b":
            right = broken_value(name.removeprefix("broken/"), "bool")
            is_right = np.all(broken == right)
        elif first.dtype.kind == "f":
            is_right = np.isfinite(first).all() and np.isnan(broken).all()
        else:
            is_right = np.all(first != "") and np.all(broken == "")
        if not is_right:
            raise ExportError(
                "the exported model does not tell a broken image from the one beside it",
                expected="valid = False, NaN, empty labels and sets, and is_unknown = True",
                received=f"{name.removeprefix('broken/')} = {broken}",
            )


def check_savedmodel(
    folder: Path,
    images: Sequence[Path],
    predictions: Mapping[str, npt.NDArray[np.float32]],
    tasks: Sequence[Task],
    unknown_scores: npt.NDArray[np.float32] | None = None,
    rounding: float = 0.0,
    rules: Mapping[str, DecisionRule] = MappingProxyType({}),
) -> float:
    """Compares a SavedModel's predictions in a fresh process with the expected ones.

    `serving_bytes` predicts every image. A batch of `serving_default` has images of one
    size, so it predicts them one by one, which is slow: at most 32, evenly spaced.

    Args:
        folder: The folder of saved_model.pb.
        images: N image files.
        predictions: The expected predictions, float32 [N, K] by task.
        tasks: What the model predicts.
        unknown_scores: The expected unknown scores, float32 [N]; None if it has none.
        rounding: What rounding may change in one.
        rules: Which classes or labels are in the answer, by task that has a rule.

    Returns:
        The largest difference of predictions; see `zoo.export.signatures.compare_outputs`.

    Raises:
        ExportError: A difference is above 1e-5, or of unknown scores above 1e-4 plus `rounding`;
            a label is not that of its score, or the process failed.
    """
    arrays = predict_in_fresh_process(folder, images)
    if tuple(arrays.pop("warm_up")) != WARM_UP_SIGNATURES:
        raise ExportError(
            "the exported model has other warm-up requests than were written",
            expected=f"{len(WARM_UP_SIGNATURES)} in {WARM_UP_FILE}",
        )
    _check_valid(arrays, images)
    indices_of = {
        "serving_bytes": np.arange(len(images)),
        "serving_default": arrays.pop("decoded_indices"),
    }
    if unknown_scores is not None:
        for signature, indices in indices_of.items():
            compare_unknown_outputs(
                signature,
                {name: arrays[f"{signature}/{name}"] for name in (UNKNOWN_SCORE, IS_UNKNOWN)},
                unknown_scores[indices],
                [images[i] for i in indices],
                rounding,
            )
    return max(
        compare_outputs(
            signature,
            task,
            {
                name: arrays[f"{signature}/{name}"]
                for name in (
                    *output_names(task),
                    *([set_output(task)] if task.name in rules else []),
                )
            },
            predictions[task.name][indices],
            [images[i] for i in indices],
            rules.get(task.name),
        )
        for signature, indices in indices_of.items()
        for task in tasks
    )
