"""Packages that Keras imports where they are installed, and that no saved model needs.

Their import takes nearly as long as that of TensorFlow; what shows that a model loads in
another process does without them.
"""

from __future__ import annotations

NOT_NEEDED = ("jax", "matplotlib", "sklearn")

WITHOUT_THEM = f"import sys; sys.modules.update(dict.fromkeys({NOT_NEEDED}))\n"
"""A line of Python that makes them absent from a process."""
