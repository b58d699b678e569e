"""The README's pictures, taken from a fleet that really runs: `python -m tests.system.screenshots`.

Only the public-domain face of scikit-image (NASA's portrait of Eileen Collins) is ever shown.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect

from backend.wire import CaseState
from tests.system import browser
from tests.system.running_fleet import ROOT, Fleet, running_fleet

FOLDER = ROOT / "docs" / "screenshots"
REQUESTS = 60
PUBLIC_DOMAIN = "demo-astronaut"


def main() -> int:
    with tempfile.TemporaryDirectory() as folder, running_fleet(Path(folder) / "run", "--no-traffic") as fleet:
        _some_client_traffic(fleet)
        with browser.page(width=1300, height=760) as page:
            browser.sign_in(page, fleet.access["dashboard"], fleet.access["sign_ins"]["admin"])
            _fleet(page)
            _case(page, fleet)
    print(*sorted(str(picture.relative_to(ROOT)) for picture in FOLDER.glob("*.png")))
    return 0


def _some_client_traffic(fleet: Fleet) -> None:
    """A bounded number of searches, so that the shares have something to say."""
    with fleet.backend() as api:
        subject = next(item for item in api.subjects(external_id=PUBLIC_DOMAIN).items)
        crop = api.sample_image(subject.id, subject.samples[0].id)
        for _ in range(REQUESTS):
            api.identify(crop)


def _fleet(page: Page) -> None:
    expect(page.locator(".st-key-backend-b1")).to_contain_text("%")
    _settled(page)
    browser.picture(page, FOLDER, "fleet")


def _case(page: Page, fleet: Fleet) -> None:
    with fleet.backend() as api:
        cases = api.cases(state=CaseState.open).items
        wanted = {item.id for item in api.subjects().items if (item.external_id or "").startswith(PUBLIC_DOMAIN)}
    place = next(number for number, case in enumerate(cases) if set(case.subject_ids) <= wanted)
    page.get_by_role("link", name="Duplicates").click()
    page.get_by_role("button", name="Open", exact=True).nth(place).click()
    expect(page.locator("img[src^='data:image/jpeg']")).to_have_count(2)
    _settled(page)
    browser.picture(page, FOLDER, "duplicates")


def _settled(page: Page) -> None:
    page.evaluate("document.fonts.ready")
    expect(page.get_by_text("Running...")).to_have_count(0)


if __name__ == "__main__":
    sys.exit(main())
