"""Benchmark of head search: wall time from the prompt to the best recipe, beside KerasTuner.

Hymenoptera photographs (244 training, 153 validation), a frozen SqueezeNet at 224 px,
trials of ten epochs, flipped and rotated images, the same search space and seed:

    this project    `zoo tune` in its own process with empty caches: extracts features,
                    trains the trials together, retrains, evaluates and reports the best
                    recipe
    warm            the same with the cached features of the first run; the table shows
                    the time beyond that of `python -c "import tensorflow"`
    peer            `search_peer.py` in its own process: the Keras transfer-learning guide
                    inside keras_tuner.RandomSearch, which ends with the best settings

at 5, 20 and 100 trials. The peer runs a few trials only; longer searches are extrapolated
from its mean time a trial, and the table marks them. The best validation accuracy is
taken over all trials of this project, and over as many as the peer ran.

    ZOO_WEIGHTS=FOLDER python benchmarks/search.py --hymenoptera PHOTOS --out runs/search

A finished measurement is not repeated. Writes OUT/search.json,
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
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import tomlkit
import typer

from tuning.hyperparameters.default_space import HEAD_SPACE
from zoo.files import placing_folder, replacing, write_json, write_text

ZOO = (sys.executable, "-c", "from pipelines.cli.main import main; main()")
PEER = (sys.executable, str(Path(__file__).with_name("search_peer.py")))
POLICY = "flip_lr(0.5)|rotate(36)"
"""The guide's two augmentation layers: RandomRotation(0.1) rotates by up to 36°."""


def run(command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> float:
    """Runs a command and returns its wall time in seconds, including its start.

    Args:
        command: The program and its arguments.
        log: The file for its output.
        environment: Environment variables to set.

    Raises:
        RuntimeError: The command failed.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        started = time.perf_counter()
        done = subprocess.run(
            command, env={**os.environ, **(environment or {})}, stdout=output, stderr=output
        )
        seconds = time.perf_counter() - started
    if done.returncode:
        tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise RuntimeError(f"{command[0]} failed with {done.returncode}; {log} ends:\n{tail}")
    return seconds


def tune(
    photos: Path, out: Path, cache: Path, *, backbone: str, size: int, trials: int, epochs: int
) -> dict[str, Any]:
    """Runs `zoo tune` once; returns its wall time and the scores of its trials, in order."""
    shutil.rmtree(out, ignore_errors=True)
    settings = {
        "input.size": size,
        "augment.policy": POLICY,
        "stopping.patience": 0,  # the peer does not stop trials early either
    }
    command = [*ZOO, "tune", str(photos), "--out", str(out), "--backbone", backbone]
    command += ["--trials", str(trials), "--epochs", str(epochs), "--tuner", "random"]
    # The peer trains heads by gradient steps, and scores them on the validation images.
    space = out.with_name(f"{out.name}-space.toml")
    write_text(space, format_space(HEAD_SPACE))
    command += ["--folds", "0", "--space", str(space)]
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


def format_space(space: Mapping[str, Any]) -> str:
    """Returns a search space as TOML in the order of its settings, which trials depend on."""
    document = tomlkit.document()
    for path, domain in space.items():
        # Tables of their own would come after all plain values.
        if isinstance(domain, Mapping):
            table = tomlkit.inline_table()
            table.update(domain)
            document.add(path, table)
        else:
            array = tomlkit.array()
            array.extend(domain)
            document.add(path, array)
    return tomlkit.dumps(document)


def measure_own(
    photos: Path, out: Path, *, backbone: str, size: int, trials: int, epochs: int
) -> dict[str, Any]:
    """Measures `zoo tune` with empty caches and with cached features, and TensorFlow's import.

    Returns:
        `cold` and `warm`, the results of `tune`, and `import_s`, the wall time of
        `python -c "import tensorflow"` in seconds.
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
    """Saves a backbone with its normalization as the Keras model that the peer loads."""
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
    """Measures the peer: its wall time, and the seconds and accuracy of each trial."""
    model, result = out / "backbone" / "backbone.keras", out / "result.json"
    if not model.exists():
        shutil.rmtree(model.parent, ignore_errors=True)
        write_backbone(backbone, size, model)
    command = [*PEER, str(photos), str(model), "--out", str(result)]
    command += ["--trials", str(trials), "--epochs", str(epochs)]
    seconds = run(command, out / "peer.log")
    return {"seconds": seconds, **json.loads(result.read_text(encoding="utf-8"))}


def load_or_measure(file: Path, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Returns the stored result of an earlier measurement, or measures and stores it."""
    if not file.exists():
        write_json(file, measure())
    result: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return result


def extrapolate_peer(peer: Mapping[str, Any], trials: int) -> float:
    """Returns the peer's seconds for a number of trials, extrapolated by its mean trial."""
    each = [trial["seconds"] for trial in peer["trials"]]
    return float(peer["seconds"] + (trials - len(each)) * statistics.mean(each))


def best(scores: Sequence[float | None]) -> float:
    """Returns the best score; a failed trial has None."""
    return max(score for score in scores if score is not None)


def compute_speedups(result: Mapping[str, Any], trials: int) -> list[float]:
    """Returns this project's speedup over the peer in each round."""
    rounds = result["own"][str(trials)]
    return [extrapolate_peer(result["peer"], trials) / each["cold"]["seconds"] for each in rounds]


def table(result: Mapping[str, Any]) -> str:
    """Returns Markdown: a table by number of trials, and an explanation of its figures."""
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
        ratios = compute_speedups(result, int(count))
        mark = "" if int(count) == ran else ", extrapolated"
        scores = rounds[0]["cold"]["scores"]
        lines.append(
            f"| {count} | {statistics.median(cold):.1f} ({min(cold):.1f} to {max(cold):.1f}) "
            f"| {statistics.median(warm):.1f} | {statistics.median(more):.1f} "
            f"| {extrapolate_peer(peer, int(count)):,.0f}{mark} "
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
    """Draws seconds against trials on logarithmic scales, and best accuracies so far."""
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
        [extrapolate_peer(peer, n) for n in reach],
        linestyle="--",
        color="#7d8894",
        label="Keras guide in KerasTuner, extrapolated",
    )
    left.plot([ran], [peer["seconds"]], "s", color="#7d8894", label=f"measured, {ran} trials")
    for count in counts:
        ratio = statistics.median(compute_speedups(result, count))
        place = (count, extrapolate_peer(peer, count))
        left.annotate(f"×{ratio:.0f}", place, (0, 5), textcoords="offset points", ha="center")
    left.set(
        xscale="log", yscale="log", xlabel="trials", ylabel="wall time from the prompt, seconds"
    )
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
        Path, typer.Option(help="Folder with train/ and val/, one folder for each class.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of runs and results.")] = Path("runs/search"),
    backbone: Annotated[str, typer.Option(help="The frozen backbone.")] = "squeezenet1_1.imagenet",
    size: Annotated[int, typer.Option(help="Height and width of an image, in pixels.")] = 224,
    counts: Annotated[
        str, typer.Option(help="Numbers of trials, separated by commas.")
    ] = "5,20,100",
    epochs: Annotated[int, typer.Option(help="Epochs of a trial.")] = 10,
    peer_trials: Annotated[int, typer.Option(help="Trials that the peer runs.")] = 3,
    rounds: Annotated[int, typer.Option(help="Number of rounds of this project.")] = 3,
) -> None:
    """Runs the measurements without results, and writes the table and the plot."""
    out.mkdir(parents=True, exist_ok=True)
    photos, out = hymenoptera.resolve(), out.resolve()
    common: dict[str, Any] = {"backbone": backbone, "size": size, "epochs": epochs}
    run([sys.executable, "-c", "import tensorflow"], out / "import.log")  # warms the disk cache
    own: dict[str, list[dict[str, Any]]] = {count: [] for count in counts.split(",")}
    for number in range(rounds):
        for count in own:
            folder = out / f"own-{count}-{number}"
            found = load_or_measure(
                folder.with_suffix(".json"),
                partial(measure_own, photos, folder, trials=int(count), **common),
            )
            own[count].append(found)
            print(
                f"{count} trials, round {number + 1}: {found['cold']['seconds']:.1f} s, features "
                f"there {found['warm']['seconds']:.1f} s, import {found['import_s']:.1f} s",
                flush=True,
            )
    peer = load_or_measure(
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
