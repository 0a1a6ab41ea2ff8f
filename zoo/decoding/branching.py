"""Branches of a graph of which only the one that is taken costs anything.

`tf.cond` and `tf.switch_case` are lowered: TensorFlow's executor visits every operation of the
branches that are not taken. With all formats in one graph that takes longer than decoding a
small image. Here a branch is a function that is called where it is needed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

Branch = Callable[..., Any]


def call_one(index: Any, branches: Sequence[Branch], *inputs: Any) -> Any:
    """Calls one of several functions, inside a graph.

    Args:
        index: int32 [], which one; any other number calls the last one.
        branches: Functions of TensorFlow operations, from `inputs` to one tensor or a tuple of
            them, of the same kinds.
        inputs: Tensors; all that the functions read of the graph.

    Returns:
        The result, of the shapes that the functions have in common.

    Raises:
        ValueError: A function reads another tensor of the graph.
    """
    import tensorflow as tf

    signature = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in inputs]
    functions = [
        tf.function(branch, signature, autograph=False).get_concrete_function()
        for branch in branches
    ]
    if any(function.captured_inputs for function in functions):
        raise ValueError("A branch reads a tensor of the graph around it; pass it as an input.")
    (kinds,) = {tuple(output.dtype for output in function.outputs) for function in functions}
    results = tf.raw_ops.StatelessCase(
        branch_index=index, input=list(inputs), Tout=list(kinds), branches=functions
    )
    shapes = zip(*([output.shape for output in f.outputs] for f in functions), strict=True)
    found = tuple(
        tf.ensure_shape(
            result, functools.reduce(tf.TensorShape.most_specific_compatible_shape, of_all)
        )
        for result, of_all in zip(results, shapes, strict=True)
    )
    return found[0] if len(found) == 1 else found


def call_if(condition: Any, branch: Branch, otherwise: Branch, *inputs: Any) -> Any:
    """Calls a function if a condition holds, else another; see `call_one`.

    Args:
        condition: bool [].
        branch: Called if it holds.
        otherwise: Called if it does not.
        inputs: Tensors; all that the functions read of the graph.
    """
    import tensorflow as tf

    return call_one(tf.where(condition, 0, 1), (branch, otherwise), *inputs)
