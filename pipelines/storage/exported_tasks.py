"""What an exported model predicts: its assets, read and compared with its signature.

They are a stranger's where a SavedModel is opened on trust.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.storage.records import check_names, read_tasks
from zoo.errors import RunError
from zoo.reading import read_text
from zoo.tasks import Task, classification

MEND = "write it by `zoo export`"


def read_exported_tasks(file: Path) -> tuple[Task, ...]:
    """Reads an export's labels.txt or tasks.json.

    Raises:
        RunError: The file cannot be read, or is damaged.
    """
    if file.name == "tasks.json":
        return read_tasks(file, mend=MEND)
    try:
        # A byte-order mark belongs to the first name.
        text = read_text(file, encoding="utf-8")
        # splitlines would also split at other separators, which a name may hold.
        names = text.removesuffix("\n").split("\n")
        check_names(names)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise RunError(f"{file} cannot be read: {reason}", mend=MEND) from None
    return classification(names)


def check_outputs(file: Path, tasks: Sequence[Task], outputs: Mapping[str, Any]) -> None:
    """Checks that a signature has the output of each task, of its size.

    Args:
        file: The file that describes the tasks, for the message.
        tasks: What the model predicts.
        outputs: The signature's output specs by name.

    Raises:
        RunError: It has not.
    """
    for task in tasks:
        spec = outputs.get(task.output)
        if spec is None:
            raise RunError(
                f"{file} does not fit its model",
                expected=f"an output {task.output}",
                received=", ".join(sorted(outputs)),
                mend=MEND,
            )
        size = 1 if spec.shape.rank == 1 else spec.shape[-1]
        if size != task.num_outputs:
            raise RunError(
                f"{file} does not fit its model",
                expected=f"{size} classes, one for each of {task.output}",
                received=str(task.num_outputs),
                mend=MEND,
            )
