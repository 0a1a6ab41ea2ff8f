"""Jobs on two devices of one processor."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

_SCRIPT = """
import sys, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from pipelines.cli.main import run_command
sys.exit(run_command(sys.argv[1:]))
"""


def run_on_two_devices(arguments: Sequence[str]) -> str:
    """Runs `zoo` with arguments in a process that has two logical devices.

    Returns:
        What it said on standard error.
    """
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stderr
