"""Private API: the versions it was read in, and that each use of it still works."""

from __future__ import annotations

import ast
import inspect
import re
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest
from keras_tuner import oracles
from tensorflow_datasets.core.download import downloader

from zoo import private_api


@pytest.mark.parametrize(("distribution", "read_in"), private_api.READ_IN.items())
def test_installed_version_is_the_one_that_was_read(distribution: str, read_in: str) -> None:
    installed = version(distribution)
    assert installed.split(".")[:2] == read_in.split(".")[:2], (
        f"{distribution} {installed} is installed, and zoo/private_api.py was read in {read_in}: "
        "read its private API again, then update READ_IN"
    )


def _nested_model() -> keras.Model:
    inner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="deep")], name="inner")
    inputs = keras.Input((3,))
    return keras.Model(inputs, keras.layers.Dense(1, name="top")(inner(inputs)), name="outer")


def test_nested_layers_include_those_of_nested_models() -> None:
    names = {layer.name for layer in private_api.nested_layers(_nested_model())}
    assert {"outer", "inner", "deep", "top"} <= names


def test_graph_leads_from_an_operation_to_what_feeds_it() -> None:
    model = _nested_model()
    top = model.get_layer("top")
    top(keras.Input(top.input.shape[1:]))  # a call in another graph does not count
    (tensor,) = private_api.inputs_in(model)[id(top)]
    assert private_api.producer_of(tensor) is model.get_layer("inner")


def test_layer_that_is_called_twice_has_two_calls() -> None:
    inputs = keras.Input((3,))
    shared = keras.layers.Dense(3, name="shared")
    model = keras.Model(inputs, shared(shared(inputs)))
    keras.Model(inputs, shared(inputs))  # a call in another graph does not count
    assert [one.name for one in private_api.calls_in(model)].count("shared") == 2


def test_layer_marked_as_built_is_built() -> None:
    class Plain(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            private_api.build_at_init(self)

    assert Plain().built


def _built(optimizer: Any) -> tuple[Any, list[keras.Variable]]:
    variables = [keras.Variable(np.ones(2, np.float32)) for _ in range(2)]
    optimizer.build(variables)
    return optimizer, variables


@pytest.mark.parametrize("name", private_api.OPTIMIZER_SLOTS)
def test_optimizer_has_its_slots_for_each_variable(name: str) -> None:
    optimizer, variables = _built(getattr(keras.optimizers, name)())
    for slot in private_api.OPTIMIZER_SLOTS[name]:
        for index, variable in enumerate(variables):
            assert private_api.variable_index(optimizer, variable) == index
            assert private_api.optimizer_slot(optimizer, slot, index).shape == variable.shape


def test_averages_are_those_of_the_variables() -> None:
    optimizer, variables = _built(keras.optimizers.SGD(1.0, use_ema=True, ema_momentum=0.5))
    optimizer.apply([np.ones(2, np.float32)] * 2, variables)
    averages = private_api.moving_averages(optimizer)
    for average, variable in zip(averages, variables, strict=True):
        np.testing.assert_allclose(average.numpy(), variable.numpy())


def test_replaced_clipping_is_applied() -> None:
    optimizer, variables = _built(keras.optimizers.SGD(1.0, clipnorm=1e-9))
    private_api.replace_clipping(optimizer, lambda gradients: [2 * g for g in gradients])
    optimizer.apply([np.ones(2, np.float32)] * 2, variables)
    np.testing.assert_allclose(variables[0].numpy(), -1)


def test_weight_decay_is_left_to_subclasses() -> None:
    optimizer_class = private_api.optimizer_base(keras.optimizers.SGD)
    optimizer, variables = _built(optimizer_class(1.0, weight_decay=0.5))
    optimizer.apply([np.zeros(2, np.float32)] * 2, variables)
    np.testing.assert_array_equal(variables[0].numpy(), 1)


def test_hyperparameter_is_active_under_its_condition_alone() -> None:
    space = keras_tuner.HyperParameters()
    space.Choice("parent", ["a", "b"])
    child = keras_tuner.engine.hyperparameters.Fixed(
        "child", 1, conditions=[private_api.build_condition("parent", ["b"])]
    )
    space.merge([child])
    assert not space.is_active(child)
    space.values["parent"] = "b"
    assert space.is_active(child)


# tests/tuning/hyperparameters/test_search.py tests what each oracle proposes and writes.
@pytest.mark.parametrize(
    ("oracle_class", "names"),
    [
        (oracles.RandomSearchOracle, {"save", "_save_trial"}),
        (oracles.HyperbandOracle, {"_random_trial"}),
        (oracles.GridSearchOracle, {"populate_space"}),
    ],
)
def test_oracle_has_the_methods_that_are_overridden(oracle_class: Any, names: set[str]) -> None:
    assert names <= {name for name, _ in inspect.getmembers(oracle_class, inspect.isfunction)}


def test_download_is_replaced_until_the_context_ends() -> None:
    original, retries = downloader._open_url, downloader.MAX_RETRIES
    received = []

    def build(own: Any) -> Any:
        received.append(own)
        return lambda url, **kwargs: url

    with private_api.replaced_download(build, max_retries=2):
        assert downloader._open_url("here") == "here"
        assert downloader.MAX_RETRIES == 2
    assert received == [original]
    assert (downloader._open_url, downloader.MAX_RETRIES) == (original, retries)


def _private_uses(source: str) -> set[str]:
    """Returns the private attributes that a module uses and does not define, and `.src` imports."""
    tree = ast.parse(source)
    defined, used, imported = set(), set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            defined.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            defined.add(node.id)
        elif isinstance(node, ast.Attribute):
            (used if isinstance(node.ctx, ast.Load) else defined).add(node.attr)
        elif isinstance(node, ast.ImportFrom) and ".src" in (node.module or ""):
            imported.add(node.module)
    public = {"_exit"}  # of os, documented in spite of its name
    return {n for n in used - defined - public if re.match(r"_[a-z]", n)} | imported


def test_private_uses_are_found() -> None:
    source = "from keras.src.x import y\nclass A(B):\n  def _own(self): self._own(); self._theirs()"
    assert _private_uses(source) == {"keras.src.x", "_theirs"}


@pytest.mark.parametrize("package", ["zoo", "tuning", "pipelines"])
def test_no_other_file_uses_private_api(root: Path, package: str) -> None:
    files = [file for file in (root / package).rglob("*.py") if file.name != "private_api.py"]
    found = {str(file): _private_uses(file.read_text(encoding="utf-8")) for file in files}
    assert not {file: uses for file, uses in found.items() if uses}


def test_member_without_short_matches_is_smaller_and_any_unzipper_reads_it(
    tmp_path: Path,
) -> None:
    # Five bits of noise a byte: short runs recur by chance.
    content = np.random.default_rng(0).integers(0, 32, 100_000).astype(np.uint8).tobytes()
    sizes = []
    for own in (False, True):
        path = tmp_path / f"{own}.zip"
        with (
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
            archive.open("noise", "w") as member,
        ):
            if own:
                private_api.compress_noise(member)
            member.write(content)
        with zipfile.ZipFile(path) as archive:
            assert archive.read("noise") == content
        sizes.append(path.stat().st_size)
    assert sizes[1] < 0.97 * sizes[0]


def test_what_is_written_at_once_is_compressed_by_itself(tmp_path: Path) -> None:
    # Three distributions, of 8, 4 and 1 bits a byte, in blocks shorter than deflate's own.
    rng = np.random.default_rng(0)
    parts = [rng.integers(0, 2**bits, 8000).astype(np.uint8).tobytes() for bits in (8, 4, 1)]
    with (
        zipfile.ZipFile(tmp_path / "parts.zip", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("parts", "w") as member,
    ):
        private_api.compress_noise(member)
        for part in parts:
            member.write(part)
    with zipfile.ZipFile(tmp_path / "parts.zip") as archive:
        assert archive.read("parts") == b"".join(parts)
        size = archive.getinfo("parts").compress_size
    assert size == pytest.approx(8000 * (8 + 4 + 1) / 8, rel=0.04)
