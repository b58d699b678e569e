"""The same service with the other engine: what it says of itself, and a duplicate whose score another replica repeats."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend import wire
from tests.api.pictures import group, same_woman, woman
from tests.api.service import make_site, serving


@pytest.mark.weights
def test_a_duplicate_is_found_with_insightface_and_its_score_is_repeated(tmp_path: Path, testdata: Path) -> None:
    pack = str((testdata / "models" / "test_mbf").resolve())
    site = make_site(tmp_path / "site", BACKEND_ENGINE="insightface", BACKEND_MODEL_PACK=pack)
    with serving(site) as one, serving(site, name="b2") as two:
        client, elsewhere = one.client(site.key("client", "viewer")), two.client(site.key("client"))
        assert client.self().engine == "insightface"
        assert len(client.detect(group()).faces) == 6
        first, twin = client.enrol([woman()]), elsewhere.enrol([same_woman()])
        assert [pair.subject_id for pair in twin.duplicates] == [first.subject_id]
        assert twin.case_id is not None
        reviewer = two.client(site.dashboard.token("reviewer"))
        (pair,) = reviewer.case(twin.case_id).pairs
        crops = [reviewer.sample_image(side.subject_id, side.sample_id) for side in (pair.a, pair.b)]
        for replica in (client, elsewhere):
            assert abs(replica.verify(crops[0], reference_image=crops[1]).score - pair.score) <= 0.001
        assert reviewer.next_case().state is wire.CaseState.claimed
