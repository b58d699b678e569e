"""The liveness signal over HTTP, with a model made for the test (the add-on's own weights may not be kept here)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.api.pictures import same_woman, woman
from tests.api.service import Site, serving
from tests.faces.test_liveness import made_liveness_model


def test_a_signal_stands_beside_each_probe_and_decides_nothing(site: Site, tmp_path: Path) -> None:
    model = made_liveness_model(tmp_path / "liveness.onnx")
    settings = {"BACKEND_LIVENESS_MODEL": str(model), "BACKEND_LIVENESS_THRESHOLD": "0.99"}
    with serving(site, **settings) as service, service.client(site.key("admin")) as client:
        seen = client.detect(woman()).faces[0].liveness
        assert seen is not None
        assert (seen.status, seen.live, seen.threshold) == ("judged", False, 0.99)
        assert seen.score is not None
        assert 0 < seen.score < 0.99
        subject = client.enrol([woman()]).subject_id
        verified = client.verify(same_woman(), subject_id=subject)
        assert verified.decision == "match"
        assert verified.liveness is not None
        assert verified.liveness.live is False
        found = client.identify(woman(), min_seq=None).faces[0]
        assert found.candidates[0].subject_id == subject
        assert found.face.liveness == seen


def test_without_a_model_nothing_is_said(site: Site) -> None:
    with serving(site) as service, service.client(site.key("admin")) as client:
        assert client.detect(woman()).faces[0].liveness is None


def test_a_file_that_is_no_such_model_stops_the_start_with_a_sentence(site: Site, tmp_path: Path) -> None:
    (tmp_path / "liveness.onnx").write_bytes(b"no model")
    with (
        pytest.raises(AssertionError, match="cannot be used as a liveness model"),
        serving(site, BACKEND_LIVENESS_MODEL=str(tmp_path / "liveness.onnx")),
    ):
        pass
