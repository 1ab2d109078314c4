"""Which build of the workbook this is."""

import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]  # not from lib.paths, which needs lib.errors, which needs this


def version() -> str:
    """'global-local-attention-workbook 0.1.0 (commit 1a2b3c4…)'"""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return f"{project['name']} {project['version']} (commit {commit()})"


def commit() -> str:
    """The repository's commit, with '+changes' when files differ from it; 'unknown' outside a repository."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(ROOT), *words], capture_output=True, text=True, timeout=10
        ).stdout.strip()

    try:
        head = git("rev-parse", "HEAD")
        return (head + "+changes" * bool(git("status", "--porcelain", "-uno"))) if head else "unknown"
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
