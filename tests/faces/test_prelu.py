"""A recogniser rewritten for the runtime gives the same bits as the file that it was read from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from backend.faces import prelu

CHANNELS, SIDE = 32, 12
Values = NDArray[np.float32]


def network(slopes: Values, *, side: int = SIDE) -> onnx.ModelProto:
    """Convolution, PRelu, convolution, PRelu: as recognisers begin."""
    weights = np.random.default_rng(7).standard_normal((CHANNELS, CHANNELS, 3, 3)).astype(np.float32)
    nodes = []
    for number in (1, 2):
        nodes.append(helper.make_node("Conv", [f"x{number - 1}", "weights"], [f"c{number}"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("PRelu", [f"c{number}", "slopes"], [f"x{number}"]))
    shape = [1, CHANNELS, side, side]
    graph = helper.make_graph(
        nodes,
        "recogniser",
        [helper.make_tensor_value_info("x0", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("x2", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(slopes, "slopes")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def answer(model: onnx.ModelProto, image: Values) -> Values:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: image})[0])


def kinds(model: onnx.ModelProto) -> set[str]:
    return {node.op_type for node in model.graph.node}


@pytest.mark.parametrize("side", [1, 7, SIDE])
def test_slopes_of_any_size_and_sign_give_the_same_bits(side: int) -> None:
    slopes = np.linspace(-1.5, 1.5, CHANNELS, dtype=np.float32).reshape(-1, 1, 1)
    image = np.random.default_rng(8).standard_normal((1, CHANNELS, side, side)).astype(np.float32)
    image[0, :, 0, 0] = 0.0
    model = network(slopes, side=side)
    before = answer(model, image)

    assert prelu.without_prelu(model) == 2

    assert "PRelu" not in kinds(model)
    assert np.array_equal(answer(model, image), before)


@pytest.mark.parametrize("shape", [(1,), (1, SIDE, SIDE)])
def test_slopes_that_are_not_one_for_each_channel_are_left_alone(shape: tuple[int, ...]) -> None:
    model = network(np.full(shape, 0.25, np.float32))
    before = model.SerializeToString()

    assert prelu.without_prelu(model) == 0

    assert model.SerializeToString() == before


@pytest.mark.weights
@pytest.mark.parametrize("file", ["test_mbf/w600k_mbf.onnx", "test_mfn128/mobilefacenet.onnx"])
def test_a_packs_recogniser_gives_the_same_bits(file: str, testdata: Path) -> None:
    path = testdata / "models" / file
    image = np.random.default_rng(9).uniform(-1, 1, (1, 3, 112, 112)).astype(np.float32)
    model = onnx.load(path)
    before = answer(model, image)

    prelu.without_prelu(model)

    assert np.array_equal(answer(model, image), before)
    onnx.checker.check_model(model)
