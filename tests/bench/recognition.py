"""A probe image through our whole path (decode, detect, quality, align, embed) beside the bare models of the same pack."""

from __future__ import annotations

from collections.abc import Iterator

from backend.faces.capture import ImageLimits, probe
from backend.faces.load import load_engine
from tests.bench.measure import Benchmark, Setting, compared, seconds
from tests.bench.raw_models import bare_models, decoded


def probes(setting: Setting) -> Iterator[Benchmark]:
    pack = setting.testdata / "models" / "test_mbf"
    files = [file.read_bytes() for file in sorted((setting.testdata / "faces").glob("*/01.jpg"))[:8]]
    engine = load_engine("insightface", model_pack=pack)
    peer = bare_models(pack)

    def mine() -> float:
        return seconds(lambda: [probe(engine, data, limits=ImageLimits()) for data in files]) / len(files) * 1000

    def peers() -> float:
        return seconds(lambda: [peer.get(decoded(data)) for data in files]) / len(files) * 1000

    yield compared(
        "a probe image, bytes to template",
        mine,
        peers,
        unit="ms",
        peer="FaceAnalysis.get after cv2.imdecode",
        aim="≤ 1.15",
        rounds=setting.rounds,
    )
