"""Read `tfds:NAME[:CONFIG]`: a data set of TensorFlow Datasets or of this project's builder."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import secrets
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from pipelines.sources.source import SEPARATOR, Examples, Listing
from pipelines.sources.split_names import SPLIT_NAMES
from zoo.errors import DataError
from zoo.files import cache_folder
from zoo.private_api import replaced_download
from zoo.table import unknown_name
from zoo.tasks import LABEL

OWN_BUILDERS = {"textures": "pipelines.sources.textures.builder"}
"""This project's builders by name, each with the module whose import registers it."""

CONNECT_S = 5.0
"""Seconds that a server may take to accept a connection; then the machine counts as offline."""


def read_tfds(data: str, columns: Sequence[str] = ()) -> Listing:
    """Lists a TFDS data set, after preparing it if necessary.

    Images stay encoded, in memory. The official splits train, validation (or val,
    valid) and test are used, others ignored. Prepared data is kept in `TFDS_DATA_DIR`,
    or else in TFDS's default folder; this project's builders use its own cache.

    Args:
        data: `tfds:NAME` or `tfds:NAME:CONFIG`.
        columns: Features to read as text beside the label: classes, lists of classes
            and numbers. Missing features are skipped.

    Raises:
        UnknownNameError: TFDS has no such data set or configuration.
        DataError: The examples are not images with one label each, or the data set is
            not prepared and cannot be; without a network this takes seconds.
    """
    name, _, config = data.removeprefix("tfds:").partition(":")
    if not name:
        raise DataError("No data set is named", expected="tfds:NAME or tfds:NAME:CONFIG")
    if name in OWN_BUILDERS and config:
        raise DataError(f"The data set {name!r} has no configurations", received=repr(config))
    if name in OWN_BUILDERS:
        return _read(name, _prepare_own_builder(name), columns)
    builder = _load_builder(name, config)
    _find_features(name, builder)  # Fails before an unusable data set is downloaded.
    if not builder.data_path.exists():
        _prepare(name, builder)
    return _read(name, builder, columns)


def _load_builder(name: str, config: str) -> Any:
    import tensorflow_datasets as tfds

    folder = os.environ.get("TFDS_DATA_DIR")
    try:
        return tfds.builder(name, config=config or None, data_dir=folder)
    except tfds.core.DatasetNotFoundError:
        known = tfds.list_builders(with_community_datasets=False)
        raise unknown_name("TFDS data set", name, {*OWN_BUILDERS, *known}) from None
    except Exception as error:
        # TFDS raises ValueError for an unknown configuration, and importing a builder any error.
        with contextlib.suppress(tfds.core.DatasetNotFoundError):
            configs = tfds.builder_cls(name).builder_configs
            if config and config not in configs:
                kind = f"configuration of TFDS's {name}"
                raise unknown_name(kind, config, configs) from None
        raise DataError(f"TFDS cannot load {name!r}: {_first_line(error)}") from None


def _prepare_own_builder(name: str) -> Any:
    """Returns a builder of this project; the first process to need it fills the cache."""
    import tensorflow_datasets as tfds

    importlib.import_module(OWN_BUILDERS[name])
    cache = cache_folder() / "tfds"
    builder = tfds.builder(name, data_dir=cache)
    if builder.data_path.exists():
        return builder
    # TFDS names its temporary folder by `random`, whose seed two jobs may share.
    private = cache / f".{name}.{secrets.token_hex(4)}"
    tfds.disable_progress_bar()
    try:
        drawn = tfds.builder(name, data_dir=private)
        with contextlib.redirect_stdout(io.StringIO()):
            drawn.download_and_prepare()
        builder.data_path.parent.mkdir(parents=True, exist_ok=True)
        # A second process finds the folder there already, with the same content.
        with contextlib.suppress(OSError):
            os.rename(drawn.data_path, builder.data_path)
        if not builder.data_path.exists():
            raise DataError(f"Cannot write {str(cache)!r}", mend="set ZOO_CACHE to another folder")
    except OSError as error:
        raise DataError(
            f"Cannot prepare {name!r} in {str(cache)!r}: {error.strerror or error}",
            mend="set ZOO_CACHE to another folder",
        ) from None
    finally:
        tfds.enable_progress_bar()
        shutil.rmtree(private, ignore_errors=True)
    return tfds.builder(name, data_dir=cache)


def _prepare(name: str, builder: Any) -> None:
    """Downloads and prepares a data set.

    Raises:
        DataError: That failed.
    """
    try:
        for url in builder.url_infos or {}:
            if url.startswith("gs://"):
                _check_reachable("https://storage.googleapis.com")
        # TFDS reports on standard output, which is for results.
        with (
            contextlib.redirect_stdout(sys.stderr),
            replaced_download(_build_open_url, max_retries=3),
        ):
            builder.download_and_prepare()
    except Exception as error:
        raise DataError(
            f"The data set {name!r} is not prepared in {str(builder.data_path.parent)!r}, and "
            f"preparing it failed: {_first_line(error)}",
            mend="prepare it where there is a network and set TFDS_DATA_DIR to its folder",
        ) from None


def _build_open_url(open_url: Callable[..., Any]) -> Callable[..., Any]:
    """Returns an `open_url` that fails at once without a network, not after 200 s of retries.

    The connection is tested when a download begins, not before: some builders download
    nothing, and some files are downloaded already.
    """

    def open_reachable_url(url: str, **kwargs: Any) -> Any:
        _check_reachable(url)
        timeout = {} if url.startswith("ftp") else {"timeout": (2 * CONNECT_S, 60)}
        return open_url(url, **kwargs, **timeout)

    return open_reachable_url


def _check_reachable(url: str) -> None:
    """Raises ConnectionError unless the server of a URL, or its proxy, accepts connections."""
    from requests.utils import get_environ_proxies, select_proxy

    server = urlsplit(select_proxy(url, get_environ_proxies(url)) or url)
    port = server.port or {"http": 80, "ftp": 21}.get(server.scheme, 443)
    reached = threading.Event()

    def connect() -> None:
        with (
            contextlib.suppress(OSError),
            socket.create_connection((server.hostname or "", port), CONNECT_S),
        ):
            reached.set()

    # In a thread, because resolving a host name has no timeout.
    attempt = threading.Thread(target=connect, daemon=True)
    attempt.start()
    attempt.join(2 * CONNECT_S)
    if not reached.is_set():
        raise ConnectionError(f"no connection to {server.hostname}")


def _find_features(name: str, builder: Any) -> tuple[str, str]:
    """Returns the names of the image and the label feature."""
    import tensorflow_datasets as tfds

    features = builder.info.features
    found = dict(features.items()) if isinstance(features, tfds.features.FeaturesDict) else {}
    images = [key for key, feature in found.items() if _is_image(feature)]
    labels = [key for key, f in found.items() if isinstance(f, tfds.features.ClassLabel)]
    keys = builder.info.supervised_keys
    if keys and len(keys) == 2 and keys[0] in images and keys[1] in labels:
        return keys[0], keys[1]
    if len(images) == 1 and (len(labels) == 1 or "label" in labels):
        return images[0], labels[0] if len(labels) == 1 else "label"
    raise DataError(
        f"The TFDS data set {name!r} does not consist of images with one label each",
        expected="an image of 8 or 16 bits and a ClassLabel",
        received=", ".join(f"{key} ({type(f).__name__})" for key, f in found.items())
        or type(features).__name__,
        mend="choose a data set for image classification",
    )


def _is_image(feature: Any) -> bool:
    import numpy as np
    import tensorflow_datasets as tfds

    if isinstance(feature, tfds.features.Image):
        return np.dtype(feature.np_dtype) in (np.uint8, np.uint16)
    return (
        isinstance(feature, tfds.features.Tensor)
        and np.dtype(feature.np_dtype) == np.uint8
        and len(feature.shape) == 3
        and feature.shape[-1] in (1, 3)
    )


def _build_formatter(feature: Any) -> Callable[[Any], str] | None:
    """Returns a function that formats values of a feature as a table would, if possible."""
    import numpy as np
    import tensorflow_datasets as tfds

    if isinstance(feature, tfds.features.ClassLabel):
        return lambda value: str(feature.int2str(int(value)))
    if isinstance(feature, tfds.features.Sequence):
        inner = feature.feature
        if isinstance(inner, tfds.features.ClassLabel):
            return lambda value: SEPARATOR.join(inner.int2str(int(v)) for v in value)
        return None
    if type(feature) in (tfds.features.Tensor, tfds.features.Scalar) and not feature.shape:
        kind = np.dtype(feature.np_dtype).kind
        return (lambda value: str(value.item())) if kind in "biuf" else None
    return None


def _read(name: str, builder: Any, columns: Sequence[str]) -> Listing:
    import numpy as np
    import tensorflow as tf
    import tensorflow_datasets as tfds

    image_key, label_key = _find_features(name, builder)
    features = builder.info.features
    is_encoded = isinstance(features[image_key], tfds.features.Image)
    # Without a decoder, other images of an example (such as a mask) are not decoded.
    encoded_keys = [key for key, f in features.items() if isinstance(f, tfds.features.Image)]
    decoders = {key: tfds.decode.SkipDecoding() for key in encoded_keys}
    others = {key: f for key, f in features.items() if key not in (image_key, label_key)}
    formatters = {key: _build_formatter(feature) for key, feature in others.items()}
    readable = {key: function for key, function in formatters.items() if function is not None}
    read = {key: readable[key] for key in columns if key in readable}
    splits: dict[str, Examples] = {}
    for official in builder.info.splits:
        split = SPLIT_NAMES.get(official)
        if split is None or split in splits:
            continue
        dataset = builder.as_dataset(split=official, decoders=decoders or None)
        encoded: list[bytes] = []
        labels: list[int] = []
        texts: dict[str, list[str]] = {key: [] for key in read}
        for example in dataset.as_numpy_iterator():
            image = example[image_key]
            encoded.append(image if is_encoded else tf.io.encode_png(image).numpy())
            labels.append(int(example[label_key]))
            for key, format_value in read.items():
                texts[key].append(format_value(example[key]))
        if encoded:
            splits[split] = Examples(
                names=tuple(f"{name}/{split}/{index:05d}" for index in range(len(encoded))),
                labels=np.array(labels, dtype=np.int64),
                encoded=tuple(encoded),
                columns={key: tuple(values) for key, values in texts.items()},
            )
    if "train" not in splits:
        raise DataError(
            f"The TFDS data set {name!r} has no split called train",
            received=", ".join(builder.info.splits) or "no split",
        )
    class_names = tuple(features[label_key].names)
    return Listing(class_names, splits, column_names=(LABEL, *readable))


def _first_line(error: BaseException) -> str:
    """Returns the first line of an error message, because those of TFDS fill pages."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300].rstrip(".")
