"""The same detector, quicker: convolutions of one input computed as one.

A detector's heads (scores, boxes, landmarks) are convolutions of one tensor with 2, 8 and 20 filters. In ONNX Runtime's blocked
layout (NCHWc) filters are computed 16 at a time with AVX-512: each head fills up its own blocks, four in all, where the 30
filters together fill two. Each filter's sum is the same wherever it stands, so the answers are the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

BLOCK = 16
"""Filters; 8 with AVX2, where what is saved by this measure is saved as well."""
SPLIT_BY_INPUT = 13
"""the opset from which Split takes its sizes as an input"""

Values = NDArray[np.float32]


@dataclass(frozen=True)
class _Head:
    node: NodeProto
    weights: Values
    """(filters, channels, height, width)"""
    bias: Values
    """(filters,)"""
    output: str


def joined(model: onnx.ModelProto) -> int:
    """Rewrites `model` in place: those convolutions of one input that need fewer blocks together. How many groups."""
    groups = [heads for heads in _siblings(model) if _worth_it(heads)]
    begun = {heads[0].node.output[0]: heads for heads in groups}
    gone = {name for heads in groups for head in heads for name in (head.node.output[0], head.output)}
    opset = next(found.version for found in model.opset_import if found.domain == "")
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        if heads := begun.get(node.output[0]):
            nodes.extend(_as_one(model, heads, opset))
        elif node.output[0] not in gone:
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return len(groups)


def _siblings(model: onnx.ModelProto) -> list[list[_Head]]:
    constants = {found.name: found for found in model.graph.initializer}
    asked = {output.name for output in model.graph.output}
    found: dict[Any, list[_Head]] = {}
    for node in model.graph.node:
        if node.op_type == "Conv" and len(node.input) == 3 and constants.keys() >= set(node.input[1:]):
            head = _head(node, constants, _factor(model, node, constants, asked))
            attributes = tuple(sorted(one.SerializeToString() for one in node.attribute))
            found.setdefault((node.input[0], attributes, head.weights.shape[1:]), []).append(head)
    return [heads for heads in found.values() if len(heads) > 1]


def _head(node: NodeProto, constants: Mapping[str, TensorProto], scaled: NodeProto | None) -> _Head:
    weights, bias = (numpy_helper.to_array(constants[name]) for name in node.input[1:])
    if scaled is None:
        return _Head(node, weights, bias, node.output[0])
    factor = numpy_helper.to_array(constants[scaled.input[1]]).item()
    return _Head(node, weights * factor, bias * factor, scaled.output[0])


def _factor(model: onnx.ModelProto, node: NodeProto, constants: Mapping[str, TensorProto], asked: Set[str]) -> NodeProto | None:
    """What multiplies the output by one number, and is its only reader: the weights can be multiplied instead, as ONNX Runtime
    does by itself with a convolution that stands alone.
    """
    readers = [other for other in model.graph.node if node.output[0] in other.input]
    if len(readers) != 1 or readers[0].op_type != "Mul" or node.output[0] in asked:
        return None
    number = constants.get(readers[0].input[1])
    if number is None or number.data_type != TensorProto.FLOAT or any(size != 1 for size in number.dims):
        return None
    return readers[0]


def _worth_it(heads: Sequence[_Head]) -> bool:
    grouped = any(one.name == "group" and one.i != 1 for one in heads[0].node.attribute)
    filters = [len(head.weights) for head in heads]
    return not grouped and _blocks(sum(filters)) < sum(map(_blocks, filters))


def _blocks(filters: int) -> int:
    return -(-filters // BLOCK)


def _as_one(model: onnx.ModelProto, heads: Sequence[_Head], opset: int) -> Iterator[NodeProto]:
    """The convolution of all filters, and what hands each head's out again."""
    name = f"{heads[0].node.output[0]}/joined"
    weights = _constant(model, f"{name}/weights", np.concatenate([head.weights for head in heads]))
    bias = _constant(model, f"{name}/bias", np.concatenate([head.bias for head in heads]))
    convolution = helper.make_node("Conv", [heads[0].node.input[0], weights, bias], [name])
    convolution.attribute.extend(heads[0].node.attribute)
    yield convolution
    outputs, sizes = [head.output for head in heads], [len(head.weights) for head in heads]
    if opset >= SPLIT_BY_INPUT:
        yield helper.make_node("Split", [name, _constant(model, f"{name}/sizes", np.array(sizes, np.int64))], outputs, axis=1)
    else:
        yield helper.make_node("Split", [name], outputs, axis=1, split=sizes)


def _constant(model: onnx.ModelProto, name: str, value: NDArray[Any]) -> str:
    model.graph.initializer.append(numpy_helper.from_array(value, name))
    return name
