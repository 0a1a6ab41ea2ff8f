"""Readers of recipes, tables, records and weights; TensorFlow is not needed for any.

Run as `python -m tests.support.fuzzing_records [NAME…]`.
"""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tomlkit

from pipelines.recipe.overrides import parse_overrides, read_settings
from pipelines.recipe.recipe import Recipe
from pipelines.recipe.run_recipe import read_run_recipe
from pipelines.search.plan import SearchPlan
from pipelines.sources.columns import ByteStrings
from pipelines.sources.opening.dataset import open_source
from pipelines.sources.scanning import ledger
from pipelines.sources.scanning.ledger import STAT, Ledger, hash_paths
from pipelines.sources.scanning.scan_table import ROW
from pipelines.storage.checkpoint import Checkpoint
from pipelines.storage.records import read_tasks
from pipelines.storage.run_folder import RunFolder
from tests.support.fuzzing_loop import Reader, run
from tests.support.fuzzing_mutations import (
    mutate_bytes,
    mutate_json,
    mutate_value,
    mutate_zip,
    pack,
)
from tests.support.photographs import encode, photo
from tuning.hyperparameters.default_space import HEAD_SPACE
from tuning.hyperparameters.search import Journal
from tuning.hyperparameters.trial import Result, Trial, choose_best
from zoo.export.seal import check_seal, seal
from zoo.models.keras_file import check_keras_file
from zoo.preprocessing import Preprocessing
from zoo.weights import hdf5, hdf5_probe
from zoo.weights.archive import Card, read_archive, write_archive


def _in_file(name: str, read: Callable[[Path], Any]) -> Callable[[bytes, Path], Any]:
    """Returns a reader of bytes that reads them from a file."""

    def write_and_read(content: bytes, folder: Path) -> Any:
        (folder / name).write_bytes(content)
        return read(folder / name)

    return write_and_read


def _mutated_toml(settings: Any) -> Callable[[random.Random], bytes]:
    def mutate(rng: random.Random) -> bytes:
        if rng.random() < 0.6:
            changed = mutate_value(settings, rng)
            try:
                return tomlkit.dumps(changed).encode("utf-8", "surrogateescape")
            except Exception:  # what TOML has no words for
                changed = settings
            return mutate_bytes(tomlkit.dumps(changed).encode(), rng)
        return mutate_bytes(tomlkit.dumps(settings).encode(), rng)

    return mutate


def recipe(folder: Path) -> Reader:
    settings = Recipe.from_settings({"head": {"hidden": [8]}, "tasks": {}}).to_settings()

    def read(file: Path) -> None:
        read_run_recipe(file, finished=True)

    return Reader(
        "recipe",
        [tomlkit.dumps(settings).encode()],
        _mutated_toml(settings),
        _in_file("recipe.toml", read),
    )


def space(folder: Path) -> Reader:
    settings = json.loads(json.dumps(HEAD_SPACE))
    base = Recipe()

    def read(file: Path) -> None:
        SearchPlan(space=read_settings(file)).build_space(base)

    sample = tomlkit.dumps(settings).encode()
    return Reader("space", [sample], _mutated_toml(settings), _in_file("space.toml", read))


_ASSIGNMENTS = (
    b"head.dropout=0.3", b"backbone.name=resnet50", b'augment.policy="flip_lr(0.5)|rotate(15)"',
    b"head.hidden=[8, 16]", b"data.columns={path='file'}", b"penalty.name=none",
    b"tasks.angle={kind='regression'}", b"input.size=96", b"train.epochs = 3",
)  # fmt: skip


def assignment(folder: Path) -> Reader:
    def mutate(rng: random.Random) -> bytes:
        return mutate_bytes(rng.choice(_ASSIGNMENTS), rng)

    def read(content: bytes, folder: Path) -> None:
        Recipe.from_settings(parse_overrides([os.fsdecode(content)])).resolve()

    return Reader("--set", _ASSIGNMENTS, mutate, read)


_POLICIES = (
    b"flip_lr(0.5)|rotate(15)", b"photo", b"crop(0.5, p=1)|brightness(0.2)|erase(0.1)",
    b"flip_lr(0.5)|crop(0.6, aspect=1.2)", b"rotate(5.5)|mixup(0.2)", b"none",
)  # fmt: skip


def policy(folder: Path) -> Reader:
    def mutate(rng: random.Random) -> bytes:
        return mutate_bytes(rng.choice(_POLICIES), rng)

    def read(content: bytes, folder: Path) -> None:
        Recipe.from_settings({"augment": {"policy": os.fsdecode(content)}})

    return Reader("policy", _POLICIES, mutate, read)


def table(folder: Path) -> Reader:
    for index in range(4):
        (folder / f"{index}.jpg").write_bytes(encode(photo(index, (12, 10))))
    rows = [("0", "ant", "train"), ("1", "bee", "train"), ("2", "ant", "val"), ("3", "bee", "val")]
    lines = ["path,label,split", *(f"{name}.jpg,{label},{split}" for name, label, split in rows)]
    sample = "\n".join([*lines, ""]).encode()

    def read(content: bytes, _: Path) -> None:
        (folder / "table.csv").write_bytes(content)
        open_source(str(folder / "table.csv"))

    return Reader("CSV table", [sample], lambda rng: mutate_bytes(sample, rng), read)


def class_folders(folder: Path) -> Reader:
    for index in range(2):
        (folder / f"{index}.jpg").write_bytes(encode(photo(index, (12, 10))))
    samples = (b"ants/bees", b"train/val/test", b"dog/Dog/cat", "é/è/犬".encode(), b"1/2/10")

    def read(content: bytes, own: Path) -> None:
        root = os.fsencode(own / "data")
        try:
            for name in content.split(b"/"):
                name = name.replace(b"\0", b"")[:255]
                if name in (b"", b".", b"..") or os.path.exists(os.path.join(root, name)):
                    continue
                os.makedirs(os.path.join(root, name))
                for index in range(2):
                    target = os.path.join(root, name, b"%d.jpg" % index)
                    os.link(folder / f"{index}.jpg", target)
            open_source(str(own / "data"))
        finally:
            shutil.rmtree(root, ignore_errors=True)

    def mutate(rng: random.Random) -> bytes:
        content = mutate_bytes(rng.choice(samples), rng)
        return b"/".join(dict.fromkeys(content.split(b"/")[:20]))

    return Reader("class folders", samples, mutate, read)


def labels(folder: Path) -> Reader:
    tasks = [
        {"name": "color", "kind": "single_label", "class_names": ["red", "blue"]},
        {"name": "angle", "kind": "regression", "class_names": [], "mean": 1.5, "std": 2.0},
    ]

    def mutate(rng: random.Random) -> bytes:
        return mutate_json(rng.choice((["ant", "bee", "wasp"], tasks)), rng)

    return Reader(
        "labels.json",
        [b'["ant", "bee"]', json.dumps(tasks).encode()],
        mutate,
        _in_file("labels.json", read_tasks),
    )


def metrics(folder: Path) -> Reader:
    measured = {
        "accuracy": 0.5, "loss": 1.0, "num_images": 4, "accuracy_interval": [0.1, 0.9],
        "tasks": {"color": {"accuracy": 1.0, "num_images": 4}},
    }  # fmt: skip
    record = {
        "train": measured, "val": measured, "timing": {"wall_s": 1.0}, "device": "CPU",
        "images": {"train": 4, "val": 4}, "head": {"zeros": 0.5},
    }  # fmt: skip
    confusion = "split,task,true,predicted,images\n" + "".join(
        f"{split},{task},ant,bee,4\n" for split in ("train", "val") for task in ("", "color")
    )

    sample = json.dumps(record).encode() + b"\n---\n" + confusion.encode()

    def mutate(rng: random.Random) -> bytes:
        text, table = json.dumps(record).encode(), confusion.encode()
        if rng.random() < 0.8:
            text = mutate_json(record, rng)
        if rng.random() < 0.3:
            table = mutate_bytes(table, rng)
        return text + b"\n---\n" + table

    def read(content: bytes, own: Path) -> None:
        text, _, table = content.partition(b"\n---\n")
        (own / "metrics.json").write_bytes(text)
        (own / "confusion.csv").write_bytes(table)
        opened = RunFolder(own)
        for name in ("metrics", "timing", "device", "images", "head_weights"):
            getattr(opened, name)

    return Reader("metrics", [sample], mutate, read)


def lists(folder: Path) -> Reader:
    digests = {"train": ["00ff", "11ee"], "val": ["22dd"]}
    trials = [{"id": "0", "status": "done", "score": 0.5, "hyperparameters": {"a": 1}}]
    search = {"trials": trials, "best": {"a": 1}, "timing": {"wall_s": 3}}

    def read(content: bytes, own: Path) -> None:
        told, _, found = content.partition(b"\n---\n")
        (own / "images.json").write_bytes(told)
        (own / "search.json").write_bytes(found)
        RunFolder(own).digests("val")
        _ = RunFolder(own).search

    def mutate(rng: random.Random) -> bytes:
        if rng.random() < 0.5:
            return json.dumps(digests).encode() + b"\n---\n" + mutate_json(search, rng)
        return mutate_json(digests, rng) + b"\n---\n" + json.dumps(search).encode()

    sample = json.dumps(digests).encode() + b"\n---\n" + json.dumps(search).encode()
    return Reader("images and search", [sample], mutate, read)


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

    return Reader(".npz weights", [sample], mutate, _in_file("net.npz", read_archive))


def checkpoint(folder: Path) -> Reader:
    saved = Checkpoint(
        epoch=1,
        history=[{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.4}],
        data_digest="00ff",
        stopping={"best": 0.5},
        current=[np.ones((2, 3), np.float32)],
        named={"view/0": np.arange(4)},
    )
    saved.save(folder / "last.npz")
    sample = (folder / "last.npz").read_bytes()
    state = {
        name: value
        for name, value in asdict(saved).items()
        if name not in ("current", "best", "named")
    }

    def mutate(rng: random.Random) -> bytes:
        if rng.random() < 0.6:
            return mutate_zip(sample, rng)
        text = io.BytesIO()
        np.save(text, np.frombuffer(mutate_json(state, rng), np.uint8))
        return pack({"state.npy": text.getvalue()})

    return Reader("checkpoint", [sample], mutate, _in_file("last.npz", Checkpoint.load))


def journal(folder: Path) -> Reader:
    fingerprint = {"space": "00", "data": "11"}
    content = {
        "fingerprint": fingerprint,
        "search_s": 3.5,
        "results": {
            f"{i:02d}": asdict(Result(score=0.5, loss=0.1 * i, epochs=3, best_epoch=2))
            for i in range(4)
        },
    }

    def read(file: Path) -> None:
        opened = Journal(file, fingerprint)
        opened.renumber(100)
        trials = [(Trial(id, {}), result) for id, result in opened.results.items()]
        choose_best(trials, maximize=True, num_folds=5)

    return Reader(
        "journal",
        [json.dumps(content).encode()],
        lambda rng: mutate_json(content, rng),
        _in_file("journal.json", read),
    )


def plan(folder: Path) -> Reader:
    values = SearchPlan(folds=5, space=json.loads(json.dumps(HEAD_SPACE))).model_dump(mode="json")
    toml = Recipe().to_toml().encode()

    def read(content: bytes, own: Path) -> None:
        (own / "search").mkdir(exist_ok=True)
        (own / "search" / "plan.json").write_bytes(content)
        (own / "search" / "recipe.toml").write_bytes(toml)
        SearchPlan.load(own)

    return Reader("plan", [json.dumps(values).encode()], lambda rng: mutate_json(values, rng), read)


def ledger_file(folder: Path) -> Reader:
    made = Ledger(str(folder), "1")
    entries = np.random.default_rng(0)
    paths = hash_paths(ByteStrings.of(f"{i}".encode() for i in range(20)))
    stats = np.zeros(20, STAT)
    for name in STAT.names or ():
        stats[name] = entries.integers(0, 10**9, 20)
    rows = np.zeros(20, ROW)
    rows["problem"] = made.codes.code("cut off")
    made.add(paths, stats, rows, np.full(20, 10**15))
    made.flush()
    sample = made.path.read_bytes()
    start = sample.index(b"\n") + 1
    head = ledger._HEADER.size
    body, texts = sample[start + head :], json.dumps(["cut off"]).encode()
    body = body[: len(body) - len(texts)]

    def mutate(rng: random.Random) -> bytes:
        if rng.random() < 0.5:
            return mutate_bytes(sample, rng)
        # A block whose checksum fits.
        told = mutate_json(["", "cut off"], rng)
        content = (mutate_bytes(body, rng) if rng.random() < 0.5 else body) + told
        count = rng.choice((20, 20, 19, 21, 0, 2**31))
        packed = ledger._HEADER.pack(ledger._MAGIC, count, len(told), zlib.crc32(content))
        return sample[:start] + packed + content

    def read(content: bytes, _: Path) -> None:
        made.path.write_bytes(content)
        opened = Ledger(str(folder), "1")
        _, found = opened.find(paths, stats)
        [opened.codes.texts[code] for code in found["problem"]]
        rows["problem"] = opened.codes.code("cut off")
        opened.add(paths, stats, rows, np.full(20, 10**15))
        opened.flush()

    return Reader("ledger", [sample], mutate, read)


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
        "HDF5 weights", [sample], mutate, _in_file("net.weights.h5", hdf5.check_weight_file)
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

    return Reader(".keras", [sample], mutate, _in_file("model.keras", check_keras_file))


READERS = (
    recipe, space, assignment, policy, table, class_folders, labels, metrics, lists, weights,
    checkpoint, journal, plan, ledger_file, seal_file, weight_file, model_file,
)  # fmt: skip


def main(names: Sequence[str]) -> None:
    """Fuzzes the readers, or those named."""
    hdf5._run_probe = _fork_probe
    run(READERS, names)


if __name__ == "__main__":
    main(sys.argv[1:])
