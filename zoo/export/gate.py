"""Export check in a fresh process: predictions of a SavedModel, with TensorFlow and NumPy alone.

Run as a file, never imported: `python -I gate.py JOB`, where JOB is the JSON file that
`zoo.export.fresh_process` writes. The process ends when its standard input does, which its
parent holds open as long as it lives.
"""

import importlib.abc
import json
import os
import shutil
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

BATCH_SIZE = 32
MAX_DECODED = 32
WARM_UP_FILE = "assets.extra/tf_serving_warmup_requests"

# What TensorFlow Serving's messages hold of a request, with the numbers of their fields.
MESSAGES = {
    "ModelSpec": [("signature_name", 3, "string")],
    "Input": [("key", 1, "string"), ("value", 2, ".tensorflow.TensorProto")],
    "Request": [("model_spec", 1, "ModelSpec"), ("inputs", 2, "repeated Input")],
    "PredictLog": [("request", 1, "Request")],
    "PredictionLog": [("predict_log", 6, "PredictLog")],
}


class Absent(importlib.abc.MetaPathFinder):
    """Makes packages absent, wherever they are installed.

    Args:
        names: Names of packages.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = frozenset(names)

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        """Refuses the packages, and leaves all others to the finders that follow."""
        if fullname in self.names:
            raise ModuleNotFoundError(f"{fullname} is absent from this process", name=fullname)


def end_with_parent(scratch: Path) -> None:
    """Waits for the end of standard input, removes a folder, and ends this process.

    Args:
        scratch: The folder that the parent would have removed.
    """
    while os.read(0, 1):
        pass
    shutil.rmtree(scratch, ignore_errors=True)
    os._exit(1)


def read_requests(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Reads warm-up requests; yields the signature and the inputs of each."""
    import tensorflow as tf
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    described = descriptor_pb2.FileDescriptorProto(
        name="gate.proto",
        package="gate",
        syntax="proto3",
        dependency=["tensorflow/core/framework/tensor.proto"],
    )
    kinds = descriptor_pb2.FieldDescriptorProto
    for message, fields in MESSAGES.items():
        descriptor = described.message_type.add(name=message)
        for name, number, what in fields:
            type_ = what.removeprefix("repeated ")
            field = descriptor.field.add(name=name, number=number)
            field.label = kinds.LABEL_OPTIONAL if type_ == what else kinds.LABEL_REPEATED
            field.type = kinds.TYPE_STRING if type_ == "string" else kinds.TYPE_MESSAGE
            if type_ != "string":
                field.type_name = type_ if type_.startswith(".") else f".gate.{type_}"
    pool = descriptor_pool.Default()
    pool.Add(described)
    log = message_factory.GetMessageClass(pool.FindMessageTypeByName("gate.PredictionLog"))
    for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
        request = log.FromString(record).predict_log.request
        inputs = {entry.key: tf.make_ndarray(entry.value) for entry in request.inputs}
        yield request.model_spec.signature_name, inputs


def predict(model: str, images: Sequence[str], predictions: Path) -> None:
    """Writes the outputs of both signatures as `SIGNATURE/OUTPUT`, and `decoded_indices`.

    `broken/OUTPUT` are those of `serving_bytes` for the first image and bytes that are none.

    `serving_bytes` predicts every image; `serving_default` predicts those at
    `decoded_indices`, int64 [min(N, 32)], evenly spaced. `warm_up` holds the signatures of
    the warm-up requests, which are run first.
    """
    import numpy as np
    import tensorflow as tf

    loaded = tf.saved_model.load(model)
    requests = Path(model, WARM_UP_FILE)
    warm_up = []
    for signature, inputs in read_requests(requests) if requests.is_file() else ():
        loaded.signatures[signature](**{name: tf.constant(inputs[name]) for name in inputs})
        warm_up.append(signature)
    predict_bytes = loaded.signatures["serving_bytes"]
    predict_pixels = loaded.signatures["serving_default"]
    decode = loaded.signatures["decode"]
    files = [Path(file) for file in images]
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
    arrays["warm_up"] = np.array(warm_up, str)
    np.savez(predictions, decoded_indices=decoded_indices, **arrays | texts)


def main(file: Path) -> None:
    """Predicts as a job says, which lies in a folder for it alone."""
    threading.Thread(target=end_with_parent, args=(file.parent,), daemon=True).start()
    job = json.loads(file.read_text(encoding="utf-8"))
    sys.path[:] = job["path"]
    sys.meta_path.insert(0, Absent(job["without"]))
    predict(job["model"], job["images"], Path(job["predictions"]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
