"""Whether a built site is whole: `python docs/tools/check_site.py SITE`.

Every link inside the site leads to a file, and to a place in it; and nothing is loaded from outside: a reader without a
network sees all of it. (Links to other sites may lead there, and are not followed.)
"""

import re
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {("script", "src"), ("img", "src"), ("iframe", "src"), ("link", "href"), ("source", "src"), ("video", "src")}
OUTSIDE = re.compile(r"^(https?:)?//")
NOT_LOADED = {"canonical", "prev", "next", "edit"}  # a <link> that says something and fetches nothing


class _Page(HTMLParser):
    """The links and the places of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.places: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.places |= {given[name] for name in ("id", "name") if given.get(name)}
        for name in ("href", "src"):
            if given.get(name):
                loads = (tag, name) in LOADED and given.get("rel") not in NOT_LOADED
                (self.loaded if loads else self.links).append(given[name])


def problems(site: Path) -> list[str]:
    """A line for each link that leads nowhere and for each thing loaded from outside, all pages of `site`."""
    pages = sorted(site.rglob("*.html"))
    return [f"{page.relative_to(site)}: {told}" for page in pages for told in _problems_of(page)]


def _problems_of(page: Path) -> list[str]:
    read = _read(page)
    outside = [f"loads {url[:80]} from outside" for url in read.loaded if OUTSIDE.match(url)]
    return outside + [f"{url!r} leads nowhere" for url in {*read.links, *read.loaded} if not _leads(page, url)]


def _leads(page: Path, url: str) -> bool:
    """Whether there is something at `url`, as seen from `page`; other sites are believed."""
    parts = urlsplit(url)
    if parts.scheme or parts.netloc:
        return True
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if target.is_dir():
        target /= "index.html"
    if not target.is_file():
        return page.name == "404.html"  # its links begin with the address that the site will have
    place = unquote(parts.fragment)
    return not place or target.suffix != ".html" or place.startswith("__") or place in _read(target).places


@cache
def _read(page: Path) -> _Page:
    return _Page(page)


def main(site: Path) -> int:
    """Print what is wrong; 1 where something is."""
    found = problems(site)
    print("\n".join(found) or f"{site}: every link leads somewhere, nothing is loaded from outside")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
