"""Runs studies: measurements, verdict and figure, in a folder that can be resumed."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.runtime.isolation import isolated
from pipelines.runtime.log import logging_only
from pipelines.studies.catalog import STUDIES
from pipelines.studies.steps import Steps
from pipelines.studies.study import Check, Effort, Numbers, Study, Verdict, verdict_of
from zoo.files import replacing, write_json
from zoo.installed import installed_version

logger = logging.getLogger(__name__)

_LIBRARIES = ("transfer-zoo", "tensorflow", "keras", "numpy")


@dataclass(frozen=True)
class Finding:
    """What a study found.

    Args:
        study: The study.
        checks: The parts of its claim.
        verdict: What they say together.
        seconds: How long its measurements took, those of earlier runs included.
        folder: Where its numbers and its figure are.
    """

    study: Study
    checks: Sequence[Check]
    verdict: Verdict
    seconds: float
    folder: Path

    def to_json(self) -> dict[str, Any]:
        """Returns it as JSON values."""
        return {
            "study": self.study.name,
            "claim": self.study.summary,
            "source": self.study.source,
            "verdict": self.verdict.value,
            "checks": [asdict(check) for check in self.checks],
            "seconds": round(self.seconds, 1),
        }


@isolated()
def study(name: str, *, out: str | Path, seeds: int = 5, full: bool = False) -> Finding:
    """Reruns a claim of the lectures.

    What was measured already with the same seeds and versions is not measured again.

    Args:
        name: A row of STUDIES.
        out: The folder of all studies; OUT/NAME gets `numbers.json`, `figure.png` and the
            finished measurements.
        seeds: Repetitions, at least 2; the intervals come from them.
        full: Whether the long version runs.

    Raises:
        UnknownNameError: There is no such study.
        RunError: What an earlier run left is damaged.
    """
    row, effort = STUDIES[name], Effort(seeds=seeds, full=full)
    folder = Path(out) / name
    versions = {library: installed_version(library) for library in _LIBRARIES}
    fingerprint = repr((sorted(versions.items()), effort))
    steps = Steps(folder / "steps.json", fingerprint, lambda step: logger.info(f"{name}: {step}"))
    with logging_only("pipelines.studies"):  # its trainings are many
        numbers = row.measure(steps, effort)
    checks = row.judge(numbers)
    finding = Finding(row, checks, verdict_of(checks), steps.seconds, folder)
    write_json(
        folder / "numbers.json",
        {
            **finding.to_json(),
            "effort": asdict(effort),
            "versions": versions,
            "numbers": numbers,
        },
    )
    _draw(finding, numbers)
    return finding


def measure_apart(name: str, *, out: str | Path, seeds: int = 5, full: bool = False) -> int:
    """Runs a study in a process of its own.

    One behind fifteen others in a process took three times as long as alone.

    Args:
        name: A row of STUDIES.
        out: As for `study`, which then finds all steps measured.
        seeds: As for `study`.
        full: As for `study`.

    Returns:
        The exit status of the process, which logs to standard error.
    """
    command = [sys.executable, "-c", "from pipelines.cli.main import main; main()", "study", name]
    command += ["--out", str(out), "--seeds", str(seeds), *(["--full"] if full else [])]
    return subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode


def _draw(finding: Finding, numbers: Numbers) -> None:
    from matplotlib.figure import Figure

    row = finding.study
    figure = Figure(figsize=row.figure_size, dpi=120, layout="constrained")
    row.draw(figure, numbers)
    figure.suptitle(f"{row.summary}\nVerdict: {finding.verdict.value}", fontsize=12, wrap=True)
    with replacing(finding.folder / "figure.png") as temporary:
        figure.savefig(temporary, format="png")
