"""The export gate's other side: answers images by a SavedModel and TensorFlow alone.

Run as a file, never imported: `python -I gate.py MODEL IMAGES ANSWERS`,
where IMAGES is a JSON list of image files, and ANSWERS the .npz to write.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

BATCH = 32
DECODED = 32


def main(model: str, images: str, answers: str) -> None:
    """Writes `SIGNATURE/OUTPUT` for both signatures and every output, and `asked`.

    `serving_bytes` answers every image, `serving_default` those at the indices
    `asked`, int64 [min(N, 32)], taken evenly.
    """
    loaded = tf.saved_model.load(model)
    by_bytes = loaded.signatures["serving_bytes"]
    by_pixels = loaded.signatures["serving_default"]
    files = [Path(file) for file in json.loads(Path(images).read_text(encoding="utf-8"))]
    asked = np.unique(np.linspace(0, len(files) - 1, min(len(files), DECODED)).astype(np.int64))
    rows = {
        "serving_bytes": [
            by_bytes(
                image_bytes=tf.constant([f.read_bytes() for f in files[start : start + BATCH]])
            )
            for start in range(0, len(files), BATCH)
        ],
        "serving_default": [by_pixels(images=decode(files[i])[tf.newaxis]) for i in asked],
    }
    if {"zoo", "tuning", "pipelines"} & set(sys.modules):
        raise SystemExit("the gate must not import the project it checks")
    arrays: dict[str, Any] = {
        f"{signature}/{name}": np.concatenate([answer[name].numpy() for answer in found])
        for signature, found in rows.items()
        for name in found[0]
    }
    # As text, since NumPy keeps an array of Python's bytes by pickling it.
    texts: dict[str, Any] = {
        k: np.array([[t.decode() for t in row] for row in v])
        for k, v in arrays.items()
        if v.dtype == object
    }
    np.savez(answers, asked=asked, **arrays | texts)


def decode(file: Path) -> tf.Tensor:
    """Decodes a file as a client would who wants the answer of training's decoder."""
    content = file.read_bytes()
    if tf.io.is_jpeg(content):
        return tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE")
    return tf.io.decode_image(content, channels=3, expand_animations=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
