"""A detector whose heads are computed together gives the same bits as the file that it was read from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from insightface.app import FaceAnalysis
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from backend.faces import siblings
from backend.faces.network import sized

CHANNELS, SIDE = 64, 20
Values = NDArray[np.float32]


def network(*filters: int, scale: float | None = None, opset: int = 13, group: int = 1, asked: bool = False) -> onnx.ModelProto:
    """A convolution, and one of each number of `filters` that reads it; the first is multiplied by `scale`."""
    made = np.random.default_rng(3)
    constants = {"body": made.standard_normal((CHANNELS, 3, 3, 3)).astype(np.float32)}
    nodes = [helper.make_node("Conv", ["image", "body"], ["x"], pads=[1, 1, 1, 1])]
    outputs = []
    for number, count in enumerate(filters):
        constants[f"w{number}"] = made.standard_normal((count, CHANNELS // group, 3, 3)).astype(np.float32)
        constants[f"b{number}"] = made.standard_normal(count).astype(np.float32)
        inputs = ["x", f"w{number}", f"b{number}"]
        nodes.append(helper.make_node("Conv", inputs, [f"head{number}"], pads=[1, 1, 1, 1], group=group))
        outputs.append(f"head{number}")
    if scale is not None:
        constants["scale"] = np.array(scale, np.float32)
        nodes.append(helper.make_node("Mul", ["head0", "scale"], ["scaled"]))
        outputs = [*([] if not asked else ["head0"]), "scaled", *outputs[1:]]
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, "filters", SIDE, SIDE]) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def answers(model: onnx.ModelProto, image: Values) -> list[Values]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [np.asarray(found) for found in session.run(None, {session.get_inputs()[0].name: image})]


def convolutions(model: onnx.ModelProto) -> int:
    return sum(node.op_type == "Conv" for node in model.graph.node)


IMAGE = np.random.default_rng(4).standard_normal((1, 3, SIDE, SIDE)).astype(np.float32)


def same(before: list[Values], after: list[Values]) -> bool:
    return len(before) == len(after) and all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))


@pytest.mark.parametrize("opset", [11, 13])
@pytest.mark.parametrize("scale", [None, 0.8807251, -3.7])
@pytest.mark.parametrize("filters", [(2, 8, 20), (1, 1), (17, 15), (5, 5, 5, 5)])
def test_heads_together_give_the_same_bits(filters: tuple[int, ...], scale: float | None, opset: int) -> None:
    model = network(*filters, scale=scale, opset=opset)
    before = answers(model, IMAGE)

    assert siblings.joined(model) == 1

    assert convolutions(model) == 2
    assert same(before, answers(model, IMAGE))
    onnx.checker.check_model(model)


@pytest.mark.parametrize("model", [network(16, 32), network(16), network(4, 8, group=4)], ids=["full", "one", "grouped"])
def test_nothing_is_changed_where_nothing_is_saved(model: onnx.ModelProto) -> None:
    before = model.SerializeToString()

    assert siblings.joined(model) == 0

    assert model.SerializeToString() == before


def test_what_is_asked_for_before_it_is_multiplied_is_given_too() -> None:
    model = network(2, 8, scale=0.5, asked=True)
    before = answers(model, IMAGE)

    assert siblings.joined(model) == 1

    assert same(before, answers(model, IMAGE))


@pytest.mark.weights
@pytest.mark.parametrize("pack", ["test_mbf", "test_mfn128"])
@pytest.mark.parametrize("side", [128, 640])
def test_a_packs_detector_gives_the_same_bits(pack: str, side: int, testdata: Path) -> None:
    library = FaceAnalysis(
        str(testdata / "models" / pack), allowed_modules=["detection"], providers=["CPUExecutionProvider"]
    ).det_model
    image = {library.input_name: np.random.default_rng(9).uniform(-1, 1, (1, 3, side, side)).astype(np.float32)}
    before = library._session_for_input_size((side, side)).run(library.output_names, image)

    assert siblings.joined(onnx.load(library.model_file)) == 3  # one for each of the strides 8, 16 and 32

    assert same(before, sized(1)(library.model_file, (side, side), None).run(library.output_names, image))
