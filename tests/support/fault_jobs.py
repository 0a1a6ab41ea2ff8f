"""Jobs whose file operations are made to fail, and what they leave on the disk."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.tiny import TINY
from zoo.files import is_temporary, remove_leftovers

SMALL: dict[str, Any] = {
    **TINY,
    "train": {"epochs": 2},
    "features": {"engine": "keras", "views": 1},
}


@dataclass(frozen=True)
class FaultJob:
    """A job that is run again and again in one folder.

    Args:
        run: Runs it, or goes on with it; takes the folder, and returns the exit status.
        needs_tensorflow: Whether its processes are forked from one that has imported it.
    """

    run: Callable[[Path], int]
    needs_tensorflow: bool = True


def _command(*arguments: str, settings: Mapping[str, Mapping[str, Any]]) -> Callable[[Path], int]:
    def run(base: Path) -> int:
        from pipelines.cli.main import run_command

        chosen = [f"--set={s}.{k}={json.dumps(v)}" for s, of in settings.items()
                  for k, v in of.items()]  # fmt: skip
        name, *rest = arguments
        command = [name, str(base.parent / "data"), "--out", str(base / "out"), "--resume"]
        return run_command([*command, *rest, *chosen])

    return run


def _write_run(base: Path) -> int:
    """Writes the files of a run of three epochs, or goes on after its checkpoint."""
    from types import SimpleNamespace

    from pipelines.recipe.recipe import Recipe
    from pipelines.storage.checkpoint import Checkpoint
    from pipelines.storage.run_folder import RunFolder
    from zoo.tasks import classification

    class Model:
        """A model that is written as Keras writes one: an archive, member by member."""

        def save(self, file: Path) -> None:
            with zipfile.ZipFile(file, "w") as archive:
                for name in ("config.json", "metadata.json"):
                    archive.writestr(name, "{}")

    recipe = Recipe.from_settings(TINY).for_source("signs").resolve()
    source: Any = SimpleNamespace(digest="abc", name="signs")
    with RunFolder.claim(base / "out", resume=True) as run:
        if run.finished:
            return 0
        checkpoint = run.load_checkpoint(source)
        history = list(checkpoint.history) if checkpoint else []
        run.begin(recipe, classification(["one", "two"]))
        run.save_digests({"train": ["a", "b"], "val": ["c"]})
        for epoch in range(len(history), 3):
            history.append({"epoch": epoch + 1, "loss": 1 / (epoch + 1)})
            run.save_history(history)
            current = [np.full(5000, epoch + 0.5)]
            run.save_checkpoint(Checkpoint(epoch, history, "abc", current=current))
        run.save_model(Model())
        matrix = {"one": {"one": 3}}
        run.save_metrics({"train": {"accuracy": 1.0, "num_images": 3, "confusion_matrix": matrix}})
    return 0


def _scan(base: Path) -> int:
    """Examines images, four at a time, and records what they are."""
    from pipelines.sources.opening.dataset import open_source
    from pipelines.sources.scanning import ledger
    from zoo.files import write_json

    # Files of a test are new, and few.
    ledger._UNSETTLED_NS, ledger._FLUSH_ENTRIES = -(10**11), 4
    source = open_source(str(base.parent / "data"))
    out = base / "out" / "digests.json"
    remove_leftovers(base / "out")
    if not out.exists():
        write_json(out, {n: list(part.digests) for n, part in source.splits.items()})
    return 0


def _extract(base: Path) -> int:
    """Computes features in shards of four images, and records them."""
    import keras

    from pipelines.augment.policies import AugmentConfig
    from pipelines.features import extraction
    from pipelines.features.config import FeatureConfig
    from pipelines.features.engines.network import build_feature_network
    from pipelines.runtime.isolation import isolated
    from pipelines.sources.opening.dataset import open_source
    from zoo.files import write_json
    from zoo.heads.head import HeadConfig
    from zoo.models.classifier import build_classifier
    from zoo.preprocessing import Preprocessing

    extraction._SHARD_IMAGES = 4
    with isolated():
        keras.utils.set_random_seed(0)
        classifier = build_classifier("micro_resnet_s", 3, size=32, head=HeadConfig(), frozen=True)
        extractor = extraction.Extractor(
            build_feature_network(classifier),
            Preprocessing(size=32),
            AugmentConfig(policy="flip_lr(0.5)"),
            seed=0,
            config=FeatureConfig(engine="keras"),
        )
        train = open_source(str(base.parent / "data")).train
        rows = extractor.extract(train, 1).read_views("concatenated")
    remove_leftovers(base / "out")
    write_json(base / "out" / "rows.json", hashlib.sha256(rows.tobytes()).hexdigest())
    return 0


def _export(base: Path) -> int:
    """Writes a small network as a SavedModel, without the check in a process of its own."""
    import keras

    from zoo.export.savedmodel import write_savedmodel
    from zoo.export.versions import next_version
    from zoo.files import placing_folder
    from zoo.preprocessing import Preprocessing
    from zoo.tasks import classification

    to = base / "out"
    if (to / "1").exists():
        return 0
    images = keras.Input((8, 8, 3))
    flat = keras.layers.Flatten()(images)
    kernel = keras.initializers.Constant(0.01)
    outputs = keras.layers.Dense(2, "softmax", kernel_initializer=kernel)(flat)
    with placing_folder(next_version(to)) as folder:
        write_savedmodel(keras.Model(images, outputs), Preprocessing(size=8),
                         classification(["one", "two"]), folder)  # fmt: skip
    return 0


JOBS: dict[str, FaultJob] = {
    "run folder": FaultJob(_write_run, needs_tensorflow=False),
    "ledger": FaultJob(_scan, needs_tensorflow=False),
    "features": FaultJob(_extract),
    "train": FaultJob(
        _command(
            "train",
            # On maps, since there are no more views than epochs.
            settings={**SMALL, "fine_tune": {"blocks": 1, "epochs": 2, "learning_rate": 0.01}},
        )
    ),
    "tune": FaultJob(
        _command("tune", "--trials", "3", "--epochs", "1", "--folds", "0", settings=SMALL)
    ),
    "pretrain": FaultJob(
        _command(
            "pretrain",
            "--method",
            "rbm",
            settings={"input": {"size": 16}, "train": {"epochs": 1}},
        )
    ),
    "export": FaultJob(_export),
}
"""Each writes `out` in a folder, and reads `data` beside the folder."""


def read_state(folder: Path) -> dict[str, str]:
    """Returns a digest of each file that is visible below a folder, by its path.

    Without what holds times: logs, the claim, the ledger, and seconds wherever they stand.

    Raises:
        ValueError: A file is half written.
    """
    state = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        hidden = any(is_temporary(part) for part in parts)
        if hidden or not path.is_file() or "logs" in parts or path.name == ".claim":
            continue
        try:
            state["/".join(parts)] = hashlib.sha256(_read(path)).hexdigest()
        except Exception as error:
            raise ValueError(f"{path} is half written: {error!r}") from error
    return state


def _read(path: Path) -> bytes:
    """Returns the content of a file without what differs from run to run."""
    content = path.read_bytes()
    if path.suffix == ".json":
        return json.dumps(_without_seconds(json.loads(content))).encode()
    if path.suffix == ".csv":
        rows = list(csv.DictReader(io.StringIO(content.decode())))
        return json.dumps(_without_seconds(rows)).encode()
    if path.suffix == ".npz":
        with np.load(path) as archive:
            arrays = {name: archive[name] for name in archive.files}
        texts = [arrays.pop(name) for name in ("state", "card") if name in arrays]
        values = [_without_seconds(json.loads(text.tobytes())) for text in texts]
        held = {name: (a.dtype.str, a.shape, a.tobytes().hex()) for name, a in arrays.items()}
        return json.dumps([values, held]).encode()
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            return b"".join(_read_member(archive, name) for name in archive.namelist())
    if path.name == "card.md":  # holds the hours, and the digest of a file that holds seconds
        return re.sub(rb"[\d.]+ hours|SHA-256 \w+|[\d,]+ bytes", b"", content)
    if path.name in ("saved_model.pb", "fingerprint.pb") or path.suffix == ".ledger":
        return b"" if content else b"empty"
    if not content:
        raise ValueError("no bytes")
    return content


def _read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    content = archive.read(name)
    if name == "metadata.json":  # holds the date
        return b""
    if name == "config.json":
        # Keras numbers objects by their places in memory, and input layers by how many there were.
        return re.sub(rb'"shared_object_id": \d+|input_layer(_\d+)?', b"", content)
    if not name.endswith(".h5"):
        return content
    import h5py

    arrays: list[bytes] = []
    with h5py.File(io.BytesIO(content)) as file:
        file.visititems(
            lambda path, item: (
                arrays.append(path.encode() + item[()].tobytes())
                if isinstance(item, h5py.Dataset)
                else None
            )
        )
    return b"".join(arrays)


def _without_seconds(value: Any) -> Any:
    """Returns a JSON value without the durations in it."""
    if isinstance(value, dict):
        return {
            key: _without_seconds(v)
            for key, v in value.items()
            if not key.endswith("_s") and key != "timing"
        }
    return [_without_seconds(v) for v in value] if isinstance(value, list) else value
