"""Devices: what the machine has, and the precision, compiler and strategy that suit it."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import model_validator

from zoo.config import Config
from zoo.private_api import nested_layers


class DeviceConfig(Config):
    """How the machine's devices are used.

    Args:
        precision: `auto` is float32 on a CPU, mixed_float16 on a GPU with
            tensor cores (compute capability 7.0) and mixed_bfloat16 from 8.0.
        deterministic: Whether the same recipe has to give the same weights to the last
            bit. Keras 3 does not compile by XLA where TensorFlow is held to that.
        xla: Whether steps are compiled; `auto` does so on one GPU unless the run
            has to be repeatable. On a CPU convolutions compiled by XLA are slower,
            and under several devices Keras cannot.
    """

    precision: Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"] = "auto"
    deterministic: bool = True
    xla: bool | Literal["auto"] = "auto"

    @model_validator(mode="after")
    def _xla_is_not_repeatable(self) -> DeviceConfig:
        if self.xla is True and self.deterministic:
            raise ValueError("xla = true needs deterministic = false: Keras refuses both at once")
        return self


@dataclass(frozen=True)
class Devices:
    """What training runs on.

    Args:
        description: In a few words, for people.
        num_replicas: Copies of the model that train side by side.
        precision: The Keras dtype policy.
        jit_compile: Whether Keras compiles steps by XLA.
        deterministic: Whether TensorFlow is held to the same kernels in the same order.
        strategy: A `tf.distribute.Strategy`, or None on one device.
    """

    description: str
    num_replicas: int
    precision: str
    jit_compile: bool
    deterministic: bool
    strategy: Any = None

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """The context in which models and optimizers are made."""
        return self.strategy.scope() if self.strategy else contextlib.nullcontext()

    def make_deterministic(self, seed: int) -> None:
        """Seeds what Keras draws from; has TensorFlow run the same kernels in the same order.

        Args:
            seed: Of the run.
        """
        import keras

        keras.utils.set_random_seed(seed)
        if self.deterministic and keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            tf.config.experimental.enable_op_determinism()

    def synchronize_batch_norm(self, model: Any) -> None:
        """Has batch normalization take its statistics over all devices.

        Otherwise each keeps moving statistics of its own, of which one device's would be
        saved: a resumed run would then go on from others than it had.

        Args:
            model: A Keras model, in this scope.
        """
        for layer in nested_layers(model):
            if self.num_replicas > 1 and hasattr(layer, "synchronized"):
                layer.synchronized = True


@contextlib.contextmanager
def quiet_start() -> Iterator[None]:
    """Holds back what TensorFlow's libraries print while they load.

    They write to the file descriptor before their log level is read. What they
    said is shown after all if the body raises.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # closed by whoever started us; then nobody listens
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(kept, 2)
            held.seek(0)
            os.write(2, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def prepare_devices(config: DeviceConfig) -> Devices:
    """Looks at the machine and makes it ready to train.

    GPU memory grows as it is needed. On more than one visible GPU (or logical
    CPU device) training is mirrored. Sets Keras' dtype policy for the process.

    Args:
        config: What the recipe says.

    Returns:
        What training should use.
    """
    import keras
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        # Only before the first use; later calls in the same process find it set.
        with contextlib.suppress(RuntimeError):
            tf.config.experimental.set_memory_growth(gpu, True)
    logical = tf.config.list_logical_devices("GPU" if gpus else "CPU")
    precision = _auto_precision(gpus) if config.precision == "auto" else config.precision
    keras.mixed_precision.set_dtype_policy(precision)
    # Keras' own distribution of a tf.data input exists for TensorFlow alone.
    mirrored = len(logical) > 1 and keras.backend.backend() == "tensorflow"
    strategy = tf.distribute.MirroredStrategy([d.name for d in logical]) if mirrored else None
    kind = "GPU" if gpus else "CPU"
    compiled = bool(gpus) and not config.deterministic if config.xla == "auto" else config.xla
    return Devices(
        description=f"{len(logical)} × {kind}, {precision}" if mirrored else f"{kind}, {precision}",
        num_replicas=len(logical) if mirrored else 1,
        precision=precision,
        jit_compile=compiled and not mirrored,
        deterministic=config.deterministic,
        strategy=strategy,
    )


def _auto_precision(gpus: list[Any]) -> str:
    import tensorflow as tf

    if not gpus:
        return "float32"
    capability = min(
        tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0))
        for gpu in gpus
    )
    if capability >= (8, 0):
        return "mixed_bfloat16"
    return "mixed_float16" if capability >= (7, 0) else "float32"


def num_cores() -> int:
    """Returns how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
