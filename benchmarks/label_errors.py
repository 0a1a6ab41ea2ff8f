"""Benchmark of label errors: 5 % of the labels of a data set flipped, and found again.

    python benchmarks/label_errors.py photos/ signs/ --out runs/label_errors

Labels are flipped at random, or to the class that is likeliest beside the right one by a head that
has not seen the image; three draws of each. What is measured is the average precision of the
ranking by the audit's score, on the features of a backbone; beside it, on the same probabilities,
that of cleanlab's `get_label_quality_scores`, by its default and by normalized margin, where
cleanlab can be imported. It is no dependency of this project: its license is the AGPL. Labels
that were wrong before count as right. Writes OUT/label_errors.json and OUT/label_errors.md.
"""

from __future__ import annotations

import importlib
import importlib.util
import statistics
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer
from sklearn.metrics import average_precision_score

from pipelines.inspection.feature_audit import FeatureAudit
from pipelines.inspection.label_errors import NUM_FOLDS
from pipelines.inspection.next_images import LabeledRows
from pipelines.inspection.probe import Indices, predict_out_of_fold
from pipelines.runtime.isolation import isolated
from pipelines.sources.config import DataConfig
from pipelines.sources.opening.dataset import open_source
from pipelines.sources.source import Listing, join_examples
from tuning.confident_learning import score_labels
from tuning.folds import stratified_folds, stratified_subset
from zoo.files import write_json, write_text

FLIPPED = 0.05
DRAWS = 3
KINDS = ("at random", "to the next likely class")
RANKINGS = ("audit", "cleanlab", "cleanlab, normalized margin")


@isolated()
def read_features(data: str, backbone: str, most: int) -> LabeledRows:
    """Returns the features that the audit reads of at most so many images."""
    audit = FeatureAudit(data, backbone, None)
    source = open_source(data, DataConfig(), kept=audit.kept)
    examples = join_examples(list(source.splits.values()))
    if len(examples) > most:
        examples = examples.take(stratified_subset(examples.labels, most, 0))
    listing = Listing(source.class_names, {"all": examples}, tasks=source.tasks)
    audit.run(listing, (), labeled=True)
    if audit.known is None:
        raise ValueError(f"{data} has no classes")
    return audit.known


def predict(known: LabeledRows, labels: Indices) -> npt.NDArray[np.float32]:
    """Returns log-probabilities of each image by a head that was fitted without it."""
    folds = stratified_folds(labels, NUM_FOLDS, 0, known.groups)
    return predict_out_of_fold(known.rows, labels, folds, len(known.class_names))[1]


def flip(
    labels: Indices, log_probabilities: npt.NDArray[np.float32], kind: str, seed: int
) -> Indices:
    """Returns labels of which 5 % are wrong."""
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(labels), round(FLIPPED * len(labels)), replace=False)
    flipped, num_classes = labels.copy(), log_probabilities.shape[1]
    if kind == KINDS[0]:
        flipped[chosen] = (labels[chosen] + rng.integers(1, num_classes, len(chosen))) % num_classes
        return flipped
    others = log_probabilities.copy()
    others[np.arange(len(labels)), labels] = -np.inf
    flipped[chosen] = others[chosen].argmax(axis=1)
    return flipped


def rank(
    labels: Indices, log_probabilities: npt.NDArray[np.float32]
) -> dict[str, npt.NDArray[np.float64]]:
    """Returns scores by ranking, lower where a label is likelier to be wrong."""
    scores = {RANKINGS[0]: score_labels(labels, log_probabilities)}
    if importlib.util.find_spec("cleanlab"):
        quality = importlib.import_module("cleanlab.rank").get_label_quality_scores
        probabilities = np.exp(log_probabilities.astype(np.float64))
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        scores[RANKINGS[1]] = quality(labels, probabilities)
        scores[RANKINGS[2]] = quality(labels, probabilities, method="normalized_margin")
    return scores


def measure(data: str, backbone: str, most: int) -> dict[str, Any]:
    """Flips labels of a data set, and measures how the rankings find them."""
    known = read_features(data, backbone, most)
    right = predict(known, known.labels)
    found: dict[str, dict[str, list[float]]] = {kind: {} for kind in KINDS}
    for kind in KINDS:
        for seed in range(DRAWS):
            labels = flip(known.labels, right, kind, seed)
            for name, scores in rank(labels, predict(known, labels)).items():
                precision = average_precision_score(labels != known.labels, -scores)
                found[kind].setdefault(name, []).append(float(precision))
    return {"data": data, "images": len(known.labels), "average_precision": found}


def format_table(rows: list[dict[str, Any]]) -> str:
    """Returns means over the draws as a Markdown table."""
    names = [name for name in RANKINGS if name in rows[0]["average_precision"][KINDS[0]]]
    head = [f"{kind}: {name}" for kind in KINDS for name in names]
    lines = ["| | " + " | ".join(head) + " |", "|---|" + "---:|" * len(head)]
    for row in rows:
        values = [row["average_precision"][kind][name] for kind in KINDS for name in names]
        cells = " | ".join(f"{statistics.mean(draws):.3f}" for draws in values)
        lines.append(f"| {row['data']}, {row['images']:,} images | {cells} |")
    return "\n".join(lines) + "\n"


def main(
    data: Annotated[list[str], typer.Argument(help="Data sets with classes.")],
    out: Annotated[Path, typer.Option(help="Folder of the results.")],
    backbone: Annotated[str, typer.Option(help="Its features.")] = "efficientnet_lite0.imagenet",
    most: Annotated[int, typer.Option(help="Images of each set, at most.")] = 5000,
) -> None:
    """Measures how well flipped labels are found."""
    rows = [measure(source, backbone, most) for source in data]
    write_json(out / "label_errors.json", rows)
    write_text(out / "label_errors.md", format_table(rows))
    print(format_table(rows), end="")


if __name__ == "__main__":
    typer.run(main)
