"""Run: the directory a training job fills, read and written whole or not at all."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.recipe import Recipe
from zoo.errors import RunError
from zoo.files import replacing, write_json, write_text

if TYPE_CHECKING:
    from pipelines.predict import Prediction


class Run:
    """A training job's directory.

    recipe.toml, labels.txt, metrics.json, history.csv, model.keras, logs/ for
    TensorBoard, and checkpoint/ while there is something to resume.

    Args:
        path: The directory; `open` and `create` check it.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    @classmethod
    def create(cls, path: Path, recipe: Recipe, *, resume: bool) -> Run:
        """Makes the directory for a new run, or checks that an old one can go on.

        Raises:
            RunError: The directory holds something else, or a run by another
                recipe, or a run and `resume` was not asked for.
        """
        run = cls(path)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            if not run.recipe_file.is_file():
                raise RunError(
                    f"{path} exists and is no run",
                    expected="a new directory",
                    mend="choose another --out",
                )
            if not resume:
                raise RunError(
                    f"{path} already holds a run",
                    expected="a new directory",
                    mend="add --resume to go on with it, or choose another --out",
                )
            run._check_same(recipe)
        path.mkdir(parents=True, exist_ok=True)
        write_text(run.recipe_file, recipe.to_toml())
        return run

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Opens a finished run.

        Raises:
            RunError: There is none, or it has no model yet.
        """
        run = cls(Path(path))
        if not run.recipe_file.is_file():
            raise RunError(
                f"{path} is no run",
                expected="a directory that `zoo train --out` wrote",
                received="no directory" if not run.path.exists() else "no recipe.toml in it",
            )
        if not run.model_file.is_file():
            raise RunError(
                f"{path} has no model yet", mend="finish it: zoo train DATA --out RUN --resume"
            )
        return run

    @property
    def recipe_file(self) -> Path:
        """The complete recipe."""
        return self.path / "recipe.toml"

    @property
    def model_file(self) -> Path:
        """The classifier with its best weights."""
        return self.path / "model.keras"

    @property
    def checkpoint_file(self) -> Path:
        """What `--resume` needs."""
        return self.path / "checkpoint" / "last.npz"

    @property
    def recipe(self) -> Recipe:
        """The recipe it was trained by."""
        return Recipe.from_toml(self.recipe_file)

    @property
    def metrics(self) -> dict[str, Any]:
        """What metrics.json holds; empty while the run is not finished."""
        file = self.path / "metrics.json"
        return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes, in the order of the model's outputs."""
        return tuple(json.loads((self.path / "labels.json").read_text(encoding="utf-8")))

    def load_model(self) -> Any:
        """Returns the classifier: float32 [B, S, S, 3] in 0 to 255 → probabilities.

        Raises:
            RunError: The file is damaged.
        """
        import keras

        try:
            return keras.models.load_model(self.model_file, compile=False)
        except (ValueError, OSError, KeyError) as error:
            raise RunError(
                f"{self.model_file} cannot be loaded: {error}", mend="train the run again"
            ) from error

    def save_model(self, model: Any) -> None:
        """Writes model.keras, whole or not at all."""
        with replacing(self.model_file) as temporary:
            model.save(temporary)

    def save_class_names(self, class_names: Sequence[str]) -> None:
        """Writes labels.json."""
        write_json(self.path / "labels.json", list(class_names))

    def save_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Writes metrics.json."""
        write_json(self.path / "metrics.json", metrics)

    def save_history(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Writes history.csv, a row an epoch."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.path / "history.csv", text.getvalue())

    def save_checkpoint(self, state: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        """Writes state (JSON values) and arrays as one file, so that they belong together."""
        packed = np.frombuffer(json.dumps(state).encode(), np.uint8)
        with replacing(self.checkpoint_file) as temporary:
            np.savez(temporary, state=packed, **arrays)

    def load_checkpoint(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Returns the state and the arrays last saved, or None."""
        if not self.checkpoint_file.is_file():
            return None
        with np.load(self.checkpoint_file, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return dict(json.loads(arrays.pop("state").tobytes())), arrays

    def predict(self, images: Sequence[str | Path], top: int = 5) -> list[Prediction]:
        """Classifies image files; see `pipelines.predict.predict`."""
        from pipelines.predict import predict

        return predict(self.path, images, top=top)

    def export(self, to: str | Path, *, data: str = "") -> Path:
        """Writes a proven SavedModel; see `pipelines.export.export`."""
        from pipelines.export import export

        return export(self, to, data=data)

    def _check_same(self, recipe: Recipe) -> None:
        before, now = self.recipe.model_dump(), recipe.model_dump()
        changed = [
            f"{section}.{key}" if isinstance(now[section], dict) else section
            for section in now
            for key in (now[section] if isinstance(now[section], dict) else [section])
            if (before[section] != now[section])
            and (not isinstance(now[section], dict) or before[section][key] != now[section][key])
        ]
        if changed:
            raise RunError(
                f"{self.path} was started with another recipe",
                expected="the same settings",
                received=f"another value of {', '.join(changed)}",
                mend="leave them out to go on, or choose another --out",
            )
