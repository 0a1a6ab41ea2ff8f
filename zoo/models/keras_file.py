"""Examination of a .keras file before Keras opens it.

Keras builds whatever classes a file names, and gives them whatever arguments it holds; some
of them run code that is in the file, or read other files. A model of this project is made of
layers that only compute. What is neither such a layer nor an array of numbers is refused.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zoo.errors import RunError, WeightsError
from zoo.reading import MAX_EXPANSION, parse_json
from zoo.weights.hdf5 import examine

_WEIGHTS = "model.weights.h5"
_MEMBERS = frozenset({"metadata.json", "config.json", _WEIGHTS})

MAX_CONFIG_BYTES = 64 * 2**20
"""Bytes of a model's description, at most; that of the largest network has 2 MB."""

_LAYERS = frozenset(
    [
        "Activation",
        "ActivityRegularization",
        "Add",
        "AlphaDropout",
        "Average",
        "AveragePooling2D",
        "BatchNormalization",
        "CenterCrop",
        "Concatenate",
        "Conv2D",
        "Conv2DTranspose",
        "Cropping1D",
        "Cropping2D",
        "Dense",
        "DepthwiseConv2D",
        "Dot",
        "Dropout",
        "ELU",
        "Flatten",
        "GaussianDropout",
        "GaussianNoise",
        "GlobalAveragePooling2D",
        "GlobalMaxPooling2D",
        "GroupNormalization",
        "Identity",
        "InputLayer",
        "LayerNormalization",
        "LeakyReLU",
        "MaxPooling2D",
        "Maximum",
        "Minimum",
        "Multiply",
        "Normalization",
        "PReLU",
        "Permute",
        "RMSNormalization",
        "ReLU",
        "Rescaling",
        "Reshape",
        "Resizing",
        "SeparableConv2D",
        "Softmax",
        "SpatialDropout2D",
        "Subtract",
        "UnitNormalization",
        "UpSampling2D",
        "ZeroPadding2D",
    ]
)
"""Layers of Keras that compute, and do nothing else."""

_INITIALIZERS = frozenset(
    [
        "Constant",
        "GlorotNormal",
        "GlorotUniform",
        "HeNormal",
        "HeUniform",
        "Identity",
        "LecunNormal",
        "LecunUniform",
        "Ones",
        "Orthogonal",
        "RandomNormal",
        "RandomUniform",
        "TruncatedNormal",
        "VarianceScaling",
        "Zeros",
    ]
)

_CLASSES = {
    None: frozenset({"__keras_tensor__"}),
    "keras": frozenset({"DTypePolicy", "Functional", "Model", "Sequential"}),
    "keras.layers": _LAYERS,
    "keras.initializers": _INITIALIZERS,
    "keras.regularizers": frozenset({"L1", "L2", "L1L2"}),
    "keras.constraints": frozenset({"MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm"}),
    "keras.src.models.functional": frozenset({"Functional"}),
    "keras.src.applications.convnext": frozenset({"LayerScale"}),
    "keras.src.applications.inception_resnet_v2": frozenset({"CustomScaleLayer"}),
    "keras.src.ops.numpy": frozenset({"Add", "Flip", "Multiply"}),
    "zoo.layers": frozenset({"RandomizedLeakyReLU", "StraightThroughStep", "TiedDense"}),
}
"""By module, the classes that models of this project have; Keras names both in its files."""

_KERASHUB = re.compile(r"keras_hub\.src\.models(\.\w+)+ (\w+(Backbone|VisionEncoder)) keras_hub>\2")
"""Module, class and registered name of a backbone of KerasHub, or of its half for images."""

_SIZES = frozenset({"units", "filters", "kernel_size", "depth_multiplier", "projection_dim"})
"""Settings of layers that make weights of this size, hence are dimensions of stored arrays."""


_CHECKED: set[tuple[int, ...]] = set()
"""Files that this process has checked: to start the guarded process takes a third of a second."""


def check_keras_file(path: Path) -> None:
    """Checks that a .keras file holds a model of this project's kind, without building it.

    Args:
        path: The file, from wherever.

    Raises:
        RunError: It is damaged, has other parts than Keras writes, is of layers that do more
            than compute, or of layers larger than its weights.
    """
    identity = _identity(path)
    if identity in _CHECKED:
        return
    config = _read_config(path)
    for described in _classes_in(config):
        name, module = described["class_name"], described.get("module")
        registered = described.get("registered_name")
        is_known = (
            isinstance(module, str | None)
            and isinstance(name, str)
            and name in _CLASSES.get(module, ())
            and registered in (None, name, f"zoo>{name}")
        )
        if not is_known and not _KERASHUB.fullmatch(f"{module} {name} {registered}"):
            raise _refuse(path, f"{name} of {module}, registered as {registered}")
    try:
        largest = examine(path, member=_WEIGHTS).largest
    except WeightsError as error:
        raise RunError(f"{path} cannot be loaded: {error}") from error
    for size in _sizes_in(config):
        if size > largest:
            raise _refuse(path, f"a layer of size {size:,} whose weights are not in the file")
    if identity:
        _CHECKED.add(identity)


def _identity(path: Path) -> tuple[int, ...] | None:
    """Returns what tells a file from any other, and from itself before a change; None if absent."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _read_config(path: Path) -> Any:
    """Returns the description of the model, after a check of the parts of the file.

    Raises:
        RunError: The file is damaged or has other parts.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            names = [member.filename for member in members]
            if len(names) != len(_MEMBERS) or set(names) != _MEMBERS:
                raise _refuse(path, f"the parts {', '.join(sorted(names)[:5])}")
            unfolded = sum(member.file_size for member in members)
            if unfolded > MAX_EXPANSION * path.stat().st_size:
                raise _refuse(path, f"{unfolded:,} bytes, compressed")
            if archive.getinfo("config.json").file_size > MAX_CONFIG_BYTES:
                raise _refuse(path, "a description of the model that is too large")
            return parse_json(archive.read("config.json"))
    # Depending on the damage: BadZipFile, zlib.error, EOFError, NotImplementedError,
    # RuntimeError (an encrypted member), UnicodeDecodeError, struct.error …
    except RunError:
        raise
    except Exception as error:
        raise RunError(
            f"{path} cannot be loaded",
            received=f"{type(error).__name__}: {str(error)[:120]}",
            mend="train the run again",
        ) from error


def _classes_in(value: Any) -> Iterator[dict[str, Any]]:
    """Yields every description of an object."""
    if isinstance(value, dict):
        if "class_name" in value:
            yield value
        for below in value.values():
            yield from _classes_in(below)
    elif isinstance(value, list):
        for below in value:
            yield from _classes_in(below)


def _sizes_in(value: Any) -> Iterator[float]:
    """Yields the sizes of layers."""
    if isinstance(value, dict):
        for key, below in value.items():
            if key in _SIZES:
                several = below if isinstance(below, list) else [below]
                yield from (size for size in several if isinstance(size, int | float))
            yield from _sizes_in(below)
    elif isinstance(value, list):
        for below in value:
            yield from _sizes_in(below)


def _refuse(path: Path, received: str) -> RunError:
    return RunError(
        f"{path} is no model that `zoo train` wrote",
        expected="layers of Keras and of this project that only compute, and their weights",
        received=received,
        mend="train the run again, or take it from somebody you trust",
    )
