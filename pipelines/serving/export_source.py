"""What is exported: a run or a pretrained network, opened with the images that check it."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipelines.sources.opening.recorded import find_recorded
from pipelines.sources.opening.unlabeled import open_unlabeled
from pipelines.sources.source import Examples
from pipelines.storage.pretrained_network import PretrainedNetwork, open_run_or_network
from pipelines.storage.run_folder import RunFolder
from zoo.errors import DataError, InputError
from zoo.export.exported import Exported
from zoo.files import scratch_folder

SAMPLE_DATA = "signs"
"""The images that the export of a pretrained network is checked on, unless others are given."""

MAX_SAMPLE = 200
"""How many of them, at most."""

MAX_TRAINED = 500
"""Training images that the mean of fold heads is checked on, at most: it validated on them."""


@dataclass(frozen=True)
class ExportSource:
    """A model to export, and the images that check it.

    Args:
        opened: The run, or the pretrained network.
        exported: What of it is exported.
        examples: The images.
        described: The images in words.
    """

    opened: RunFolder | PretrainedNetwork
    exported: Exported
    examples: Examples
    described: str

    @property
    def run(self) -> RunFolder | None:
        """The run, if it is one."""
        return self.opened if isinstance(self.opened, RunFolder) else None

    @property
    def name(self) -> str:
        """The model in words."""
        return "the run" if isinstance(self.opened, RunFolder) else self.opened.name


def open_export_source(
    model: RunFolder | str | Path, data: str | Path | None, to: Path
) -> ExportSource:
    """Opens a model to export; see `pipelines.serving.export.export`.

    Args:
        model: A finished run, or a pretrained network with a top.
        data: The images to check on, if not its own.
        to: The model's folder, for messages.

    Raises:
        RunError: `model` is neither.
        DataError: The images cannot be read, or have changed since the run.
    """
    opened = open_run_or_network(model)
    if isinstance(opened, RunFolder):
        examples = _open_validation_images(opened, data, to)
        described = f"{len(examples)} validation images"
    else:
        sample = open_unlabeled(str(data or SAMPLE_DATA), at_most=MAX_SAMPLE)
        examples = sample.splits["all"]
        described = f"{len(examples)} images of {data or SAMPLE_DATA}"
    run = opened if isinstance(opened, RunFolder) else None
    exported = Exported(
        opened.model,
        opened.recipe.input.preprocessing,
        opened.tasks,
        run.unknown_scorer if run else None,
        run.decision_rules if run else {},
    )
    return ExportSource(opened, exported, examples, described)


def _open_validation_images(run: RunFolder, data: str | Path | None, to: Path) -> Examples:
    """Finds a run's validation images by their content, whatever was added beside them.

    Raises:
        DataError: The images cannot be read, or some are gone or have changed.
    """
    recipe = run.recipe
    name = str(data or recipe.source)
    # With folds, the validation images are the training images.
    recorded = frozenset(run.digests("val") or run.digests("train")[:MAX_TRAINED])
    try:
        found = find_recorded(name, recorded, recipe.data, recipe.unbound_tasks)
    except InputError as error:
        if data:
            raise
        raise DataError(
            f"the images of {run.path} cannot be read: {error}",
            mend="say where they are now: zoo export "
            f"{shlex.quote(str(run.path))} --to {shlex.quote(str(to))} --data DATA",
        ) from error
    if found is None or len(found) < len(recorded):
        raise DataError(
            f"validation images of {run.path} are not in {name}",
            expected=f"the same {len(recorded)} files, and perhaps others",
            received=f"{0 if found is None else len(found)} of them",
            mend="give --data the images it was trained on",
        )
    return found


@contextlib.contextmanager
def as_files(examples: Examples) -> Iterator[list[Path]]:
    """Yields the images' files; images without files are written to a temporary folder."""
    if examples.files is not None:
        yield list(examples.files)
        return
    with scratch_folder() as folder:
        paths = [folder / f"{index:08d}" for index in range(len(examples))]
        for index, path in enumerate(paths):
            path.write_bytes(examples.read(index))
        yield paths
