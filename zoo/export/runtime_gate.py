"""Export check in a fresh process: predictions of a network by its runtime and NumPy alone.

Run as a file, never imported: `python -I runtime_gate.py JOB`, where JOB is the JSON file that
`zoo.export.portable_proof` writes. Images are loaded by the `load_image.py` that lies beside the
model. The process ends when its standard input does, as that of `gate.py`.
"""

import importlib.util
import json
import sys
import threading
from pathlib import Path
from typing import Any

BATCH_SIZE = 32


def load_module(file: Path) -> Any:
    """Loads a module by the path of its file."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def predict(job: dict[str, Any]) -> None:
    """Writes the outputs for all images as `square/OUTPUT`.

    Where the network takes images of any size, `whole/OUTPUT` are those for the images at
    `whole_indices`, decoded and not resized.
    """
    import numpy as np
    from PIL import Image

    folder, files = Path(job["model"]), job["images"]
    network = load_module(Path(job["runtimes"])).OPEN[job["format"]](folder)
    loader = load_module(folder / "load_image.py")
    settings = json.loads((folder / "model.json").read_text(encoding="utf-8"))["preprocessing"]
    found = []
    for start in range(0, len(files), BATCH_SIZE):
        batch = [loader.load_image(file, **settings) for file in files[start : start + BATCH_SIZE]]
        found.append(network(np.stack(batch)))
    arrays: dict[str, Any] = {
        f"square/{k}": np.concatenate([outputs[k] for outputs in found]) for k in found[0]
    }
    whole = []
    for index in job["whole_indices"]:
        with Image.open(files[index]) as image:
            pixels = loader.to_rgb(image, settings["background"], settings["depth"])
        whole.append(network(np.ascontiguousarray(pixels)[np.newaxis]))
    if whole:
        arrays |= {f"whole/{k}": np.concatenate([row[k] for row in whole]) for k in whole[0]}
    np.savez(job["predictions"], **arrays)


def main(file: Path) -> None:
    """Predicts as a job says, which lies in a folder for it alone."""
    # A cache of the loader's code would become a file of the model.
    sys.dont_write_bytecode = True
    gate = load_module(Path(__file__).with_name("gate.py"))
    threading.Thread(target=gate.end_with_parent, args=(file.parent,), daemon=True).start()
    job = json.loads(file.read_text(encoding="utf-8"))
    sys.path[:] = job["path"]
    sys.meta_path.insert(0, gate.Absent(job["without"]))
    predict(job)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
