"""Libraries that only some methods need, imported when one of these runs."""

from importlib import import_module
from types import ModuleType

from lib.errors import WorkbookError


def needed(module: str) -> ModuleType:
    """`module` of a package that is also the name of the workbook's extra that installs it.

    Raises:
        WorkbookError: it is not installed.
    """
    package = module.split(".")[0]
    try:
        return import_module(module)
    except ImportError as error:
        raise WorkbookError(
            f"This method needs {package}, which is not installed: pip install {package}, or the workbook's extra, "
            f"pip install -e '.[{package}]'."
        ) from error
