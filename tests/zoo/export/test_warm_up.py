"""Warm-up requests, as TensorFlow Serving's own messages read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from zoo.export.warm_up import WARM_UP_FILE, WARM_UP_SIGNATURES, write_warm_up

pytestmark = pytest.mark.train

# The messages of tensorflow_serving/apis that a request consists of, as they are published;
# fields that none of the requests uses are left out, but for one of each oneof.
APIS = """
name: "apis.proto" package: "tensorflow.serving" syntax: "proto3"
dependency: "tensorflow/core/framework/tensor.proto"
dependency: "google/protobuf/wrappers.proto"
message_type {
  name: "ModelSpec"
  field { name: "name" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
  field { name: "version" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE
          type_name: ".google.protobuf.Int64Value" oneof_index: 0 }
  field { name: "signature_name" number: 3 label: LABEL_OPTIONAL type: TYPE_STRING }
  oneof_decl { name: "version_choice" }
}
message_type {
  name: "PredictRequest"
  field { name: "model_spec" number: 1 label: LABEL_OPTIONAL type: TYPE_MESSAGE
          type_name: ".tensorflow.serving.ModelSpec" }
  field { name: "inputs" number: 2 label: LABEL_REPEATED type: TYPE_MESSAGE
          type_name: ".tensorflow.serving.PredictRequest.InputsEntry" }
  field { name: "output_filter" number: 3 label: LABEL_REPEATED type: TYPE_STRING }
  nested_type {
    name: "InputsEntry" options { map_entry: true }
    field { name: "key" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
    field { name: "value" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE
            type_name: ".tensorflow.TensorProto" }
  }
}
message_type {
  name: "PredictLog"
  field { name: "request" number: 1 label: LABEL_OPTIONAL type: TYPE_MESSAGE
          type_name: ".tensorflow.serving.PredictRequest" }
}
message_type {
  name: "PredictionLog"
  field { name: "predict_log" number: 6 label: LABEL_OPTIONAL type: TYPE_MESSAGE
          type_name: ".tensorflow.serving.PredictLog" oneof_index: 0 }
  oneof_decl { name: "log_type" }
}
"""


@pytest.fixture(scope="module")
def prediction_log() -> Any:
    """The class of PredictionLog."""
    import google.protobuf.wrappers_pb2  # noqa: F401

    pool = descriptor_pool.Default()
    pool.Add(text_format.Parse(APIS, descriptor_pb2.FileDescriptorProto()))
    described = pool.FindMessageTypeByName("tensorflow.serving.PredictionLog")
    return message_factory.GetMessageClass(described)


def test_requests_are_read_as_tensorflow_serving_reads_them(
    prediction_log: Any, tmp_path: Path
) -> None:
    write_warm_up(tmp_path)
    requests = []
    for record in tf.data.TFRecordDataset(str(tmp_path / WARM_UP_FILE)).as_numpy_iterator():
        log = prediction_log.FromString(record)
        assert log.WhichOneof("log_type") == "predict_log"
        assert log.SerializeToString(deterministic=True) == record, "no field is unknown"
        requests.append(log.predict_log.request)
    assert tuple(request.model_spec.signature_name for request in requests) == WARM_UP_SIGNATURES
    jpegs, pngs, images, file = (
        {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
        for request in requests
    )
    image = images.pop("images")
    assert (image.dtype, image.shape) == (np.uint8, (1, 256, 256, 3))
    np.testing.assert_array_equal(tf.io.decode_png(pngs.pop("image_bytes")[0]), image[0])
    jpeg = jpegs.pop("image_bytes")
    assert (jpeg.shape, file["image_bytes"].shape) == ((1,), ())
    assert jpeg[0] == file.pop("image_bytes").item()
    assert np.abs(tf.io.decode_jpeg(jpeg[0]).numpy() - image[0].astype(int)).mean() < 3
    assert [jpegs, pngs, images, file] == [{}, {}, {}, {}]


def test_requests_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_warm_up(tmp_path / name)
    one, two = ((tmp_path / name / WARM_UP_FILE).read_bytes() for name in ("one", "two"))
    assert one == two
