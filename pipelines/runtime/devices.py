"""Devices of the machine, and the precision, compiler and distribution strategy for them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import model_validator

from pipelines.runtime.isolation import start_keras
from zoo.config import Config
from zoo.private_api import nested_layers


class DeviceConfig(Config):
    """The section `device` of a recipe: precision, determinism and compilation.

    Args:
        precision: Keras dtype policy. `auto` is float32 on a CPU, and for heads that train
            on computed features; where images pass the network in every epoch, on GPUs,
            it is mixed_bfloat16 from compute capability 8.0, mixed_float16 from 7.0
            (tensor cores), and float32 below.
        deterministic: Whether the same recipe must give bit-identical weights. Keras 3
            refuses XLA together with TensorFlow's deterministic ops.
        xla: Whether XLA compiles the training step. `auto` compiles on one GPU unless
            `deterministic`. On CPUs XLA's convolutions are slower; across several
            devices Keras cannot compile.
    """

    precision: Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"] = "auto"
    deterministic: bool = True
    xla: bool | Literal["auto"] = "auto"

    @model_validator(mode="after")
    def _xla_excludes_determinism(self) -> DeviceConfig:
        if self.xla is True and self.deterministic:
            raise ValueError("xla = true needs deterministic = false: Keras refuses both at once")
        return self


@dataclass(frozen=True)
class Devices:
    """The devices that training runs on.

    Args:
        name: The kind and, of several, the number: `2 × GPU`.
        num_replicas: Copies of the model, one per device.
        precision: Keras dtype policy.
        jit_compile: Whether Keras compiles the training step with XLA.
        deterministic: Whether TensorFlow uses deterministic ops only.
        strategy: A `tf.distribute.Strategy`, or None on one device.
    """

    name: str
    num_replicas: int
    precision: str
    jit_compile: bool
    deterministic: bool
    strategy: Any = None

    @property
    def description(self) -> str:
        """A summary to log, such as `2 × GPU, mixed_bfloat16`."""
        return f"{self.name}, {self.precision}"

    @property
    def on_cpu(self) -> bool:
        """Whether it is a single CPU, which other processes can use at the same time."""
        return self.name == "CPU"

    @contextlib.contextmanager
    def in_precision(self, config: DeviceConfig, *, on_images: bool) -> Iterator[Devices]:
        """Has models built in another precision for a while, and yields the devices with it.

        Args:
            config: The section `device` of the recipe that is trained meanwhile.
            on_images: Whether images pass its network in every epoch.
        """
        import keras

        precision = choose_precision(config, on_images=on_images)
        keras.mixed_precision.set_dtype_policy(precision)
        try:
            yield replace(self, precision=precision)
        finally:
            keras.mixed_precision.set_dtype_policy(self.precision)

    @property
    def can_stack_heads(self) -> bool:
        """Whether heads can train side by side: on one device, in float32, by TensorFlow."""
        import keras

        plain = self.num_replicas == 1 and self.precision == "float32"
        return plain and keras.backend.backend() == "tensorflow"

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Returns the context in which models and optimizers must be created."""
        return self.strategy.scope() if self.strategy else contextlib.nullcontext()

    def make_deterministic(self, seed: int) -> None:
        """Seeds Python, NumPy and Keras; enables deterministic ops if `deterministic`.

        Args:
            seed: The recipe's seed.
        """
        import keras

        keras.utils.set_random_seed(seed)
        if self.deterministic and keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            tf.config.experimental.enable_op_determinism()

    def synchronize_batch_norm(self, model: Any) -> None:
        """Makes batch normalization compute its statistics across all devices.

        Otherwise each device has its own moving statistics, a checkpoint holds those of one
        device, and a resumed run differs from an uninterrupted one.

        Args:
            model: A Keras model created in `scope`.
        """
        for layer in nested_layers(model):
            if self.num_replicas > 1 and hasattr(layer, "synchronized"):
                layer.synchronized = True


def prepare_devices(config: DeviceConfig, *, on_images: bool) -> Devices:
    """Detects the machine's devices and configures TensorFlow and Keras for them.

    Lets GPU memory grow on demand, sets Keras' dtype policy for the process, and mirrors
    training across several visible GPUs (or logical CPU devices).

    Args:
        config: The section `device` of the recipe.
        on_images: Whether images pass the network in every epoch
            (`ResolvedRecipe.trains_on_images`).
    """
    start_keras()
    import keras
    import tensorflow as tf

    if config.deterministic:
        # With operations side by side, 28 of an autoencoder's 40 gradients differed in their
        # last bits from call to call, held to deterministic operations all the same; one
        # after another, none did (TensorFlow 2.21). Raises once TensorFlow has started; then
        # an earlier call has set it, or the application has decided.
        with contextlib.suppress(RuntimeError):
            tf.config.threading.set_inter_op_parallelism_threads(1)
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        # Raises once the GPU is in use; then an earlier call has already set it.
        with contextlib.suppress(RuntimeError):
            tf.config.experimental.set_memory_growth(gpu, True)
    logical = tf.config.list_logical_devices("GPU" if gpus else "CPU")
    precision = choose_precision(config, on_images=on_images)
    keras.mixed_precision.set_dtype_policy(precision)
    # Keras trains under a tf.distribute strategy with the TensorFlow backend alone.
    mirrored = len(logical) > 1 and keras.backend.backend() == "tensorflow"
    strategy = tf.distribute.MirroredStrategy([d.name for d in logical]) if mirrored else None
    kind = "GPU" if gpus else "CPU"
    compiled = bool(gpus) and not config.deterministic if config.xla == "auto" else config.xla
    return Devices(
        name=f"{len(logical)} × {kind}" if mirrored else kind,
        num_replicas=len(logical) if mirrored else 1,
        precision=precision,
        jit_compile=compiled and not mirrored,
        deterministic=config.deterministic,
        strategy=strategy,
    )


def choose_precision(config: DeviceConfig, *, on_images: bool) -> str:
    """Returns the Keras dtype policy to train in.

    Args:
        config: The section `device` of the recipe.
        on_images: Whether images pass the network in every epoch.
    """
    if config.precision != "auto":
        return config.precision
    import tensorflow as tf

    details = [
        tf.config.experimental.get_device_details(gpu)
        for gpu in tf.config.list_physical_devices("GPU")
    ]
    if not details or not on_images:
        return "float32"
    capability = min(found.get("compute_capability", (0, 0)) for found in details)
    if capability >= (8, 0):
        return "mixed_bfloat16"
    return "mixed_float16" if capability >= (7, 0) else "float32"


def count_gpus() -> int:
    """Returns the number of GPUs that TensorFlow sees; it starts, as `start_keras` says."""
    start_keras()
    import tensorflow as tf

    return len(tf.config.list_physical_devices("GPU"))


def num_cores() -> int:
    """Returns the number of CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
