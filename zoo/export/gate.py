"""Export check in a fresh process: predictions of a SavedModel, with TensorFlow and NumPy alone.

Run as a file, never imported: `python -I gate.py MODEL IMAGES PREDICTIONS`, where IMAGES is
a JSON list of image files and PREDICTIONS the .npz to write.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

BATCH_SIZE = 32
MAX_DECODED = 32


def main(model: str, images: str, predictions: str) -> None:
    """Writes the outputs of both signatures as `SIGNATURE/OUTPUT`, and `decoded_indices`.

    `broken/OUTPUT` are those of `serving_bytes` for the first image and bytes that are none.

    `serving_bytes` predicts every image; `serving_default` predicts those at
    `decoded_indices`, int64 [min(N, 32)], evenly spaced.
    """
    loaded = tf.saved_model.load(model)
    predict_bytes = loaded.signatures["serving_bytes"]
    predict_pixels = loaded.signatures["serving_default"]
    decode = loaded.signatures["decode"]
    files = [Path(file) for file in json.loads(Path(images).read_text(encoding="utf-8"))]
    num_decoded = min(len(files), MAX_DECODED)
    decoded_indices = np.unique(np.linspace(0, len(files) - 1, num_decoded).astype(np.int64))
    batches = {
        "serving_bytes": [
            predict_bytes(
                image_bytes=tf.constant([f.read_bytes() for f in files[start : start + BATCH_SIZE]])
            )
            for start in range(0, len(files), BATCH_SIZE)
        ],
        "serving_default": [
            predict_pixels(
                images=decode(image_bytes=tf.constant(files[i].read_bytes()))["image"][tf.newaxis]
            )
            for i in decoded_indices
        ],
        # Beside a broken image, the others are predicted all the same.
        "broken": [predict_bytes(image_bytes=tf.constant([files[0].read_bytes(), b"Dear diary"]))],
    }
    if {"zoo", "tuning", "pipelines"} & set(sys.modules):
        raise SystemExit("the gate must not import the project it checks")
    arrays: dict[str, Any] = {
        f"{signature}/{name}": np.concatenate([outputs[name].numpy() for outputs in of_signature])
        for signature, of_signature in batches.items()
        for name in of_signature[0]
    }
    # As str: NumPy saves an array of Python's bytes by pickling it.
    texts: dict[str, Any] = {
        name: np.array([[text.decode() for text in row] for row in array])
        for name, array in arrays.items()
        if array.dtype == object
    }
    np.savez(predictions, decoded_indices=decoded_indices, **arrays | texts)


if __name__ == "__main__":
    main(*sys.argv[1:])
