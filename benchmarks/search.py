"""A search for a head, from the shell's prompt to the best recipe, beside KerasTuner.

Photographs (hymenoptera: 244 to train on, 153 to validate), a frozen SqueezeNet at
224 px, trials of ten epochs, mirrored and rotated images, the same space drawn with the
same seed:

    this project    `zoo tune`, in a process of its own, with empty caches: features are
                    extracted, trials trained together, the best recipe retrained,
                    measured and drawn
    warm            the same again, the features of the first run found in the cache;
                    what it takes more than `python -c "import tensorflow"`
    peer            `search_peer.py`, in a process of its own: the Keras transfer-learning
                    guide inside keras_tuner.RandomSearch, which ends with the best settings

for 5, 20 and 100 trials. Of the peer a few trials are really run; what more would have
taken is extrapolated from its mean time a trial, and the table says so. Best validation
accuracies are compared over all trials of this project, and over as many as the peer ran.

    ZOO_WEIGHTS=FOLDER python benchmarks/search.py --hymenoptera PHOTOS --out runs/search

What is measured is kept, run by run, and not measured again. Writes OUT/search.json,
OUT/search.md and OUT/search.png.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from zoo.files import placing_folder, replacing, write_json, write_text

ZOO = (sys.executable, "-c", "from pipelines.cli.main import main; main()")
PEER = (sys.executable, str(Path(__file__).with_name("search_peer.py")))
POLICY = "flip_lr(0.5)|rotate(36)"
"""What the guide's two layers do: RandomRotation(0.1) turns by a tenth of a circle."""


def run(command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> float:
    """Runs a command to its end; returns the seconds from its start, as a shell would see.

    Args:
        command: The program and its arguments.
        log: Where its output goes.
        environment: Variables to set.

    Raises:
        RuntimeError: It failed.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        started = time.perf_counter()
        done = subprocess.run(
            command, env={**os.environ, **(environment or {})}, stdout=output, stderr=output
        )
        seconds = time.perf_counter() - started
    if done.returncode:
        said = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise RuntimeError(f"{command[0]} failed with {done.returncode}; {log} ends:\n{said}")
    return seconds


def tune(
    photos: Path, out: Path, cache: Path, *, backbone: str, size: int, trials: int, epochs: int
) -> dict[str, Any]:
    """Runs `zoo tune` once; returns its seconds and the scores of its trials, in order."""
    shutil.rmtree(out, ignore_errors=True)
    settings = {
        "input.size": size,
        "augment.policy": POLICY,
        "stopping.patience": 0,  # the peer's trials are not cut short either
    }
    command = [*ZOO, "tune", str(photos), "--out", str(out), "--backbone", backbone]
    command += ["--trials", str(trials), "--epochs", str(epochs), "--tuner", "random"]
    for path, value in settings.items():
        command += ["--set", f"{path}={value}"]
    log = out.with_suffix(".log")
    seconds = run(command, log, {"ZOO_CACHE": str(cache)})
    search = json.loads((out / "search.json").read_text(encoding="utf-8"))
    in_order = sorted(search["trials"], key=lambda trial: int(trial["id"]))
    return {
        "seconds": seconds,
        "scores": [trial["score"] for trial in in_order],
        "timing": search["timing"],
    }


def measure_own(
    photos: Path, out: Path, *, backbone: str, size: int, trials: int, epochs: int
) -> dict[str, Any]:
    """Measures `zoo tune` with empty caches, again with the features there, and TensorFlow's start.

    Returns:
        `cold` and `warm` as `tune` returns them, and `import_s`, the seconds of
        `python -c "import tensorflow"`.
    """
    import_s = run([sys.executable, "-c", "import tensorflow"], out / "import.log")
    cache = out / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    common: dict[str, Any] = {
        "backbone": backbone,
        "size": size,
        "trials": trials,
        "epochs": epochs,
    }
    cold, warm = (tune(photos, out / name, cache, **common) for name in ("cold", "warm"))
    shutil.rmtree(cache)
    return {"import_s": import_s, "cold": cold, "warm": warm}


def write_backbone(name: str, size: int, file: Path) -> None:
    """Writes a backbone with its normalization as the model that the peer stands on."""
    script = (
        "import sys, keras; from zoo.models.classifier import build_features; "
        "keras.Model(*build_features(sys.argv[1], int(sys.argv[2]), frozen=True)).save(sys.argv[3])"
    )
    with placing_folder(file.parent) as folder:
        command = [sys.executable, "-c", script, name, str(size), str(folder / file.name)]
        run(command, folder / "backbone.log")


def measure_peer(
    photos: Path, out: Path, *, backbone: str, size: int, trials: int, epochs: int
) -> dict[str, Any]:
    """Measures the peer: its seconds in all, and of each trial its seconds and accuracy."""
    model, result = out / "backbone" / "backbone.keras", out / "result.json"
    if not model.exists():
        shutil.rmtree(model.parent, ignore_errors=True)
        write_backbone(backbone, size, model)
    command = [*PEER, str(photos), str(model), "--out", str(result)]
    command += ["--trials", str(trials), "--epochs", str(epochs)]
    seconds = run(command, out / "peer.log")
    return {"seconds": seconds, **json.loads(result.read_text(encoding="utf-8"))}


def kept(file: Path, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Returns what was measured before, or measures it and keeps it."""
    if not file.exists():
        write_json(file, measure())
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def peer_seconds(peer: Mapping[str, Any], trials: int) -> float:
    """Returns what a number of trials takes the peer: its start, and as often a mean trial."""
    each = [trial["seconds"] for trial in peer["trials"]]
    return peer["seconds"] + (trials - len(each)) * statistics.mean(each)


def best(scores: Sequence[float | None]) -> float:
    """Returns the best score of trials; those that failed have none."""
    return max(score for score in scores if score is not None)


def times(result: Mapping[str, Any], trials: int) -> list[float]:
    """Returns how many times as long as this project the peer takes, round by round."""
    rounds = result["own"][str(trials)]
    return [peer_seconds(result["peer"], trials) / each["cold"]["seconds"] for each in rounds]


def table(result: Mapping[str, Any]) -> str:
    """Returns the results as Markdown: a table by trials, and what the figures mean."""
    peer = result["peer"]
    each = [trial["seconds"] for trial in peer["trials"]]
    ran = len(each)
    peer_best = max(trial["accuracy"] for trial in peer["trials"])
    lines = [
        "| trials | this project, s | features there, s | more than importing TensorFlow, s "
        "| peer, s | times as fast | best accuracy | of the first "
        f"{ran} | peer's best of {ran} |",
        "|" + "---:|" * 9,
    ]
    for count, rounds in result["own"].items():
        cold = [one["cold"]["seconds"] for one in rounds]
        warm = [one["warm"]["seconds"] for one in rounds]
        more = [one["warm"]["seconds"] - one["import_s"] for one in rounds]
        ratios = times(result, int(count))
        said = "" if int(count) == ran else ", extrapolated"
        scores = rounds[0]["cold"]["scores"]
        lines.append(
            f"| {count} | {statistics.median(cold):.1f} ({min(cold):.1f} to {max(cold):.1f}) "
            f"| {statistics.median(warm):.1f} | {statistics.median(more):.1f} "
            f"| {peer_seconds(peer, int(count)):,.0f}{said} "
            f"| {statistics.median(ratios):.0f} ({min(ratios):.0f} to {max(ratios):.0f}) "
            f"| {best(scores):.4f} | {best(scores[:ran]):.4f} | {peer_best:.4f} |"
        )
    lines += [
        "",
        f"The peer really ran {ran} trials of {peer['epochs']} epochs, in {min(each):.1f} to "
        f"{max(each):.1f} s each and {peer['seconds'] - sum(each):.1f} s to start and end; its "
        "other times are extrapolated from their mean, and its best accuracy is that of the "
        f"{ran}. {result['backbone']} at {result['size']} px, {os.cpu_count()} processors, "
        f"median of {result['rounds']} rounds.",
    ]
    return "\n".join(lines) + "\n"


def plot(result: Mapping[str, Any], path: Path) -> None:
    """Draws seconds against trials, on logarithmic scales, and best accuracies so far."""
    import numpy as np
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    counts = [int(count) for count in result["own"]]
    peer, ran = result["peer"], len(result["peer"]["trials"])
    for name, color, words in (
        ("cold", "#0b6e4f", "this project, caches empty"),
        ("warm", "#7fb8a4", "this project, features there"),
    ):
        rounds = [[one[name]["seconds"] for one in result["own"][str(n)]] for n in counts]
        medians = [statistics.median(seconds) for seconds in rounds]
        left.plot(counts, medians, marker="o", color=color, label=words)
    reach = np.unique([ran, *counts])
    left.plot(
        reach,
        [peer_seconds(peer, n) for n in reach],
        linestyle="--",
        color="#7d8894",
        label="Keras guide in KerasTuner, extrapolated",
    )
    left.plot([ran], [peer["seconds"]], "s", color="#7d8894", label=f"measured, {ran} trials")
    for count in counts:
        ratio = statistics.median(times(result, count))
        place = (count, peer_seconds(peer, count))
        left.annotate(f"×{ratio:.0f}", place, (0, 5), textcoords="offset points", ha="center")
    left.set(xscale="log", yscale="log", xlabel="trials", ylabel="seconds, from the prompt")
    left.set_xticks(counts, [str(count) for count in counts])
    left.minorticks_off()
    left.margins(y=0.15)
    left.legend(frameon=False, fontsize=8)
    scores = [
        s if s is not None else 0.0 for s in result["own"][str(counts[-1])][0]["cold"]["scores"]
    ]
    right.step(
        range(1, len(scores) + 1),
        np.maximum.accumulate(scores),
        where="post",
        color="#0b6e4f",
        label="this project",
    )
    found = np.maximum.accumulate([trial["accuracy"] for trial in peer["trials"]])
    right.step(
        range(1, ran + 1), found, "s-", where="post", markersize=4, color="#7d8894", label="peer"
    )
    right.set(xscale="log", xlabel="trials", ylabel="best validation accuracy so far")
    right.set_xticks([1, *counts], ["1", *map(str, counts)])
    right.minorticks_off()
    right.legend(frameon=False, fontsize=8, loc="lower right")
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.3)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")


def main(
    hymenoptera: Annotated[
        Path, typer.Option(help="A folder with train/ and val/, a folder a class in each.")
    ],
    out: Annotated[Path, typer.Option(help="Where runs and results go.")] = Path("runs/search"),
    backbone: Annotated[str, typer.Option(help="The frozen one.")] = "squeezenet1_1.imagenet",
    size: Annotated[int, typer.Option(help="Height and width of an image, in pixels.")] = 224,
    counts: Annotated[str, typer.Option(help="Numbers of trials.")] = "5,20,100",
    epochs: Annotated[int, typer.Option(help="Epochs of a trial.")] = 10,
    peer_trials: Annotated[int, typer.Option(help="Trials that the peer really runs.")] = 3,
    rounds: Annotated[int, typer.Option(help="How often this project is measured.")] = 3,
) -> None:
    """Measures what is not there yet, and writes the table and the plot."""
    out.mkdir(parents=True, exist_ok=True)
    photos, out = hymenoptera.resolve(), out.resolve()
    common: dict[str, Any] = {"backbone": backbone, "size": size, "epochs": epochs}
    run([sys.executable, "-c", "import tensorflow"], out / "import.log")  # from the disk, once
    own: dict[str, list[dict[str, Any]]] = {count: [] for count in counts.split(",")}
    for number in range(rounds):
        for count in own:
            folder = out / f"own-{count}-{number}"
            found = kept(
                folder.with_suffix(".json"),
                lambda f=folder, n=count: measure_own(photos, f, trials=int(n), **common),
            )
            own[count].append(found)
            print(
                f"{count} trials, round {number + 1}: {found['cold']['seconds']:.1f} s, features "
                f"there {found['warm']['seconds']:.1f} s, import {found['import_s']:.1f} s",
                flush=True,
            )
    peer = kept(
        out / f"peer-{peer_trials}.json",
        lambda: measure_peer(photos, out / "peer", trials=peer_trials, **common),
    )
    result = {"own": own, "peer": peer, "rounds": rounds, "backbone": backbone, "size": size}
    write_json(out / "search.json", result)
    write_text(out / "search.md", table(result))
    plot(result, out / "search.png")
    print(table(result), end="")


if __name__ == "__main__":
    typer.run(main)
