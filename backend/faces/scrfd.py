"""InsightFace's SCRFD detector with the same answers in less time.

The library normalises the margin around an image as well, and turns the outputs of all 16,800 anchors into boxes and landmarks to
keep two or three of them: a seventh of a detection's time. Here both is done for what is used only. Sessions, sizes and how what
several sizes find is merged are the library's.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import cv2
import numpy as np
from insightface.model_zoo.scrfd import SCRFD, distance2bbox, distance2kps
from numpy.typing import NDArray

Values = NDArray[np.float32]


class Detector(SCRFD):  # type: ignore[misc]
    @classmethod
    def of(cls, other: SCRFD) -> Detector:
        """Of the same file, on the same sessions, prepared alike."""
        made = cls(
            other.model_file,
            other.session,
            resolution_session_factory=other.resolution_session_factory,
            static_shape_sessions=other.static_shape_sessions,
        )
        made.prepare(0, nms_thresh=other.nms_thresh, det_thresh=other.det_thresh, input_size=other.input_sizes)
        return made

    def _detect_candidates(
        self, img: NDArray[np.uint8], input_size: tuple[int, int], threshold: float
    ) -> tuple[Values, Values | None]:
        """(n, 5) of left, top, right, bottom, score, by score, and (n, 5, 2) landmarks, in pixels of the BGR image `img`."""
        if self.batched or not self.use_kps:
            found: tuple[Values, Values | None] = super()._detect_candidates(img, input_size, threshold)
            return found
        blob, scale = self._blob(img, input_size)
        outputs = self._session_for_input_size(input_size).run(self.output_names, {self.input_name: blob})
        levels = [hit for level in range(self.fmc) if (hit := self._above(outputs, level, input_size, threshold))]
        if not levels:
            return np.empty((0, 5), np.float32), np.empty((0, 5, 2), np.float32)
        scores, boxes, landmarks = (np.concatenate(parts) for parts in zip(*levels, strict=True))
        order = np.argsort(-scores[:, 0], kind="stable")
        rows = np.hstack((boxes / scale, scores)).astype(np.float32, copy=False)
        return rows[order], (landmarks / scale).astype(np.float32, copy=False)[order]

    def _blob(self, img: NDArray[np.uint8], input_size: tuple[int, int]) -> tuple[Values, float]:
        """(1, 3, h, w) of RGB as the network takes it: the image scaled into the upper left corner, black elsewhere."""
        width, height = _fitting(img.shape[0] / img.shape[1], input_size)
        scaled = cv2.resize(img, (width, height))
        factor, black = 1.0 / self.input_std, -self.input_mean / self.input_std
        blob = np.empty((1, 3, input_size[1], input_size[0]), np.float32)
        blob[:, :, height:] = blob[:, :, :height, width:] = black
        for channel, plane in enumerate(reversed(cv2.split(scaled))):
            cv2.addWeighted(plane, factor, plane, 0, black, dst=blob[0, channel, :height, :width], dtype=cv2.CV_32F)
        return blob, height / img.shape[0]

    def _above(
        self, outputs: Any, level: int, input_size: tuple[int, int], threshold: float
    ) -> tuple[Values, Values, Values] | None:
        """(n, 1) scores, (n, 4) boxes and (n, 5, 2) landmarks of the anchors that reach the threshold, in pixels of the blob;
        None where there are none: most faces are seen at one level or two of the three.
        """
        stride = self._feat_stride_fpn[level]
        scores, boxes, landmarks = (outputs[level + kind * self.fmc] for kind in range(3))
        hit = np.flatnonzero(scores[:, 0] >= threshold)
        if not hit.size:
            return None
        centres = _centres(input_size[0] // stride, input_size[1] // stride, stride, self._num_anchors)[hit]
        return (
            scores[hit],
            distance2bbox(centres, boxes[hit] * stride),
            distance2kps(centres, landmarks[hit] * stride).reshape(len(hit), 5, 2),
        )


def _fitting(ratio: float, input_size: tuple[int, int]) -> tuple[int, int]:
    """Width and height of the largest image of that ratio (height to width) within `input_size`, rounded as the library does."""
    width, height = input_size
    return (int(height / ratio), height) if ratio > height / width else (width, int(width * ratio))


@cache
def _centres(width: int, height: int, stride: int, anchors: int) -> Values:
    """(height · width · anchors, 2) of x, y: every anchor's centre, in pixels."""
    y, x = (place.ravel().astype(np.float32) * stride for place in np.mgrid[:height, :width])
    return np.repeat(np.stack((x, y), axis=-1), anchors, axis=0)
