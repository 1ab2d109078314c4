"""A folder of results that is finished when its last file is there, read with an eye to damage."""

import logging
from pathlib import Path
from typing import Any

import pandas as pd

from lib.disk.manifest import MANIFEST, difference, read_manifest, seal
from lib.errors import WorkbookFileError, warn_once
from lib.files import from_json, json_text
from lib.inputs import note

log = logging.getLogger(__name__)


class SealedFolder:
    """Files that are read as they were written, or not at all.

    A subclass says which there are, and what can be done about damage.
    """

    last = "metrics.json"  # what says that the folder is finished
    files: tuple[str, ...] = ()  # all others that its manifest tells of, those that are there
    spare = ""  # one of them without which results can still be looked at, large as it is
    remedy = ""  # a sentence

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    @property
    def finished(self) -> bool:
        """Whether the last file is there. A notebook that asks rests on the answer (`lib.inputs.note`)."""
        note(self.path / self.last)
        return (self.path / self.last).exists()

    @property
    def sound(self) -> bool:
        """Whether it is finished and none of its files is damaged; of one that is, a warning tells, once."""
        harm = self._harm() if self.finished else {}
        for name, what in harm.items():
            warn_once(log, f"{self.path / name} is damaged: {what}. It counts as missing. {self.remedy}")
        return self.finished and not harm

    def damage(self, trusting: bool = True) -> dict[str, str]:
        """{file: what is wrong with it}: files that are not what the manifest says.

        Of a folder of an earlier build, which has none, those that cannot be read. `trusting` leaves files unread that
        nobody has touched.
        """
        try:
            manifest = read_manifest(self.path)
        except ValueError as error:
            return {MANIFEST: f"it cannot be read ({error})"}
        if manifest is None:
            return self.unreadable(trusting) if self.finished else {}
        found = {name: difference(self.path / name, then, trusting) for name, then in manifest.items()}
        return {name: what for name, what in found.items() if what}

    def unreadable(self, trusting: bool) -> dict[str, str]:
        """{file: why it cannot be read}, as far as that can be known without a manifest; the large ones unless `trusting`."""
        return {}

    def refuse_damaged(self) -> None:
        """Raise a WorkbookFileError that names every damaged file, where there is one."""
        if harm := self._harm():
            files = "; ".join(f"{name}: {what}" for name, what in harm.items())
            raise WorkbookFileError(f"{self.path} is damaged ({files}). {self.remedy}")

    def _harm(self) -> dict[str, str]:
        """The damage but for spare files that were left out of a copy."""
        return {name: what for name, what in self.damage().items() if name != self.spare or (self.path / name).exists()}

    def finish(self, results: dict) -> None:
        """Write the last file, JSON in which what is no number is null, after a manifest of all."""
        seal(self.path, self.files, self.last, json_text(results))

    def file(self, name: str) -> Path:
        """A file of the folder, which is what the manifest says, where there is one.

        Raises:
            WorkbookFileError: it is missing or damaged.
        """
        path = self.path / name
        if not path.is_file():
            raise WorkbookFileError(f"{self.path} has no {name}: it is not finished. {self.remedy}")
        note(path)
        try:
            then = (read_manifest(self.path) or {}).get(name)
        except ValueError as error:
            raise WorkbookFileError(f"{self.path / MANIFEST} is damaged ({error}). {self.remedy}") from error
        if then is not None and (what := difference(path, then)):
            raise WorkbookFileError(f"{path} is damaged: {what}. {self.remedy}")
        return path

    def read_json(self, name: str, *keys: str) -> dict:
        """A file that holds a JSON object with `keys`; raises what `file` does."""
        path = self.file(name)
        try:
            content = from_json(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise WorkbookFileError(f"{path} is not valid JSON ({error}). {self.remedy}") from error
        if not isinstance(content, dict) or not content.keys() >= set(keys):
            raise WorkbookFileError(f"{path} is damaged: it is no object with {', '.join(keys)}. {self.remedy}")
        return content

    def read_table(self, name: str, *columns: str, **options: Any) -> pd.DataFrame:
        """A CSV file that has `columns`; raises what `file` does."""
        path = self.file(name)
        try:
            table = pd.read_csv(path, encoding_errors="surrogateescape", **options)  # as names of files are
        except ValueError as error:  # of the parser, of the types, of bytes that are no UTF-8
            raise WorkbookFileError(f"{path} cannot be read ({error}). {self.remedy}") from error
        if missing := [column for column in columns if column not in table]:
            raise WorkbookFileError(f"{path} is damaged: it has no column {missing[0]}. {self.remedy}")
        return table
