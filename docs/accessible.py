"""What Sphinx and its theme leave out of pages, for those who use keys or listen.

``conf.py`` calls :func:`finish_all` on the site that was written. Pages that were finished before
stay as they are.
"""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["finish", "finish_all"]

MENDS = (
    # a heading of no level
    (r'(<p class="caption" role="heading")(?! aria-level)', r'\1 aria-level="2"'),
    # two landmarks of one name
    (r'<aside class="sidebar-drawer">', '<aside class="sidebar-drawer" aria-label="All pages">'),
    (r'<aside class="(toc-drawer[^"]*)">', r'<aside class="\1" aria-label="On this page">'),
    # what is wider than the window scrolls, by keys too
    (r"<pre(?! tabindex)", '<pre tabindex="0"'),
    (r'<div (?=class="table-wrapper)', '<div tabindex="0" '),
    # the corner of a table heads nothing
    (r'<th class="head"><p></p></th>', "<td></td>"),
    # a page without a title
    (r'(?<!</h1>)<div id="search-results">', '<h1>Search</h1><div id="search-results">'),
)
_MENDS = tuple((re.compile(pattern), mend) for pattern, mend in MENDS)


def finish(html: str) -> str:
    """A page with all of it; of a finished page the same page."""
    for pattern, mend in _MENDS:
        html = pattern.sub(mend, html)
    return html


def finish_all(site: Path) -> None:
    """All pages below a folder, in place."""
    for path in site.rglob("*.html"):
        text = path.read_text("utf-8")
        if (done := finish(text)) != text:
            path.write_text(done, "utf-8")
