"""A hook of mkdocs: the scripts in findings/, each under its name and whole, on findings.md."""

from lib.paths import ROOT

FINDINGS = "<!-- findings -->"


def on_page_markdown(markdown: str, **_) -> str:
    """`markdown` with the scripts in place of FINDINGS."""
    scripts = sorted((ROOT / "findings").glob("*.sh"))
    return markdown.replace(
        FINDINGS, "\n".join(f"## {path.stem}\n\n```sh\n{path.read_text()}```\n" for path in scripts)
    )
