"""The export gate's other side: answers images by a SavedModel and TensorFlow alone.

Run as a file, never imported: `python -I export_gate.py MODEL IMAGES ANSWERS`,
where IMAGES is a JSON list of image files, and ANSWERS the .npz to write.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

BATCH = 32


def main(model: str, images: str, answers: str) -> None:
    """Writes `probabilities` and `top_scores` of every image through `serving_bytes`."""
    loaded = tf.saved_model.load(model)
    serve = loaded.signatures["serving_bytes"]
    files = json.loads(Path(images).read_text(encoding="utf-8"))
    rows = []
    for start in range(0, len(files), BATCH):
        batch = [Path(file).read_bytes() for file in files[start : start + BATCH]]
        rows.append(serve(image_bytes=tf.constant(batch)))
    if {"zoo", "tuning", "pipelines"} & set(sys.modules):
        raise SystemExit("the gate must not import the project it checks")
    probabilities, top_scores = (
        np.concatenate([row[name].numpy() for row in rows])
        for name in ("probabilities", "top_scores")
    )
    np.savez(answers, probabilities=probabilities, top_scores=top_scores)


if __name__ == "__main__":
    main(*sys.argv[1:])
