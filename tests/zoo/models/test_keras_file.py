"""A .keras file from anywhere is examined before Keras opens it."""

from __future__ import annotations

import copy
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

import zoo.layers
from zoo.errors import RunError
from zoo.models.keras_file import check_keras_file

Parts = dict[str, bytes]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    """The parts of a small model of this project's layers."""
    file = tmp_path_factory.mktemp("model") / "model.keras"
    keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(3, kernel_regularizer=keras.regularizers.L2(0.1)),
            zoo.layers.RandomizedLeakyReLU(),
            zoo.layers.TiedDense(2),
        ]
    ).save(file)
    check_keras_file(file)
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _write(file: Path, parts: Parts, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file


Change = Callable[[dict[str, Any]], None]


def _described(module: str | None, name: str, registered: str | None = None) -> Change:
    """Returns a change that puts another class in place of the first dense layer."""

    def change(config: dict[str, Any]) -> None:
        layer = config["config"]["layers"][1]
        layer |= {"module": module, "class_name": name, "registered_name": registered}

    return change


def _set(key: str, value: Any) -> Change:
    def change(config: dict[str, Any]) -> None:
        config["config"]["layers"][1]["config"][key] = value

    return change


def _without_module(config: dict[str, Any]) -> None:
    del config["config"]["layers"][1]["module"]


_FUNCTION = {"module": "os", "class_name": "function", "config": "system", "registered_name": None}
_OPTIMIZER = {
    "optimizer": {"module": "keras.optimizers", "class_name": "Adam", "config": {}},
}


@pytest.mark.parametrize(
    ("change", "received"),
    [
        (_described("keras.layers", "Lambda"), "Lambda of keras.layers"),
        (_described("keras.layers", "TFSMLayer"), "TFSMLayer of keras.layers"),
        (_described("keras.layers", "TorchModuleWrapper"), "TorchModuleWrapper"),
        (_described("keras.layers", "StringLookup"), "StringLookup"),
        (_described("keras.utils", "get_file"), "get_file of keras.utils"),
        (_described("keras.src.saving", "load_model"), "load_model"),
        (_described("subprocess", "Popen"), "Popen of subprocess"),
        (_described("keras.layers", "Dense", "theirs>Dense"), "registered as theirs>Dense"),
        (_described("keras_hub.src.utils.x", "Backbone", "keras_hub>Backbone"), "keras_hub"),
        (_described(None, "__lambda__"), "__lambda__ of None"),
        (_described(None, "__typespec__"), "__typespec__"),
        (_described(["keras.layers"], "Dense"), "Dense of"),  # type: ignore[arg-type]
        (_without_module, "Dense of None"),
        (_set("activation", _FUNCTION), "function of os"),
        (_set("kernel_initializer", {"a": [{"class_name": "__lambda__"}]}), "__lambda__"),
        (_set("units", 10**12), "a layer of size 1,000,000,000,000"),
        (lambda config: config.update(compile_config=_OPTIMIZER), "Adam of keras.optimizers"),
    ],
)
def test_model_of_other_layers_is_refused(
    change: Change, received: str, parts: Parts, tmp_path: Path
) -> None:
    config = copy.deepcopy(json.loads(parts["config.json"]))
    change(config)
    changed = parts | {"config.json": json.dumps(config).encode()}
    with pytest.raises(RunError, match=rf"is no model that .* wrote; .*received .*{received}"):
        check_keras_file(_write(tmp_path / "model.keras", changed))


@pytest.mark.parametrize(
    ("change", "received"),
    [
        ({"assets/labels.txt": b"ant"}, "the parts assets/labels.txt, config.json"),
        ({"../../escape": b""}, "the parts"),
        ({"metadata.json": b"\0" * 30_000_000}, "bytes, compressed"),
        ({"config.json": b"{"}, "JSONDecodeError"),
        ({"config.json": b"[" * 10_000}, "nested more than"),
        ({"config.json": b"\xff"}, "UnicodeDecodeError"),
        ({"model.weights.h5": b"no HDF5"}, "file signature not found"),
    ],
)
def test_archive_of_other_parts_is_refused(
    change: Parts, received: str, parts: Parts, tmp_path: Path
) -> None:
    file = _write(tmp_path / "model.keras", parts | change, zipfile.ZIP_DEFLATED)
    with pytest.raises(RunError, match=rf"model\.keras .*received.*{received}"):
        check_keras_file(file)


def test_weights_that_lie_elsewhere_are_refused(parts: Parts, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as secret:
        secret["secret"] = np.float32([1, 2])
    content = io.BytesIO(parts["model.weights.h5"])
    with h5py.File(content, "a") as file:
        file["layers/extra"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "secret")
    changed = parts | {"model.weights.h5": content.getvalue()}
    with pytest.raises(RunError, match=r"received a ExternalLink at /layers"):
        check_keras_file(_write(tmp_path / "model.keras", changed))


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06" + b"\0" * 18, b"\x89HDF\r\n\x1a\n"])
def test_file_that_is_no_archive_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(content)
    with pytest.raises(RunError, match=r"model\.keras (cannot be loaded|is no model)"):
        check_keras_file(tmp_path / "model.keras")


def test_file_is_checked_again_only_after_a_change(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = _write(tmp_path / "model.keras", parts)
    check_keras_file(file)
    with monkeypatch.context() as patched:
        patched.setattr("zoo.models.keras_file._read_config", lambda path: pytest.fail("again"))
        check_keras_file(file)
    _write(file, parts | {"model.weights.h5": b"no HDF5"})
    with pytest.raises(RunError, match="file signature not found"):
        check_keras_file(file)
