"""Model card: README.md beside an exported model, for whoever is handed its folder."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.storage.pretrained_network import PretrainedNetwork
from pipelines.storage.run_folder import RunFolder
from zoo.backbones.catalog import resolve
from zoo.errors import ZooError
from zoo.export.formats import Format
from zoo.files import sha256_of
from zoo.models.decision import set_output
from zoo.models.unknown import IS_UNKNOWN, UNKNOWN_SCORE
from zoo.reading import parse_json, read_text
from zoo.tasks import Task

_IMPORT = {
    "onnx": "import onnxruntime\n",
    "openvino": "import openvino\n",
    "litert": "from ai_edge_litert.interpreter import Interpreter\n",
}

_OPEN = {
    "onnx": """session = onnxruntime.InferenceSession("model.onnx")
names = [output.name for output in session.get_outputs()]
found = dict(zip(names, session.run(names, {"images": images})))""",
    "openvino": """options = {"INFERENCE_PRECISION_HINT": "f32"}
model = openvino.Core().compile_model("model.xml", "CPU", options)
answer = model([images])
found = {output.get_any_name(): answer[output] for output in model.outputs}""",
    "litert": """found = Interpreter("model.tflite").get_signature_runner()(images=images)""",
}
"""How the network is asked for its outputs by name, `found`, by format."""

_METRICS = ("accuracy", "macro_f1", "exact_match", "micro_f1", "mae", "rmse")


def format_model_card(
    model: RunFolder | PretrainedNetwork,
    row: Format,
    quantize: str,
    checked_on: str,
    folder: Path,
) -> str:
    """Formats the card of an export, as Markdown.

    Args:
        model: What is exported.
        row: The format.
        quantize: How it is quantized.
        checked_on: The images that the export was checked on, in words.
        folder: The version's folder, with all other files.
    """
    tasks = model.tasks
    parts = [
        "# Model card",
        _describe_tasks(tasks),
        "## Use it",
        _describe_use(model, row),
        "## How good it is",
        "\n\n".join([_describe_metrics(model), *describe_integers(folder)]),
        "## Intended use",
        _describe_intended_use(model),
        "## Where it comes from",
        _describe_origin(model, row, quantize, checked_on),
        "## Files",
        _list_files(folder),
    ]
    return "\n\n".join(parts) + "\n"


def _describe_tasks(tasks: Sequence[Task]) -> str:
    kinds = {
        "single_label": "one of {} classes",
        "multi_label": "any of {} labels",
        "regression": "a number",
    }
    described = [kinds[task.kind].format(len(task.class_names)) for task in tasks]
    if tasks[0].bare:
        return f"An image classifier: each image is {described[0]}, listed in `labels.txt`."
    listed = "\n".join(
        f"- `{task.name}`: {text}" for task, text in zip(tasks, described, strict=True)
    )
    return f"A network with several answers about an image, described in `tasks.json`:\n\n{listed}"


def _describe_use(model: RunFolder | PretrainedNetwork, row: Format) -> str:
    size, tasks = model.recipe.input.size, model.tasks
    any_size = f"any height and width, or {size} × {size} of `load_image`"
    takes = any_size if row.any_size else f"height and width {size}"
    first = tasks[0].output
    answer = f'print(found["{first}"][0])'
    if tasks[0].bare:
        answer = (
            'with open("labels.txt", encoding="utf-8") as file:\n'
            '    labels = file.read().split("\\n")\n'
            f'print(labels[found["{first}"][0].argmax()])'
        )
    imports = sorted(["import numpy as np\n", _IMPORT[row.name]], key=lambda line: line[:4])
    return f"""The input `images` is uint8 [B, H, W, 3], RGB, of {takes}.
`load_image.py` reads a file with NumPy and Pillow as the model was trained to see it; `model.json`
has its settings. The outputs are:

{_list_outputs(model)}

```python
import json

{"".join(imports)}from load_image import load_image

with open("model.json") as file:
    settings = json.load(file)["preprocessing"]
images = np.stack([load_image("new.jpg", **settings)])
{_OPEN[row.name]}
{answer}
```"""


def _list_outputs(model: RunFolder | PretrainedNetwork) -> str:
    lines = []
    run = model if isinstance(model, RunFolder) else None
    for task in model.tasks:
        shape = "[B]" if task.kind == "regression" else f"[B, {task.num_outputs}]"
        lines.append(f"- `{task.output}` float32 {shape}")
        if run and task.name in run.decision_rules:
            lines.append(f"- `{set_output(task)}` bool {shape}: what the image may be of")
    if run and run.unknown_scorer:
        lines.append(f"- `{UNKNOWN_SCORE}` float32 [B]: how far it is from the training images")
        lines.append(f"- `{IS_UNKNOWN}` bool [B]: whether it counts as none of the classes")
    return "\n".join(lines)


def _describe_metrics(model: RunFolder | PretrainedNetwork) -> str:
    if isinstance(model, PretrainedNetwork):
        return "Not measured at this export: see the card of the pretrained network."
    lines = ["| images of | number | metric | value |", "|---|---|---|---|"]
    for split, metrics in model.metrics.items():
        values: dict[str, Any] = dict(metrics)
        parts = values.get("tasks") or {"": values}
        for name, part in parts.items():
            for metric in _METRICS:
                if isinstance(part.get(metric), float):
                    named = f"{name} {metric}".strip()
                    count = model.images.get(split, "")
                    lines.append(f"| {split} | {count} | {named} | {_format(part, metric)} |")
    return "\n".join(lines)


def describe_integers(folder: Path) -> list[str]:
    """Returns what 8-bit integers cost, in sentences; nothing of an export without them.

    Args:
        folder: The version's folder.
    """
    described: dict[str, Any] = parse_json(read_text(folder / "model.json", max_bytes=2**20))
    sentences = []
    for task, values in described.get("accuracy", {}).items():
        low, high = values["drop_interval"]
        of = f" of {task}" if len(described["accuracy"]) > 1 else ""
        sentences.append(
            f"In 8-bit integers, the accuracy{of} is {values['int8']:.4f} against "
            f"{values['float32']:.4f} in single precision on the same images, "
            f"{values['drop_points']:.2f} points lower ({low:.2f} to {high:.2f}, 95 %)."
        )
    if layers := described.get("float_layers"):
        sentences.append(f"Layers left in floating point, to be as accurate: {', '.join(layers)}.")
    return sentences


def _format(part: dict[str, Any], metric: str) -> str:
    interval = part.get(f"{metric}_interval")
    text = f"{part[metric]:.4f}"
    return f"{text} ({interval[0]:.4f} to {interval[1]:.4f}, 95 %)" if interval else text


def _describe_intended_use(model: RunFolder | PretrainedNetwork) -> str:
    return (
        "Images like those it was trained on"
        + (f", {Path(model.recipe.source).name}" if isinstance(model, RunFolder) else "")
        + ". On others its\nanswers mean little, however sure they are: measure it on your own "
        "images before you rely on it,\nand do not let it decide alone where an error hurts."
    )


def _describe_origin(
    model: RunFolder | PretrainedNetwork, row: Format, quantize: str, checked_on: str
) -> str:
    source = model.path.name if isinstance(model, RunFolder) else model.name
    command = f"zoo export {shlex.quote(source)} --to … --format {row.name} --quantize {quantize}"
    return "\n".join(
        [
            f"- {_describe_backbone(model.recipe.backbone.name)}.",
            f"- Written by `{command}`.",
            f"- Before it counted, a fresh process predicted {checked_on}"
            + (", with that accuracy." if quantize == "int8" else " as the original does."),
        ]
    )


def _describe_backbone(name: str) -> str:
    try:
        backbone, weights = resolve(name)
    except ZooError:  # the file or the preset that training started from may be gone
        return f"Backbone: {Path(name).name}"
    if weights is None:
        return f"Backbone: {backbone.name}, trained from random weights"
    return (
        f"Backbone: {backbone.name}; the weights it started from are under {weights.license} and "
        f"were trained on {weights.data}"
    )


def _list_files(folder: Path) -> str:
    rows = ["| file | bytes | SHA-256 |", "|---|---|---|"]
    rows += [
        f"| `{file.name}` | {file.stat().st_size:,} | `{sha256_of(file)}` |"
        for file in sorted(folder.iterdir())
    ]
    return "\n".join(rows)
