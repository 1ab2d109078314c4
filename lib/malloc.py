"""Freed memory stays with the process, as PyTorch's own allocator keeps a GPU's.

On Linux, glibc gives large blocks back to the system when they are freed; the next step of training asks for the same
again, and the system fills every page with zeros first. On a CPU that costs some per cent of a step
(`benchmarks/freed_memory.py`), and of whatever else holds much until its end, as DCAL's inference does for its rollout.

The price: a process holds the most memory it ever needed until it ends. Who would rather not pay it runs with an empty
GLIBC_TUNABLES.
"""

import ctypes
import os
import platform

# mallopt's parameters, and the variables by which a user sets them: see mallopt(3).
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
OWN_SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_", "GLIBC_TUNABLES")


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed blocks of any size for the next that asks; whether that was done.

    It is not done where the C library is another one, or where the environment has settings of its own (mallopt(3)).
    """
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in OWN_SETTINGS):
        return False
    libc = ctypes.CDLL(None)
    most = 2**31 - 1  # a C int
    return bool(libc.mallopt(M_MMAP_THRESHOLD, 2**30) and libc.mallopt(M_TRIM_THRESHOLD, most))
