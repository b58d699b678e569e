"""The bare models in a process of their own: `python -m tests.bench.raw_models PACK PHOTOGRAPH…`.

Each line of standard input, `enrol 4` or `probe 4`, is one round of all photographs by so many threads, no more than there are
cores; the answer is the seconds that it took. A probe is a detection and an embedding. An enrolment detects once in the
photograph, and again in the crop that is stored, of which the template is made. Nothing around the models is counted.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from insightface.app import FaceAnalysis
from numpy.typing import NDArray

from backend.faces.capture import ImageLimits, capture
from backend.faces.cores import usable_cores
from backend.faces.load import load_engine
from tests.bench.measure import seconds

Picture = NDArray[np.uint8]


def bare_models(pack: Path) -> FaceAnalysis:
    """InsightFace as it comes, given the threads and detector sizes that ours has: the difference is what we add."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    models = FaceAnalysis(
        str(pack), allowed_modules=["detection", "recognition"], providers=["CPUExecutionProvider"], sess_options=options
    )
    models.prepare(ctx_id=0, det_size=[(128, 128), (640, 640)])
    return models


def decoded(data: bytes) -> Picture:
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert found is not None
    return found.astype(np.uint8, copy=False)


def main(pack: str, *photographs: str) -> None:
    files = [Path(path).read_bytes() for path in photographs]
    engine = load_engine("insightface", model_pack=Path(pack))
    crops = [decoded(capture(engine, data, limits=ImageLimits(), choose="largest").crop) for data in files]
    models, pictures = bare_models(Path(pack)), [decoded(data) for data in files]
    work: dict[str, tuple[Callable[..., object], Sequence[Any]]] = {
        "probe": (models.get, pictures),
        "enrol": (
            lambda both: (models.det_model.detect(both[0]), models.get(both[1])),
            list(zip(pictures, crops, strict=True)),
        ),
    }
    print("ready", flush=True)
    for line in sys.stdin:
        what, threads = line.split()
        do, items = work[what]
        with ThreadPoolExecutor(min(int(threads), usable_cores())) as pool:
            print(seconds(lambda pool=pool, do=do, items=items: list(pool.map(do, items))), flush=True)  # type: ignore[misc]


if __name__ == "__main__":
    main(*sys.argv[1:])
