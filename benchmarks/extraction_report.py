"""Tables and plots of `benchmarks.extraction`: speedups, utilization, rates."""

from __future__ import annotations

import os
import statistics
from pathlib import Path
from typing import Any

import numpy as np

from zoo.files import replacing

BASELINE = "keras"
"""The engine that others are compared with: Keras' TensorFlow graph."""


def compute_speedups(results: dict[str, Any], engine: str, baseline: str = BASELINE) -> list[float]:
    """Returns an engine's speedup over a baseline in each round, from files to disk.

    Args:
        results: The result of `benchmarks.extraction.measure`.
        engine: The engine's name.
        baseline: Another engine's name, or `plain Keras`.
    """
    own = results["engines"][engine]["files to disk"]
    others = results.get(baseline) or results["engines"][baseline]["files to disk"]
    return [a / b for a, b in zip(own, others, strict=True)]


def compute_utilization(results: dict[str, Any], engine: str, part: str) -> float:
    """Returns an engine's median utilization: its FLOP/s as a fraction of sgemm's.

    Args:
        results: The result of `benchmarks.extraction.measure`.
        engine: The engine's name.
        part: `files to disk` or `alone`.
    """
    flops = 2 * results["multiply_adds"] / 1e9
    pairs = zip(results["engines"][engine][part], results["sgemm"], strict=True)
    return float(statistics.median(flops * rate / max(peak.values()) for rate, peak in pairs))


def table(results: dict[str, Any]) -> str:
    """Returns a Markdown table of medians, with the range of the speedups."""
    lines = [
        "| views/s | files to disk | × plain Keras | × engine keras | engine alone "
        "| reading alone | share of sgemm, to disk | share, alone |",
        "|---|" + "---:|" * 7,
    ]
    for backbone, result in results.items():
        reading = statistics.median(result["reading"])
        for engine, rates in result["engines"].items():
            speedups = [
                _range(compute_speedups(result, engine, baseline))
                for baseline in ("plain Keras", BASELINE)
            ]
            to_disk, alone = (statistics.median(rates[part]) for part in ("files to disk", "alone"))
            shares = [
                compute_utilization(result, engine, part) for part in ("files to disk", "alone")
            ]
            lines.append(
                f"| {backbone}, {engine} | {to_disk:.0f} "
                f"| {speedups[0]} | {speedups[1]} "
                f"| {alone:.0f} | {reading:.0f} | {shares[0]:.0%} | {shares[1]:.0%} |"
            )
    lines.append("")
    for backbone, result in results.items():
        peaks = {
            kernel: statistics.median(peak[kernel] for peak in result["sgemm"])
            for kernel in result["sgemm"][0]
        }
        rates_text = ", ".join(f"{rate:.0f} ({kernel})" for kernel, rate in peaks.items())
        lines.append(
            f"{backbone}: {result['images']} files, {result['views']} views each, "
            f"{result['multiply_adds'] / 1e6:.0f} million multiply-adds at {result['size']} px, "
            f"{result['processors']} processors, sgemm {rates_text} GFLOP/s, plain Keras "
            f"{statistics.median(result['plain Keras']):.0f} images/s.  "
        )
    return "\n".join(lines) + "\n"


def _range(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def plot(results: dict[str, Any], path: Path) -> None:
    """Draws views/s of each engine, from files to disk and alone, a panel for each backbone."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(results), 3.4), layout="constrained")
    axes = figure.subplots(1, len(results), squeeze=False)[0]
    for axis, (backbone, result) in zip(axes, results.items(), strict=True):
        names = list(result["engines"])
        positions = np.arange(len(names))
        for offset, part, color in ((-0.2, "files to disk", "#0b6e4f"), (0.2, "alone", "#b0b7bf")):
            rates = [statistics.median(result["engines"][name][part]) for name in names]
            bars = axis.bar(positions + offset, rates, 0.38, label=part, color=color)
            labels = [f"{rate:.0f}" for rate in rates]
            if part != "alone":
                medians = [
                    statistics.median(compute_speedups(result, name, "plain Keras"))
                    for name in names
                ]
                labels = [f"{label}\n×{x:.2f}" for label, x in zip(labels, medians, strict=True)]
            axis.bar_label(bars, labels, fontsize=8, padding=2)
        reading = statistics.median(result["reading"])
        axis.axhline(reading, color="#7d8894", linestyle=":", label="reading alone")
        axis.set(title=backbone, xticks=positions, xticklabels=names)
        axis.margins(y=0.2)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel(f"views a second, {os.cpu_count()} processors")
    axes[-1].legend(frameon=False, fontsize=8)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")
