"""Write the diagrams of the four mechanisms, which the notebooks draw, beside the pages that show them."""

from lib.files import write_text
from lib.paths import ROOT
from lib.report.figures import mechanism_diagrams

NAMES = ("glsa", "dcal", "lesa", "gattanet")

if __name__ == "__main__":
    for name in NAMES:
        drawn = getattr(mechanism_diagrams, f"{name}_diagram")()
        write_text(ROOT / "docs" / "mechanisms" / f"{name}.svg", drawn + "\n")
