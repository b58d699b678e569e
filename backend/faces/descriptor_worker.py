"""The child process of `descriptors.py`: faces in on standard input, descriptors out on standard output.

Run by its path, as it needs nothing of ours: `python -P descriptor_worker.py WEIGHTS`. It says READY once the weights are
loaded, and ends when its input does, so that it never outlives a parent, however that one ended.
"""

from __future__ import annotations

import signal
import sys

import dlib
import numpy as np

CHIP_PX = 150
CHIP_BYTES = CHIP_PX * CHIP_PX * 3
DESCRIPTOR_BYTES = 128 * 8
READY = b"R"


def main(weights: str) -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    try:
        recogniser = dlib.face_recognition_model_v1(weights)
    except RuntimeError:
        return 1
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    answers.write(READY)
    answers.flush()
    while len(chip := requests.read(CHIP_BYTES)) == CHIP_BYTES:
        pixels = np.frombuffer(chip, np.uint8).reshape(CHIP_PX, CHIP_PX, 3)
        answers.write(np.array(recogniser.compute_face_descriptor(pixels), np.float64).tobytes())
        answers.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
