import os
import platform
import subprocess
import sys

import pytest

from lib import malloc

# Twenty blocks of 4 MiB are written and freed, three times over; printed is how many pages the third time asked for.
BLOCKS = """
import resource, lib
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [bytearray(b"x") * 2**22 for _ in range(20)]
    del blocks
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def pages(**environment):
    inherited = {name: value for name, value in os.environ.items() if name not in malloc.OWN_SETTINGS}
    command = [sys.executable, "-c", BLOCKS]
    return int(subprocess.run(command, env=inherited | environment, check=True, capture_output=True, text=True).stdout)


def test_freed_memory_is_used_again_unless_the_user_has_settings():
    assert pages() < 100 < 10_000 < pages(GLIBC_TUNABLES="")


@pytest.mark.parametrize("name", malloc.OWN_SETTINGS)
def test_settings_of_the_user_stay(monkeypatch, name):
    monkeypatch.setenv(name, "")
    assert not malloc.keep_freed_memory()


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not malloc.keep_freed_memory()
