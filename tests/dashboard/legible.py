"""What a reader of a page in a real browser trips over."""

from __future__ import annotations

from playwright.sync_api import Page

BROKEN = """main => {
  const found = [], walk = document.createTreeWalker(main, NodeFilter.SHOW_TEXT);
  for (let node; (node = walk.nextNode());)
    for (const word of node.nodeValue.matchAll(/(?<![\\w{])[A-Za-z]{2,18}(?![\\w}])/g)) {
      const range = document.createRange();
      range.setStart(node, word.index);
      range.setEnd(node, word.index + word[0].length);
      const lines = new Set([...range.getClientRects()].filter(one => one.width > 0).map(one => Math.round(one.top)));
      if (lines.size > 1) found.push(word[0]);
    }
  return found;
}"""


def broken_words(page: Page) -> list[str]:
    """Ordinary words that go on in the next line, in the order of the page."""
    found: list[str] = page.get_by_test_id("stMain").evaluate(BROKEN)
    return found
