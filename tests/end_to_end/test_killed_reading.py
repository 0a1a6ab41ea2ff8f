"""A job that is killed while it reads leaves what it found to the next one, which ends the same.

It is killed after some files were read, twice, and after some shards were written, twice: whatever
its other threads are doing then. `ZOO_ALL_FAULTS=1` kills it at twenty moments.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.photographs import encode, photo

NUM_IMAGES = 240
NUM_ROUNDS = 5 if os.environ.get("ZOO_ALL_FAULTS") else 1

JOB = """
import hashlib, json, os, signal, sys
import keras
import numpy as np
from pipelines.augment.policies import AugmentConfig
from pipelines.features import extraction
from pipelines.features.config import FeatureConfig
from pipelines.features.engines.network import build_feature_network
from pipelines.sources.scanning import ledger, scan
from pipelines.sources.opening.dataset import open_source
from zoo.heads.head import HeadConfig
from zoo.models.classifier import build_classifier
from zoo.preprocessing import Preprocessing
folder, most_reads, most_shards = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
# Many moments between two writes; files of a test count as old.
extraction._SHARD_IMAGES, ledger._FLUSH_ENTRIES, ledger._UNSETTLED_NS = 4, 8, -10**11
keras.utils.set_random_seed(0)
classifier = build_classifier("micro_resnet_s", 2, size=32, head=HeadConfig(), frozen=True)
config = FeatureConfig(engine="keras")
extractor = extraction.Extractor(
    build_feature_network(classifier), Preprocessing(size=32), AugmentConfig(),
    seed=0, config=config,
)
extractor.open_engine()
read, reads = scan._read, []
def count(*arguments):
    reads.append(0)
    if len(reads) == most_reads:
        os.kill(os.getpid(), signal.SIGKILL)
    return read(*arguments)
scan._read = count
write, writes = extractor._write, []
def count_shard(*arguments):
    write(*arguments)
    writes.append(0)
    if len(writes) == most_shards:
        os.kill(os.getpid(), signal.SIGKILL)
extractor._write = count_shard
source = open_source(folder)
rows = [extractor.extract(part, 0).read("concatenated") for part in source.splits.values()]
digest = hashlib.sha256(b"".join(part.tobytes() for part in rows)).hexdigest()
print(json.dumps([len(reads), extractor.num_computed, digest, source.digest]), flush=True)
os._exit(0)
"""


def _run(data: Path, cache: Path, *, reads: int = 0, shards: int = 0) -> list[Any]:
    """Runs the job, which is killed after so many reads or shards; 0 is never."""
    done = subprocess.run(
        [sys.executable, "-c", JOB, str(data), str(reads), str(shards)],
        env={**os.environ, "ZOO_CACHE": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    expected = -signal.SIGKILL if reads or shards else 0
    assert done.returncode == expected, done.stderr[-2000:]
    return json.loads(done.stdout) if done.stdout else []


@pytest.mark.slow
def test_job_killed_at_any_moment_ends_with_the_same_bits(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for index in range(NUM_IMAGES):
        file = data / f"class_{index % 2}" / f"{index:04d}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encode(photo(index, (320, 240))))
    num_reads, num_computed, *expected = _run(data, tmp_path / "whole")
    assert (num_reads, num_computed) == (NUM_IMAGES, NUM_IMAGES)
    for number in range(NUM_ROUNDS):
        cache = tmp_path / f"cache{number}"
        _run(data, cache, reads=20 + 25 * number)
        _run(data, cache, reads=60 + 5 * number)
        _run(data, cache, shards=3 + 4 * number)
        _run(data, cache, shards=5)
        num_reads, num_computed, *found = _run(data, cache)
        assert found == expected
        # What was written before a kill is not done again.
        assert num_reads < NUM_IMAGES
        assert num_computed <= NUM_IMAGES - 4 * (3 + 4 * number + 5)
