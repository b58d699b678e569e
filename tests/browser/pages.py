"""The pages as the sitemap has them: a new one is in every test and picture here without being named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dashboard.roles import Right, Role, may
from dashboard.sitemap import PAGES
from tests.system.running_fleet import Fleet


@dataclass(frozen=True)
class SitePage:
    title: str
    path: str
    right: Right

    def is_for(self, role: Role) -> bool:
        return may([role], self.right)


def all_pages() -> Iterator[SitePage]:
    for right, _, _, title, _, path in PAGES:
        yield SitePage(title, path, right)


SITE = tuple(all_pages())


def query(page: SitePage, fleet: Fleet) -> str:
    """What a page needs in its address to show more than a list: `backend` shows one of them."""
    return f"?name={next(iter(fleet.access['backends']))}" if page.path == "backend" else ""
