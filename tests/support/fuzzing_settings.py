"""Readers of what users write: recipes, search spaces, settings, tables and folders.

Run as `python -m tests.support.fuzzing_settings [NAME…]`.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tomlkit

from pipelines.recipe.overrides import parse_overrides, read_settings
from pipelines.recipe.recipe import Recipe
from pipelines.recipe.run_recipe import read_run_recipe
from pipelines.search.plan import SearchPlan
from pipelines.sources.opening.dataset import open_source
from tests.support.fuzzing_loop import Reader, in_file, run
from tests.support.fuzzing_mutations import (
    mutate_bytes,
    mutate_value,
)
from tests.support.photographs import encode, photo
from tuning.hyperparameters.default_space import HEAD_SPACE


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
        in_file("recipe.toml", read),
    )


def space(folder: Path) -> Reader:
    settings = json.loads(json.dumps(HEAD_SPACE))
    base = Recipe()

    def read(file: Path) -> None:
        SearchPlan(space=read_settings(file)).build_space(base)

    sample = tomlkit.dumps(settings).encode()
    return Reader("space", [sample], _mutated_toml(settings), in_file("space.toml", read))


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


READERS = (recipe, space, assignment, policy, table, class_folders)


if __name__ == "__main__":
    run(READERS, sys.argv[1:])
