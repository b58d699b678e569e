"""Where the time of an enrolment goes: each stage by itself beside the bare sessions of the same pack, by one and by two threads.

A detection stands beside the detector's session alone and an embedding beside the recogniser's, on inputs that were made before;
what has no model of its own stands beside both sessions together, so that its ratio is its share of what nobody can do without.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import cv2
import numpy as np
from insightface.app import FaceAnalysis
from numpy.typing import NDArray

from backend.faces.engine import Metric
from backend.faces.image import ImageLimits, read
from backend.faces.insight import InsightEngine
from backend.faces.scrfd import Detector
from backend.gallery.flat import FlatIndex
from tests.bench.gallery import DIMENSION, THRESHOLD, made, replica_of
from tests.bench.measure import Benchmark, Setting, compared, seconds
from tests.bench.raw_models import bare_models
from tests.ledger.world import CLIENT, People, World, face

THREADS = (1, 2)
PHOTOGRAPHS = 8
TEMPLATES = 100_000
CROP_BYTES = 30_000

Work = Callable[[int], object]
"""of the photograph with that number"""


def stages(setting: Setting) -> Iterator[Benchmark]:
    pack = setting.testdata / "models" / "test_mbf"
    files = [file.read_bytes() for file in sorted((setting.testdata / "faces").glob("*/01.jpg"))[:PHOTOGRAPHS]]
    raw = _Bare(bare_models(pack), files)
    world = World(setting.folder / "ledger")
    world.folder.mkdir()
    node = world.create().node()
    try:
        people, crop = People(np.random.default_rng(5)), bytes(CROP_BYTES)
        strangers = iter([face(people.stranger(), crop) for _ in range(2_000)])
        ours = _of_images(InsightEngine(pack), files) | {
            f"search of {TEMPLATES:,} templates": _search(),
            "commit, both transactions of an enrolment": lambda _: node.enrolments.enrol([next(strangers)], caller=CLIENT),
        }
        for threads in THREADS:
            with ThreadPoolExecutor(threads) as pool:
                for name, work in ours.items():
                    yield _compared(setting, pool, threads, name, work, raw)
    finally:
        node.close()


def _of_images(engine: InsightEngine, files: Sequence[bytes]) -> dict[str, Work]:
    pictures = [read(data, ImageLimits()).pixels for data in files]
    faces = [engine.detect(picture)[0] for picture in pictures]
    chips = [engine.align(picture, one) for picture, one in zip(pictures, faces, strict=True)]
    return {
        "decode": lambda n: read(files[n], ImageLimits()),
        "detect": lambda n: engine.detect(pictures[n]),
        "align": lambda n: engine.align(pictures[n], faces[n]),
        "embed": lambda n: engine.describe(chips[n]),
    }


def _search() -> Work:
    index = FlatIndex(DIMENSION, Metric.cosine)
    index.reserve(TEMPLATES)
    index.add(np.arange(TEMPLATES, dtype=np.int64), made(TEMPLATES, seed=3))
    replica, queries = replica_of(index), made(PHOTOGRAPHS, seed=4)
    return lambda n: replica.within(queries[n], THRESHOLD)


class _Bare:
    """The library's own sessions, run on tensors that are ready."""

    def __init__(self, models: FaceAnalysis, files: Sequence[bytes]) -> None:
        detector, self._recogniser = Detector.of(models.det_model), models.models["recognition"]
        pictures = [np.ascontiguousarray(read(data, ImageLimits()).pixels[:, :, ::-1]) for data in files]
        self._detections: list[list[tuple[Any, dict[str, NDArray[np.float32]]]]] = [
            [
                (detector._session_for_input_size(size), {detector.input_name: detector._blob(picture, size)[0]})
                for size in detector.input_sizes
            ]
            for picture in pictures
        ]
        self._outputs = detector.output_names
        size = tuple(self._recogniser.input_size)
        self._chips = [
            cv2.dnn.blobFromImage(cv2.resize(picture, size), 1 / 127.5, size, (127.5,) * 3, swapRB=True) for picture in pictures
        ]

    def detector(self, n: int) -> None:
        for session, inputs in self._detections[n]:
            session.run(self._outputs, inputs)

    def recogniser(self, n: int) -> None:
        self._recogniser.session.run(self._recogniser.output_names, {self._recogniser.input_name: self._chips[n]})

    def both(self, n: int) -> None:
        self.detector(n)
        self.recogniser(n)


def _compared(setting: Setting, pool: ThreadPoolExecutor, threads: int, name: str, work: Work, raw: _Bare) -> Benchmark:
    peers: dict[str, tuple[str, Work]] = {
        "detect": ("the detector's sessions alone", raw.detector),
        "embed": ("the recogniser's session alone", raw.recogniser),
    }
    peer, peer_work = peers.get(name, ("both models' sessions alone", raw.both))
    return compared(
        f"stage {name}, {threads} thread{'s' * (threads > 1)}",
        partial(_milliseconds, pool, work),
        partial(_milliseconds, pool, peer_work),
        unit="ms an image",
        peer=peer,
        aim="–",
        rounds=setting.rounds,
    )


def _milliseconds(pool: ThreadPoolExecutor, work: Work) -> float:
    """Of the whole machine: seconds of a round over its photographs."""
    return seconds(lambda: list(pool.map(work, range(PHOTOGRAPHS)))) / PHOTOGRAPHS * 1000
