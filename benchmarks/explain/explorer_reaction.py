"""How soon the attention explorer reacts in Chromium, at the size of DeiT-Tiny.

    python -m benchmarks.explain.explorer_reaction [--images 4]

The network is not trained; the maps are as many and as large as those of one that is. A reaction is the whole handler of
a slider's step or a click, drawing included; the limit is 300 ms.
"""

import shutil
from collections.abc import Iterator

import numpy as np
import torch
from playwright.sync_api import sync_playwright

from benchmarks.program import run
from benchmarks.rows import Row, of_turns
from lib import create_dcal_model
from lib.explain import explorer_of

LIMIT_MS = 300
ARGUMENTS = ["--no-sandbox", "--disable-gpu"]

# Milliseconds of each of 60 reactions: of the layer's slider, then of clicks all over the picture.
REACT = """async what => {
    const slider = document.querySelector('input[type=range]'), canvas = document.querySelector('canvas.query'), times = [];
    const box = canvas.getBoundingClientRect();
    for (let n = 0; n < 60; n++) {
        slider.value = n % 12;
        const at = {clientX: box.left + box.width * (n % 10 + .5) / 10, clientY: box.top + box.height * (n % 7 + .5) / 7};
        const began = performance.now();
        if (what === 'slider') slider.dispatchEvent(new Event('input'));
        else canvas.dispatchEvent(new MouseEvent('click', at));
        times.push(performance.now() - began);
        await new Promise(requestAnimationFrame);
    }
    return times;
}"""


def rows(quick: bool = False, images: int = 4) -> Iterator[Row]:
    torch.manual_seed(0)
    model = create_dcal_model("deit_tiny_patch16_224", num_classes=10, img_size=224).eval()
    shape = (1 if quick else images, 224, 224, 3)
    html = explorer_of({"DCAL": model}, np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)).html
    with sync_playwright() as machinery:
        browser = machinery.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_content(html)
        page.wait_for_selector(".live:not([hidden])")
        page.get_by_label("map", exact=True).select_option("attention of a patch")
        for what in ("slider", "click"):
            times = page.evaluate(REACT, what)
            note = f"{np.median(times):.1f} ms, {len(html) / 1e3:.0f} kB of page"
            name, ratios = f"reaction of the explorer to a {what}", [ms / LIMIT_MS for ms in times]
            yield of_turns(name, f"{LIMIT_MS} ms", ratios, note, at_most=1.0)
        browser.close()


if __name__ == "__main__":
    run(rows)
