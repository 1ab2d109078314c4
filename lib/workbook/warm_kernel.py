"""A notebook's kernel, forked from the process that runs the notebook before that has begun anything else."""

import atexit
import contextlib
import gc
import json
import multiprocessing
import os
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from typing import Any

import matplotlib
from ipykernel.kernelapp import launch_new_instance
from jupyter_client import KernelConnectionInfo
from jupyter_client.provisioning import KernelProvisionerFactory, LocalProvisioner

from lib.workbook.warm import FORKS, surround

LAUNCHER = "ipykernel_launcher"  # in a kernel's command; what follows are its arguments
NAME = "forked"  # of the provisioner
INLINE = "module://matplotlib_inline.backend_inline"  # as a kernel that imports matplotlib itself has it


class WaitingKernel:
    """A process that becomes a kernel when it is told how, and ends with ours.

    It has of `subprocess.Popen` what `jupyter_client` asks of a kernel.
    """

    stdin = stdout = stderr = None

    def __init__(self) -> None:
        reading, self._writing = os.pipe()
        self._process = multiprocessing.get_context("fork").Process(target=_wait, args=(reading, self._writing))
        self._process.start()
        os.close(reading)
        self.pid = self._process.pid

    def tell(self, *command: list[str] | dict[str, str] | str) -> None:
        """The arguments, environment and folder of the kernel that it is to become; nothing ends it."""
        with os.fdopen(self._writing, "w") as pipe:
            json.dump(command, pipe)

    def poll(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int | None:
        """Its exit status once it has ended; None if it still runs after `timeout` [s]."""
        self._process.join(timeout)
        return self._process.exitcode

    @property
    def returncode(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send the process, and it alone, the signal `number`."""
        os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end (SIGTERM)."""
        self._process.terminate()

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        self._process.kill()


def _wait(reading: int, writing: int) -> None:
    os.close(writing)
    os.setsid()
    with os.fdopen(reading) as pipe:
        command = json.loads(pipe.read() or "[]")
    if not command:
        return
    arguments, environment, folder = command
    surround(environment, folder)
    gc.freeze()  # what is there already, and stays: a collection takes a third of a second otherwise
    matplotlib.rcParams["backend"] = environment.get("MPLBACKEND", INLINE)
    launch_new_instance(argv=arguments, parent_handle=os.getppid())  # with which it ends
    atexit._run_exitfuncs()  # which a forked process leaves to the one that it was forked from


class ForkedKernel(LocalProvisioner):
    """Starts the kernel that waits, if it is the running interpreter's; others as ever."""

    waiting: WaitingKernel | None = None

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Tell the waiting process to become the kernel of `cmd`, where that is ours; else start one as LocalProvisioner
        does."""
        if self.waiting is None or cmd[0] != sys.executable or LAUNCHER not in cmd:
            return await super().launch_kernel(cmd, **kwargs)
        folder = str(kwargs.get("cwd") or os.getcwd())
        self.waiting.tell(cmd[cmd.index(LAUNCHER) + 1 :], kwargs["env"], folder)
        self.process, self.pid, self.pgid, self.cwd = self.waiting, self.waiting.pid, self.waiting.pid, folder
        type(self).waiting = None
        return self.connection_info


@contextlib.contextmanager
def kernel_at_hand() -> Iterator[None]:
    """The next kernel that this process starts has been forked before; enter it before anything starts a thread."""
    if not FORKS:
        yield
        return
    ForkedKernel.waiting = WaitingKernel()
    factory = KernelProvisionerFactory.instance()
    factory.provisioners[NAME] = EntryPoint(NAME, f"{__name__}:{ForkedKernel.__name__}", factory.GROUP_NAME)
    factory.default_provisioner_name = NAME
    try:
        yield
    finally:
        if ForkedKernel.waiting:  # nobody wanted it
            ForkedKernel.waiting.tell()
