"""The data set that benchmarks run on when they only have to run."""

from tests.pipelines.conftest import tiny_folder

__all__ = ["tiny_folder"]
