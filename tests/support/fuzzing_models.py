"""Readers of models and their weights, which may be a stranger's; none needs TensorFlow.

Run as `python -m tests.support.fuzzing_models [NAME…]`.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from pipelines.storage.exported_tasks import check_outputs, read_exported_tasks
from tests.support.fuzzing_loop import Reader, in_file, run
from tests.support.fuzzing_mutations import (
    mutate_bytes,
    mutate_json,
    mutate_zip,
    pack,
)
from tests.support.key_pairs import write_pair
from zoo.errors import RunError, ZooError
from zoo.export.model_files import SEAL_FILE, SIGNATURE_FILE
from zoo.export.seal import check_seal, seal
from zoo.export.signature import check_signature, open_signer
from zoo.models.keras_file import check_keras_file
from zoo.preprocessing import Preprocessing
from zoo.weights import hdf5, hdf5_probe
from zoo.weights.archive import Card, read_archive, write_archive


def weights(folder: Path) -> Reader:
    card = Card(
        backbone="micro_resnet_s", class_names=("ant", "bee"), preprocessing=Preprocessing(size=32),
        data="ants", split="val", num_images=3, accuracy=0.5,
    )  # fmt: skip
    arrays = {"conv/kernel": np.ones((3, 3, 3, 8), np.float32), "conv/bias": np.ones(8, np.float32)}
    write_archive(card, arrays, folder / "net.npz")
    sample = (folder / "net.npz").read_bytes()
    values = json.loads(card.model_dump_json())

    def mutate(rng: random.Random) -> bytes:
        if rng.random() < 0.6:
            return mutate_zip(sample, rng)
        text = io.BytesIO()
        np.save(text, np.frombuffer(mutate_json(values, rng), np.uint8))
        return pack({"card.npy": text.getvalue()})

    return Reader(".npz weights", [sample], mutate, in_file("net.npz", read_archive))


def _files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


def savedmodel(folder: Path) -> Reader:
    """A sealed and signed SavedModel, of which a file is changed, added, removed or renamed.

    Every change has to be refused before TensorFlow opens anything: what counts as read is
    what is as it was.
    """
    model = folder / "model" / "1"
    parts = ("saved_model.pb", "variables/variables.index", "assets/labels.txt")
    for name in parts:
        (model / name).parent.mkdir(parents=True, exist_ok=True)
        (model / name).write_bytes(name.encode() * 9)
    os.environ["ZOO_KEY"] = str(folder / "key")
    private, public = write_pair(folder, "sign")
    open_signer(private)(model, "model/1")
    seal(model)
    files = _files_of(model)
    sample = pack(files)

    def mutate(rng: random.Random) -> bytes:
        changed = dict(files)
        # The seal and the signature are half of what is hit.
        name = rng.choice((*files, SEAL_FILE, SIGNATURE_FILE))
        kind = rng.randrange(8)
        if kind == 0:
            del changed[name]
        elif kind == 1:
            changed[mutate_bytes(name.encode(), rng).decode("latin-1")[:200]] = changed.pop(name)
        elif kind == 2:
            other = rng.choice(("saved_model.pbtxt", "assets.extra/x", ".git/x", "variables/y"))
            changed[other] = b"added"
        elif name in (SEAL_FILE, SIGNATURE_FILE) and kind < 7:
            changed[name] = mutate_json(json.loads(files[name]), rng)
        else:
            changed[name] = mutate_bytes(changed[name], rng)
        return pack(changed)

    def read(content: bytes, own: Path) -> None:
        root = own / "model"
        shutil.rmtree(root, ignore_errors=True)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in archive.namelist():
                target = (root / "1" / name.replace("\0", "")).resolve()
                if target.is_relative_to(root / "1") and not target.is_dir():
                    with contextlib.suppress(OSError):
                        target.parent.mkdir(parents=True, exist_ok=True)
                        target.write_bytes(archive.read(name))
        found = _files_of(root / "1")
        refused = 0
        for check, left_out in (
            (check_seal, {SEAL_FILE}),
            (lambda folder: check_signature(folder, public), {SEAL_FILE, SIGNATURE_FILE}),
        ):
            same = all(
                found.get(name) == files.get(name)
                for name in (found.keys() | files.keys()) - left_out
            )
            try:
                check(root / "1")
            except ZooError as error:
                refused += 1
                last = error
            else:
                if not same:
                    raise AssertionError("a changed model is accepted")
        if refused == 2:
            raise last

    return Reader("SavedModel", [sample], mutate, read)


def seal_file(folder: Path) -> Reader:
    (folder / "saved_model.pb").write_bytes(b"graph")
    os.environ["ZOO_KEY"] = str(folder.with_name("key"))
    seal(folder)
    content = json.loads((folder / "seal.json").read_bytes())

    def read(content: bytes, _: Path) -> None:
        (folder / "seal.json").write_bytes(content)
        check_seal(folder)

    return Reader(
        "seal", [json.dumps(content).encode()], lambda rng: mutate_json(content, rng), read
    )


def assets(folder: Path) -> Reader:
    """What describes an exported model's classes; a stranger's, where it is trusted."""
    tasks = [
        {"name": "color", "kind": "single_label", "class_names": ["red", "blue"]},
        {"name": "angle", "kind": "regression", "class_names": [], "mean": 1.5, "std": 2.0},
    ]
    labels = "ant\nbee\né\u2028犬\n".encode()

    def mutate(rng: random.Random) -> bytes:
        if rng.random() < 0.3:
            return b"labels.txt " + mutate_bytes(labels, rng)
        return b"tasks.json " + mutate_json(tasks, rng)

    def read(content: bytes, own: Path) -> None:
        name, _, text = content.partition(b" ")
        (own / name.decode()).write_bytes(text)
        told = read_exported_tasks(own / name.decode())
        check_outputs(own, told, {})

    def read_both(content: bytes, own: Path) -> None:
        try:
            read(content, own)
        except RunError as error:
            # The reader is content with what fits no output.
            if "does not fit its model" not in str(error):
                raise

    samples = [b"labels.txt " + labels, b"tasks.json " + json.dumps(tasks).encode()]
    return Reader("labels.txt and tasks.json", samples, mutate, read_both)


def _weight_file() -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name in ("dense", "dense_1"):
            group = file.create_group(f"layers/{name}/vars")
            group["0"], group["1"] = np.ones((4, 3), np.float32), np.ones(3, np.float32)
            group.parent.attrs["name"] = name
        file.attrs["layer_names"] = [b"dense", b"dense_1"]
    return buffer.getvalue()


def _fork_probe(path: Path, member: str, group: str) -> dict[str, Any]:
    """Examines a file in a forked process: thousands of new ones would take an hour."""
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        os.write(theirs, json.dumps(hdf5_probe.examine(str(path), member, group)).encode())
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as answer:
        found = answer.read()
    _, status = os.waitpid(child, 0)
    return json.loads(found) if not status else {"damaged": f"a crash, status {status}"}


def weight_file(folder: Path) -> Reader:
    sample = _weight_file()

    def mutate(rng: random.Random) -> bytes:
        # HDF5 is full of zeros: hit what is none.
        if rng.random() < 0.5:
            return mutate_bytes(sample, rng)
        content = bytearray(sample)
        used = [place for place, byte in enumerate(sample) if byte]
        for _ in range(rng.choice((1, 2, 5))):
            content[rng.choice(used)] = rng.randrange(256)
        return bytes(content)

    return Reader(
        "HDF5 weights", [sample], mutate, in_file("net.weights.h5", hdf5.check_weight_file)
    )


def model_file(folder: Path) -> Reader:
    def described(module: str, kind: str, **config: Any) -> dict[str, Any]:
        return {"module": module, "class_name": kind, "config": config, "registered_name": None}

    config = described(
        "keras",
        "Sequential",
        name="net",
        layers=[
            described("keras.layers", "InputLayer", batch_shape=[None, 4]),
            described(
                "keras.layers", "Dense", units=3, activation="relu",
                kernel_initializer=described("keras.initializers", "Zeros"),
            ),
        ],
    )  # fmt: skip
    parts = {
        "metadata.json": b"{}",
        "config.json": json.dumps(config).encode(),
        "model.weights.h5": _weight_file(),
    }
    sample = pack(parts)

    def mutate(rng: random.Random) -> bytes:
        if rng.random() < 0.5:
            return mutate_zip(sample, rng)
        return pack(parts | {"config.json": mutate_json(config, rng)})

    return Reader(".keras", [sample], mutate, in_file("model.keras", check_keras_file))


READERS = (weights, weight_file, model_file, savedmodel, seal_file, assets)


if __name__ == "__main__":
    hdf5._run_probe = _fork_probe
    run(READERS, sys.argv[1:])
