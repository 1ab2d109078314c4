"""The runs of a study that are not there yet, trained in this process: for studies whose runs take seconds."""

import logging
from collections.abc import Iterable

from lib.errors import WorkbookError
from lib.progress import Progress
from lib.report.study.study import Study, study_of
from lib.training.fitting import fit

log = logging.getLogger(__name__)


def train_missing(study: Study, seeds: int, tables: Iterable[str] | None = None) -> Study:
    """Train what is missing in the rows of `tables` (None: all) for the first `seeds` of the protocol's, one run after
    the other, and return the study as the store then is.

    They are the very runs of `run_all.py sweep`, which trains many at a time. A run that cannot be trained stays
    missing, and the log says why. What is finished and whole is not looked at, whatever code it was trained by.
    """
    rows = study.every_row() if tables is None else (row for table in tables for row in study.rows(table))
    wanted = dict.fromkeys(config for row in rows for config in study.configs(row)[:seeds])
    missing = [config for config in wanted if not study.store.run(config).sound]
    with Progress(len(missing), "training what is missing", "runs") as bar:
        for config in missing:
            try:
                fit(config, study.store)
            except WorkbookError as error:
                log.warning("%s stays missing: %s", config.name, error)
            bar.advance()
    return study_of(study.plan, study.store, **study.changes)
