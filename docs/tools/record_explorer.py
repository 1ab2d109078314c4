"""The animated picture of README and of the site: clicks in the real explorer of an executed notebook, in Chromium.

python docs/tools/record_explorer.py outputs/report/02_glsa_training.html docs/assets/explorer.webp
"""

import io
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

WIDTH = 760  # px of the picture
CLICKS = [(0.31, 0.56), (0.44, 0.44), (0.56, 0.56), (0.44, 0.69), (0.94, 0.06), (0.06, 0.94)]  # shares of the image
IMAGES = (0, 2, 4)  # thumbnails that are chosen in turn
FRAME_MS = 650
QUALITY = 82
POINTER = """([x, y]) => {
    const dot = document.getElementById('pointer') || document.body.appendChild(Object.assign(document.createElement('div'), {id: 'pointer'}));
    dot.style = `position: fixed; z-index: 9; pointer-events: none; left: ${x - 11}px; top: ${y - 11}px; width: 18px;
        height: 18px; border: 3px solid #fff; outline: 2px solid #222; border-radius: 50%; background: #2f6db388`;
}"""


def frames(page: Page) -> Iterator[Image.Image]:
    """A picture of the view after each click."""
    view = page.locator(".attention-view").first
    view.scroll_into_view_if_needed()
    canvas, thumbnails = view.locator("canvas.query"), view.locator(".live button")
    for image in IMAGES:
        click(page, thumbnails.nth(image).bounding_box(), 0.5, 0.5)
        yield picture(view)
        for x, y in CLICKS:
            click(page, canvas.bounding_box(), x, y)
            yield picture(view)


def click(page: Page, box: dict[str, float], x: float, y: float) -> None:
    """A click at the shares (`x`, `y`) of a box, where the pointer is then seen."""
    at = box["x"] + x * box["width"], box["y"] + y * box["height"]
    page.mouse.click(*at)
    page.evaluate(POINTER, at)


def picture(view) -> Image.Image:
    """What the view looks like, without its caption."""
    return Image.open(io.BytesIO(view.locator(".live").screenshot())).convert("RGB")


def main(report: Path, target: Path) -> None:
    """Record the first explorer of the page `report` to `target`, an animated WebP."""
    with sync_playwright() as machinery:
        browser = machinery.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1100, "height": 900})
        page.goto(report.absolute().as_uri())
        page.wait_for_selector(".live:not([hidden])")
        first, *rest = frames(page)
        browser.close()
    size = (WIDTH, round(WIDTH * first.height / first.width))
    first, *rest = (each.resize(size, Image.Resampling.LANCZOS) for each in (first, *rest))
    first.save(target, save_all=True, append_images=rest, duration=FRAME_MS, loop=0, quality=QUALITY, method=6)
    print(f"{target}: {1 + len(rest)} frames, {target.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
