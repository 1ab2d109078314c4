"""The files that views are made of, and by what a page of the report tells a view's script from any other.

A page runs the scripts of this list and its own, and no others: its Content-Security-Policy (`lib.report.pages.frame`)
names each by the digest of its text, which is read from the files here and never from what a notebook shows. So a script
that came with data does not run, and neither does one of a view that is not in `SCRIPTS`.
"""

import base64
import hashlib
from collections.abc import Iterable
from pathlib import Path

FOLDER = Path(__file__).parent / "explain" / "views"
# Every script that a view may have: the names of the files that it is made of, one after the other, behind view.js.
SCRIPTS = (
    "save explorer",
    "save comparison",
    "live save chart matrix run_browser",
    "live save finder zoom lens live_explorer",
    "live save chart finder zoom lens live_comparison",
)


def view_file(name: str) -> str:
    """The text of a file of `lib/explain/views`."""
    return (FOLDER / name).read_text(encoding="utf-8")


def script_files(script: str) -> list[str]:
    """The files of one of `SCRIPTS`.

    Raises:
        ValueError: no page would run it.
    """
    if script not in SCRIPTS:
        raise ValueError(f"No page would run the script {script!r}: name it in lib.view_files.SCRIPTS.")
    return [f"{name}.js" for name in ("view", *script.split())]


def view_script(script: str) -> str:
    """The text of one of `SCRIPTS`, in a block, so that several stand in one page."""
    return f"{{\n{''.join(map(view_file, script_files(script)))}}}"


def view_scripts() -> list[str]:
    """The texts of all of them."""
    return [view_script(script) for script in SCRIPTS]


def script_sources(scripts: Iterable[str]) -> str:
    """What a policy's `script-src` says so that a browser runs the inline `scripts` and no other."""
    digests = (hashlib.sha256(script.encode()).digest() for script in scripts)
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests) or "'none'"
