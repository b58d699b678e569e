"""The service with a snapshot folder, killed without warning and started again."""

from __future__ import annotations

import signal
from base64 import b64encode

from tests.api.pictures import woman
from tests.api.service import Site, serving, wait_until


def test_a_killed_service_starts_from_its_snapshot_and_knows_who_was_enrolled(fresh_site: Site) -> None:
    settings = {"BACKEND_SNAPSHOT_DIR": str(fresh_site.folder / "snapshots"), "BACKEND_SNAPSHOT_EVERY_S": "0.2"}
    image, key = b64encode(woman()).decode(), fresh_site.key("client")
    with serving(fresh_site, **settings) as service:
        subject = service.request("POST", "/v1/subjects", key, {"images": [image]}).json()["subject_id"]
        wait_until(lambda: "index snapshot written" in service.log("app.log"), what="a snapshot")
        service.terminate(signal.SIGKILL)
        service.exit_code()
    with serving(fresh_site, **settings) as service:
        assert "started from the index snapshot" in service.log("app.log")
        found = service.request("POST", "/v1/identify", key, {"image": image}).json()
        assert [candidate["subject_id"] for candidate in found["faces"][0]["candidates"]] == [subject]
