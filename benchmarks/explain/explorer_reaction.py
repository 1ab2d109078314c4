"""What the attention explorer costs at the size of DeiT-Tiny: time to build, size, and time to react in Chromium.

    python -m benchmarks.explain.explorer_reaction [--images 4]

The network is not trained; the maps are as many and as large as those of one that is. A reaction is the whole handler of
a slider's step or a click, drawing included; the limit is 300 ms.
"""

import argparse
import shutil
import time

import numpy as np
import torch
from playwright.sync_api import sync_playwright

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=4)
    count = parser.parse_args().images
    torch.manual_seed(0)
    model = create_dcal_model("deit_tiny_patch16_224", num_classes=10, img_size=224).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (count, 224, 224, 3), dtype=np.uint8)
    began = time.perf_counter()
    view = explorer_of({"DCAL": model}, pixels)
    html = view.html
    print(
        f"{count} images of 224 × 224 pixels, 12 layers: built in {time.perf_counter() - began:.1f} s, {len(html) / 1e3:.0f} kB"
    )
    print("; ".join(view.left_out) or "nothing was left out")
    with sync_playwright() as machinery:
        browser = machinery.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_content(html)
        page.wait_for_selector(".live:not([hidden])")
        page.get_by_label("map", exact=True).select_option("attention of a patch")
        for what in ("slider", "click"):
            median, worst = np.percentile(page.evaluate(REACT, what), [50, 100])
            print(f"{what}: {median:.1f} ms, at worst {worst:.1f} ms: {worst / LIMIT_MS:.0%} of {LIMIT_MS} ms")
        browser.close()


if __name__ == "__main__":
    main()
