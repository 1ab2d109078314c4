"""A hook of mkdocs: the notebooks' diagrams of the mechanisms, as pictures for the pages that link to them."""

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from lib.report.figures import mechanism_diagrams

NAMES = ("glsa", "dcal", "lesa", "gattanet")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """`files` and mechanisms/NAME.svg of each paper."""
    for name in NAMES:
        svg = getattr(mechanism_diagrams, f"{name}_diagram")()
        files.append(File.generated(config, f"mechanisms/{name}.svg", content=svg))
    return files
