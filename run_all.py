#!/usr/bin/env python
"""Execute the notebooks and write an HTML report: `python run_all.py --help`."""

from lib.errors import run_command
from lib.workbook.commandline import main

if __name__ == "__main__":
    run_command(main)
