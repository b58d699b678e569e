"""What is sealed with a subject's key, and as what: the associated data bind each ciphertext to its row."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.store.keyring import Keyring, SubjectKey
from backend.store.tables import Sample, Subject


@dataclass(frozen=True)
class Profile:
    external_id: str | None
    metadata: Mapping[str, str]


@dataclass(frozen=True)
class SampleDetails:
    """`landmarks`: five points in pixels of the crop; `quality`: as `wire.Quality`."""

    landmarks: Sequence[Sequence[float]]
    quality: Mapping[str, Any]


def key_of(keyring: Keyring, subject: Subject) -> SubjectKey | None:
    """None: the key was destroyed."""
    return None if subject.wrapped_key is None else keyring.subject_key(subject.id, subject.wrapped_key)


def seal_vector(key: SubjectKey, vector: NDArray[np.float32], *, template_id: str, model_id: str) -> bytes:
    return key.seal(np.ascontiguousarray(vector, dtype="<f4").tobytes(), context=f"template:{template_id}:{model_id}")


def open_vector(key: SubjectKey, sealed: bytes, *, template_id: str, model_id: str) -> NDArray[np.float32]:
    """(d,) float32, exactly as it was sealed."""
    data = key.open(sealed, context=f"template:{template_id}:{model_id}")
    return np.frombuffer(data, dtype="<f4").astype(np.float32, copy=False)


def seal_profile(key: SubjectKey, profile: Profile, *, subject_id: str) -> bytes:
    return _seal(key, {"external_id": profile.external_id, "metadata": dict(profile.metadata)}, f"profile:{subject_id}")


def open_profile(key: SubjectKey | None, subject: Subject) -> Profile:
    if key is None or subject.sealed_profile is None:
        return Profile(None, {})
    return Profile(**json.loads(key.open(subject.sealed_profile, context=f"profile:{subject.id}")))


def seal_details(key: SubjectKey, details: SampleDetails, *, sample_id: str) -> bytes:
    content = {"landmarks": [list(map(float, point)) for point in details.landmarks], "quality": dict(details.quality)}
    return _seal(key, content, f"details:{sample_id}")


def open_details(key: SubjectKey, sample: Sample) -> SampleDetails:
    return SampleDetails(**json.loads(key.open(sample.sealed_details, context=f"details:{sample.id}")))


def seal_crop(key: SubjectKey, jpeg: bytes, *, sample_id: str) -> bytes:
    return key.seal(jpeg, context=f"crop:{sample_id}")


def open_crop(key: SubjectKey, sample: Sample) -> bytes | None:
    """None where pictures are not stored."""
    return None if sample.sealed_crop is None else key.open(sample.sealed_crop, context=f"crop:{sample.id}")


def _seal(key: SubjectKey, content: Mapping[str, Any], context: str) -> bytes:
    return key.seal(json.dumps(content, separators=(",", ":")).encode(), context=context)
