"""A probe image through our whole path (decode, detect, quality, align, embed) beside the bare models of the same pack."""

from __future__ import annotations

from collections.abc import Iterator

import cv2

from backend.faces.capture import ImageLimits, probe
from backend.faces.load import load_engine
from tests.bench.measure import Benchmark, Setting, compared, seconds


def probes(setting: Setting) -> Iterator[Benchmark]:
    from insightface.app import FaceAnalysis

    pack = setting.testdata / "models" / "test_mbf"
    files = [file.read_bytes() for file in sorted((setting.testdata / "faces").glob("*/01.jpg"))[:8]]
    engine = load_engine("insightface", model_pack=pack)
    # given the same threads and detector sizes as ours has: the difference is what we add
    peer = FaceAnalysis(
        str(pack), allowed_modules=["detection", "recognition"], providers=["CPUExecutionProvider"], sess_options=_one_thread()
    )
    peer.prepare(ctx_id=0, det_size=[(128, 128), (640, 640)])

    def mine() -> float:
        return seconds(lambda: [probe(engine, data, limits=ImageLimits()) for data in files]) / len(files) * 1000

    def peers() -> float:
        return seconds(lambda: [peer.get(_decoded(data)) for data in files]) / len(files) * 1000

    yield compared(
        "a probe image, bytes to template",
        mine,
        peers,
        unit="ms",
        peer="FaceAnalysis.get after cv2.imdecode",
        aim="≤ 1.15",
        rounds=setting.rounds,
    )


def _decoded(data: bytes) -> object:
    import numpy as np

    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def _one_thread() -> object:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return options
