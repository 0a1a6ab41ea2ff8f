"""Readers of what jobs write for later ones: the records of runs and searches, and ledgers.

Run as `python -m tests.support.fuzzing_records [NAME…]`.
"""

from __future__ import annotations

import io
import json
import os
import platform
import random
import sys
import zlib
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from pipelines.features.engines.catalog import ENGINES
from pipelines.features.engines.choice import _Refusals
from pipelines.features.engines.race import _Choices
from pipelines.inspection.report.diagrams import draw_learning_curves
from pipelines.recipe.recipe import Recipe
from pipelines.search.plan import SearchPlan
from pipelines.sources.columns import ByteStrings
from pipelines.sources.examining.examination import ImageScan
from pipelines.sources.examining.scan_table import ROW
from pipelines.sources.places.tables import read_place
from pipelines.sources.scanning import ledger
from pipelines.sources.scanning.hashed_images import HashedImages
from pipelines.sources.scanning.ledger import STAT, Ledger, hash_paths
from pipelines.sources.splitting.near_duplicates import find_near_duplicates
from pipelines.storage import claim
from pipelines.storage.checkpoint import Checkpoint
from pipelines.storage.model_file import load_unknown_scorer
from pipelines.storage.records import read_history, read_tasks
from pipelines.storage.run_folder import RunFolder
from pipelines.storage.trained_hashes import load_trained_hashes
from tests.support.fuzzing_loop import Reader, in_file, run
from tests.support.fuzzing_mutations import (
    mutate_bytes,
    mutate_json,
    mutate_zip,
    pack,
)
from tests.support.places import make_listing, write_place
from tuning.hyperparameters.choice import choose_best
from tuning.hyperparameters.default_space import HEAD_SPACE
from tuning.hyperparameters.search import Journal
from tuning.hyperparameters.trial import Result, Trial
from tuning.unknown_scores import UNKNOWN_METHODS
from zoo.models.unknown_file import save_scorer
from zoo.weights import download


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
        in_file("labels.json", read_tasks),
    )


def metrics(folder: Path) -> Reader:
    measured = {
        "accuracy": 0.5, "loss": 1.0, "num_images": 4, "accuracy_interval": [0.1, 0.9],
        "tasks": {"color": {"accuracy": 1.0, "num_images": 4}},
    }  # fmt: skip
    record = {
        "train": measured, "val": measured, "timing": {"wall_s": 1.0}, "device": "CPU",
        "images": {"train": 4, "val": 4}, "head": {"zeros": 0.5},
        "decision": {"tasks": {
            "color": {"method": "adaptive", "threshold": 0.5, "error_rate": 0.1, "num_images": 9},
            "tags": {"method": "f1", "thresholds": {"a": 0.2, "b": 0.7}, "num_images": 9},
        }},
    }  # fmt: skip
    kinds = {"color": "single_label", "tags": "multi_label"}
    named = [
        {"name": name, "kind": kind, "class_names": ["a", "b"]} for name, kind in kinds.items()
    ]
    rows = np.array([[0.3, 0.7]], np.float32)
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
        (own / "labels.json").write_text(json.dumps(named))
        opened = RunFolder(own)
        # What is accepted can be computed with.
        assert all(rule.members(rows).shape == (1, 2) for rule in opened.decision_rules.values())
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


def history(folder: Path) -> Reader:
    """history.csv, and the curves that a report draws of it."""
    rows = [f"{n},head,{1 / n},{1 - 1 / n},{2 / n if n > 1 else ''},0.001" for n in range(1, 9)]
    sample = "\n".join(["epoch,phase,loss,accuracy,val_loss,learning_rate", *rows]).encode()

    def read(content: bytes, own: Path) -> None:
        (own / "history.csv").write_bytes(content)
        draw_learning_curves(read_history(own / "history.csv"))

    return Reader("history.csv", [sample], lambda rng: mutate_bytes(sample, rng), read)


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

    return Reader("checkpoint", [sample], mutate, in_file("last.npz", Checkpoint.load))


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
        in_file("journal.json", read),
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


def kept(folder: Path) -> Reader:
    """What jobs keep for later ones in the cache and beside a run; damaged, it counts as absent."""
    race = {"keras+onnxruntime": {"engine": "keras", "num_images": 100, "tried_all": True}}
    rows = [ENGINES["keras"], ENGINES["onnxruntime"]]
    facts: Any = SimpleNamespace(vector_instructions=("avx2",))
    refusals = {_Refusals(folder / "none", rows[1], facts).key: "differs by 3 %"}
    holder = {"host": platform.node(), "pid": os.getpid(), "since": "2026-01-01 00:00:00+00:00"}
    version = {"url": "http://a/b", "etag": '"1f"'}
    samples = (race, refusals, holder, version)

    def mutate(rng: random.Random) -> bytes:
        return mutate_json(rng.choice(samples), rng)

    def read(content: bytes, own: Path) -> None:
        file = own / "kept.json"
        file.write_bytes(content)
        choices = _Choices(file, rows)
        name, tried_all = choices.read()
        refusal = _Refusals(file, rows[1], facts).read()
        etag = download._etag(own / "kept", "http://a/b")
        if name not in ("", "keras", "onnxruntime") or not isinstance(tried_all, bool):
            raise AssertionError(f"an engine {name!r}")
        if not isinstance(choices.num_images, int) or not isinstance(refusal, str | None):
            raise AssertionError(f"{choices.num_images!r} images, {refusal!r}")
        if any(character in etag for character in "\r\n\0"):
            raise AssertionError(f"a header {etag!r}")
        claim._describe_holder(content[:1000])
        claim._holder_lives(content[:1000])

    return Reader("kept records", [json.dumps(s).encode() for s in samples], mutate, read)


def unknown(folder: Path) -> Reader:
    rng = np.random.default_rng(0)
    rows = rng.uniform(size=(12, 3)).astype(np.float32)
    samples = []
    for method in UNKNOWN_METHODS.values():
        save_scorer(folder / "unknown.npz", method.fit(rows, np.arange(12) % 2))
        samples.append((folder / "unknown.npz").read_bytes())

    def array(rng: random.Random) -> bytes:
        shape = [rng.choice((0, 1, 3, 3, 12)) for _ in range(rng.randrange(4))]
        value, kind = rng.choice((1.0, 0.0, -1.0, 1e30, np.nan)), rng.choice("fdi")
        text = io.BytesIO()
        with np.errstate(all="ignore"):
            np.save(text, np.full(shape, value).astype(kind))
        return text.getvalue()

    def mutate(rng: random.Random) -> bytes:
        if rng.random() < 0.5:
            return mutate_zip(rng.choice(samples), rng)
        names = ("bank", "center", "whitening", "means", "threshold", "num_neighbors", "other")
        return pack({f"{name}.npy": array(rng) for name in names if rng.random() < 0.6})

    def read(content: bytes, own: Path) -> None:
        (own / "unknown.npz").write_bytes(content)
        scorer = load_unknown_scorer(own / "unknown.npz", 3)
        # What is accepted can be computed with.
        assert scorer.scores(rows).shape == (12,)

    return Reader("unknown.npz", samples, mutate, read)


def place(folder: Path) -> Reader:
    """features.json and manifest.parquet of a place, as DATA."""
    names = [f"{number}.jpg" for number in range(6)]
    scans = [ImageScan(n, "JPEG", 9, 9, sha256=f"{i + 1:064x}") for i, n in enumerate(names)]
    write_place(str(folder / "place"), make_listing(names, 4), scans, 3)
    manifest = (folder / "place" / "manifest.parquet").read_bytes()
    record = json.loads((folder / "place" / "features.json").read_bytes())
    mark = b"\n---\n"

    def mutate(rng: random.Random) -> bytes:
        if rng.random() < 0.3:
            return mutate_json(record, rng) + mark + manifest
        return json.dumps(record).encode() + mark + mutate_bytes(manifest, rng)

    def read(content: bytes, own: Path) -> None:
        told, _, table = content.partition(mark)
        (own / "features.json").write_bytes(told)
        (own / "manifest.parquet").write_bytes(table)
        for examples in read_place(str(own), ["age"]).splits.values():
            assert len(examples.take([0]).names[0])

    return Reader("place", [json.dumps(record).encode() + mark + manifest], mutate, read)


def hashes(folder: Path) -> Reader:
    file = folder / "hashes.npz"
    rows = np.random.default_rng(0).integers(0, 2**63, (3, 12, 3)).astype(np.uint64)
    HashedImages.of(np.zeros((3, 32), np.uint8), rows).save(file)
    sample = file.read_bytes()

    def array(rng: random.Random) -> bytes:
        shape = [rng.choice((0, 3, 3, 12, 32)) for _ in range(rng.randrange(4))]
        text = io.BytesIO()
        np.save(text, np.zeros(shape, rng.choice((np.uint8, np.uint64, np.float32))))
        return text.getvalue()

    def mutate(rng: random.Random) -> bytes:
        if rng.random() < 0.5:
            return mutate_zip(sample, rng)
        names = ("digests", "hashes", "other")
        return pack({f"{name}.npy": array(rng) for name in names if rng.random() < 0.8})

    def read(content: bytes, own: Path) -> None:
        (own / "hashes.npz").write_bytes(content)
        found = load_trained_hashes(own / "hashes.npz")
        # What is accepted can be compared.
        assert found is not None
        assert find_near_duplicates(found.hashes).shape[1] == 2

    return Reader("hashes.npz", [sample], mutate, read)


READERS = (
    labels, metrics, lists, history, checkpoint, unknown, journal, plan, ledger_file, kept, hashes,
    place,
)  # fmt: skip


if __name__ == "__main__":
    run(READERS, sys.argv[1:])
