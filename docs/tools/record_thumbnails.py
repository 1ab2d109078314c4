"""README's small pictures, one a notebook, from the figures of an executed report.

python docs/tools/record_thumbnails.py outputs/report docs/assets/thumbnails
"""

import base64
import io
import sys
from pathlib import Path

from PIL import Image

from lib.report.pages.notebook_page import read_executed
from lib.report.pages.notebook_summary import thumbnails
from lib.report.pages.toc import table_of_contents

SIZE = (300, 190)  # px
CHOSEN = {
    "00": 2,
    "01": 0,
    "02": 2,
    "03": 1,
    "04": 0,
    "05": 0,
    "06": 2,
    "07": 2,
    "08": 1,
    "09": 1,
    "10": 0,
}  # of a notebook's three


def main(report: Path, folder: Path) -> None:
    """Write NUMBER.webp of each notebook into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, chosen in CHOSEN.items():
        (path,) = (report / "notebooks").glob(f"{number}_*.ipynb")
        notebook = read_executed(path)
        table_of_contents(notebook)  # marks what may be a thumbnail
        shown = thumbnails(notebook)[chosen]
        picture = Image.open(io.BytesIO(base64.b64decode(shown.uri.partition(",")[2]))).convert("RGBA")
        cut(picture).save(folder / f"{number}.webp", quality=85)


def cut(picture: Image.Image) -> Image.Image:
    """The upper part of `picture`, as wide as SIZE, on white."""
    scale = SIZE[0] / picture.width
    resized = picture.resize((SIZE[0], round(picture.height * scale)), Image.Resampling.LANCZOS)
    sheet = Image.new("RGB", SIZE, "white")
    sheet.paste(resized, (0, max(0, (SIZE[1] - resized.height) // 2)), resized)
    return sheet


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
