"""Benchmark of `zoo serve`: many clients at once, beside a plain loop of single predictions.

Photographs of the set `signs` at four sizes, as JPEG and PNG, every twentieth cut off. Both
sides predict the same files by the same run, one after the other in one process each:

    server        REQUESTS posts of a file to `/predict` over CONNECTIONS connections
    plain Keras   `load_img` and `predict` of the run's model.keras, a file a call
    loop          `run.predict(content)`, a file a call
    its network   the same without what each call of `predict` prepares and puts back
    the export    the same of what is served, if that is an export of the run

The loops are measured before and after the server, and their mean is reported. Every answer is
compared with that of `zoo predict` for what is served.

    zoo train signs --out runs/signs
    python -m benchmarks.serving --model runs/signs --out runs/serving
    zoo export runs/signs --to models/signs --format onnx
    python -m benchmarks.serving --model runs/signs --served models/signs --out runs/serving-onnx

Writes OUT/serving.json and OUT/serving.md.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from pipelines.serving.predict import predict
from pipelines.serving.prediction import Prediction
from pipelines.serving.predictor import Predictor, open_predictor
from pipelines.serving.run import Run
from pipelines.sources.config import DataConfig
from pipelines.sources.opening.dataset import open_source
from zoo.files import write_json, write_text

SIDES = (160, 320, 640, 1280)
"""Shorter sides of the photographs in pixels."""

NUM_FILES = 200
BROKEN_EVERY = 20
TOLERANCE = 1e-4
"""A batch rounds otherwise than an image alone."""

_ZOO = [sys.executable, "-c", "from pipelines.cli.main import main; main()"]


def make_files(count: int) -> list[bytes]:
    """Returns encoded photographs, of which some are cut off."""
    from PIL import Image

    examples = open_source("signs", DataConfig(), seed=0).splits["test"]
    files = []
    for index in range(count):
        image = Image.open(io.BytesIO(examples.read(index))).convert("RGB")
        scale = SIDES[index % len(SIDES)] / min(image.size)
        image = image.resize((round(scale * image.width), round(scale * image.height)))
        encoded = io.BytesIO()
        image.save(encoded, "PNG" if index % 8 == 0 else "JPEG", quality=90)
        content = encoded.getvalue()
        files.append(content[: len(content) // 2] if index % BROKEN_EVERY == 7 else content)
    return files


@contextmanager
def serve(model: Path) -> Iterator[int]:
    """Runs a server on a free port, and yields the port."""
    command = [*_ZOO, "serve", str(model), "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        if process.stderr is None:
            raise RuntimeError("the server has no standard error")
        for line in process.stderr:
            if found := re.search(r"http://127.0.0.1:(\d+)/", line):
                break
        else:
            raise RuntimeError("the server has not begun")
        yield int(found[1])
        process.send_signal(signal.SIGTERM)
        if process.wait(60):
            raise RuntimeError(f"the server ended with status {process.returncode}")
    finally:
        process.kill()
        process.wait()


def ask(
    port: int, files: Sequence[bytes], requests: int, connections: int
) -> tuple[float, list[tuple[int, float, int, Any]]]:
    """Posts files; returns the seconds, and place, seconds, status and answer of each request."""

    def ask_some(first: int) -> list[tuple[int, float, int, Any]]:
        answers = []
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=120)) as connection:
            for number in range(first, requests, connections):
                place, began = number % len(files), time.perf_counter()
                connection.request("POST", "/predict", files[place])
                response = connection.getresponse()
                body = response.read()
                seconds = time.perf_counter() - began
                answers.append((place, seconds, response.status, json.loads(body)))
        return answers

    began = time.perf_counter()
    with ThreadPoolExecutor(connections) as pool:
        found = [each for some in pool.map(ask_some, range(connections)) for each in some]
    return time.perf_counter() - began, found


def compare(answers: Sequence[tuple[int, float, int, Any]], expected: Sequence[Prediction]) -> int:
    """Returns how many requests have another answer than the loop has."""
    wrong = 0
    for place, _, status, found in answers:
        prediction = expected[place]
        if prediction.error:
            wrong += status != 422 or prediction.error not in found["error"]
            continue
        row: dict[str, Any] = found["predictions"][0] if status == 200 else {"classes": [None]}
        wrong += row["classes"][0] != prediction.label or not np.allclose(
            row["probabilities"], prediction.probabilities, atol=TOLERANCE
        )
    return wrong


def loop_of(predictor: Predictor) -> Callable[[bytes], Any]:
    """Returns a function that predicts a file."""
    return lambda content: predictor.predict(["image"], [content])


def keras_loop_of(run: Run) -> Callable[[bytes], Any]:
    """Returns a function that predicts a file as the guides of Keras do."""
    import keras

    model = keras.models.load_model(run.path / "model.keras")
    size = run.recipe.input.size

    def predict_file(content: bytes) -> None:
        with contextlib.suppress(OSError):  # cut off
            image = keras.utils.load_img(
                io.BytesIO(content), target_size=(size, size), keep_aspect_ratio=True
            )
            model.predict(keras.utils.img_to_array(image)[np.newaxis], verbose=0)

    return predict_file


def rate_of(function: Callable[[bytes], Any], files: Sequence[bytes]) -> float:
    """Returns the files a second of a function that takes one."""
    began = time.perf_counter()
    for content in files:
        function(content)
    return len(files) / (time.perf_counter() - began)


def table_of(found: dict[str, Any]) -> str:
    """Returns a Markdown table."""
    server, loops = found["server"], found["loops"]
    lines = ["| | images/s | p50, ms | p99, ms |", "|---|---:|---:|---:|"]
    title = f"`zoo serve`, {found['connections']} connections"
    lines.append(
        f"| {title} | {server['rate']:.0f} | {server['p50_ms']:.0f} | {server['p99_ms']:.0f} |"
    )
    lines += [f"| {name} | {np.mean(rates):.0f} | | |" for name, rates in loops.items()]
    return "\n".join(lines) + "\n"


def main(
    model: Annotated[Path, typer.Option(help="A run on `signs`.")],
    out: Annotated[Path, typer.Option(help="Folder of results.")],
    requests: Annotated[int, typer.Option(help="Number of requests.")] = 2000,
    connections: Annotated[int, typer.Option(help="Number of clients.")] = 32,
    served: Annotated[
        Path | None, typer.Option(help="An export of the run to serve; by default the run.")
    ] = None,
) -> None:
    """Measures, and writes the table."""
    files = make_files(NUM_FILES)
    run = Run.open(model)
    expected = predict(served or run, files)
    sides: dict[str, Callable[[bytes], Any]] = {
        "loop of plain Keras": keras_loop_of(run),
        "loop of `run.predict`": run.predict,
        "loop of its network": loop_of(open_predictor(run)),
    }
    if served:
        sides["loop of the export"] = loop_of(open_predictor(served))
    loops: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(2):
        for name, function in sides.items():
            function(files[0])
            loops[name].append(rate_of(function, files))
        if len(loops[name]) == 1:
            with serve(served or model) as port:
                ask(port, files, len(files), connections)  # warms up
                seconds, answers = ask(port, files, requests, connections)
    times = [1000 * each for _, each, _, _ in answers]
    found = {
        "requests": len(answers),
        "connections": connections,
        "other_answers": compare(answers, expected),
        "broken": sum(bool(prediction.error) for prediction in expected),
        "server": {
            "rate": len(answers) / seconds,
            "p50_ms": float(np.percentile(times, 50)),
            "p99_ms": float(np.percentile(times, 99)),
        },
        "loops": loops,
    }
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "serving.json", found)
    write_text(out / "serving.md", table_of(found))
    print(table_of(found) + f"{found['other_answers']} of {len(answers)} answers are others")


if __name__ == "__main__":
    typer.run(main)
