"""A pack's networks in ONNX Runtime: by operators that are quick there, with the bits that the file's own would give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx
import onnxruntime

from backend.faces import prelu, siblings

PROVIDERS = ["CPUExecutionProvider"]

SizedSession = Callable[[str, tuple[int, int], Any], Any]
"""of a model's file, (width, height) of its input, and the session that the library made of it"""


def session_options(threads: int) -> Any:
    """By itself ONNX Runtime counts the host's cores and lets idle threads spin, which halves what two sessions do together."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def quick_session(file: str, threads: int) -> Any:
    """For inputs of any size that the file takes."""
    return _session(onnx.load(file), threads)


def sized(threads: int) -> SizedSession:
    """For inputs of one size only: what depends on the size is computed once, when the session is made."""

    def session(file: str, size: tuple[int, int], _: Any) -> Any:
        network = onnx.load(file)
        for place, value in zip(network.graph.input[0].type.tensor_type.shape.dim[2:], reversed(size), strict=True):
            place.dim_value = value
        for output in network.graph.output:
            output.type.tensor_type.ClearField("shape")  # the file's are of a size of its own
        return _session(network, threads)

    return session


def _session(network: onnx.ModelProto, threads: int) -> Any:
    if prelu.is_quicker():
        prelu.without_prelu(network)
        siblings.joined(network)
    return onnxruntime.InferenceSession(network.SerializeToString(), session_options(threads), providers=PROVIDERS)
