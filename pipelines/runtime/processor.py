"""Vector instructions of the processor."""

from __future__ import annotations


def vector_instructions() -> frozenset[str]:
    """Returns the vector instruction sets of this processor, as NumPy names them.

    Such as `X86_V3` (AVX2 and fused multiply-add; `AVX2` before NumPy 2.4) on x86, and
    `ASIMD` (128-bit NEON) on ARM.
    """
    import numpy as np

    found = np.show_config(mode="dicts")["SIMD Extensions"]
    return frozenset([*found["baseline"], *found.get("found", ())])
