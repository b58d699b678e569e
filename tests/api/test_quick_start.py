"""The service with a snapshot folder: killed without warning and started again, or gone for good."""

from __future__ import annotations

import signal
from base64 import b64encode
from contextlib import closing

from sqlmodel import select

from backend.store.database import Store
from backend.store.index_snapshots import KEPT_AFTER_REMOVAL
from backend.store.keyring import Keyring
from backend.store.tables import GalleryChange, IndexSnapshot
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


def test_a_replica_without_snapshots_destroys_the_key_of_anothers_that_holds_an_erased_person(fresh_site: Site) -> None:
    settings = {"BACKEND_SNAPSHOT_DIR": str(fresh_site.folder / "snapshots"), "BACKEND_SNAPSHOT_EVERY_S": "0.2"}
    image, key = b64encode(woman()).decode(), fresh_site.key("client")
    with serving(fresh_site, name="b1", **settings) as service:
        subject = service.request("POST", "/v1/subjects", key, {"images": [image]}).json()["subject_id"]
        wait_until(lambda: "index snapshot written" in service.log("app.log"), what="a snapshot")
        service.terminate(signal.SIGKILL)
        service.exit_code()
    with serving(fresh_site, name="b2") as service:
        assert service.request("DELETE", f"/v1/subjects/{subject}", key).status_code == 204
    store = Store.open(f"sqlite:///{fresh_site.database}", keyring=Keyring.load(fresh_site.folder / "master.key"))
    with closing(store):
        assert _snapshots(store) == ["b1"]
        with store.write() as session:
            session.exec(select(GalleryChange).where(GalleryChange.kind == "remove")).one().at -= KEPT_AFTER_REMOVAL
        with serving(fresh_site, name="b2"):
            wait_until(lambda: _snapshots(store) == [], what="the key being destroyed")


def _snapshots(store: Store) -> list[str]:
    with store.read() as session:
        return [row.holder for row in session.exec(select(IndexSnapshot))]
