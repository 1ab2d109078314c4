"""A Slurm cluster of one node, started for the tests where Debian's slurm-wlm is installed and may be started."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SBIN = "/usr/sbin:/sbin"
CONFIGURATION = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={control}
SlurmdPort={node}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES State=UP
"""


@contextmanager
def slurm_cluster(folder: Path) -> Iterator[bool]:
    """Start the daemons in the foreground, below `folder`; gives False where that cannot be done."""
    path = f"{os.environ['PATH']}:{SBIN}"
    programs = [shutil.which(name, path=path) for name in ("munged", "slurmctld", "slurmd", "sinfo")]
    if not all(programs) or os.geteuid() != 0:
        yield False
        return
    munged, control, node, sinfo = programs
    for name in ("state", "spool"):
        (folder / name).mkdir()
    host = socket.gethostname().split(".")[0]
    ports = {"control": _free_port(), "node": _free_port()}
    (folder / "slurm.conf").write_text(CONFIGURATION.format(host=host, folder=folder, **ports))
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    places = [f"--{name}={folder}/munge.{name}" for name in ("socket", "pid-file", "log-file", "seed-file")]
    commands = [
        [munged, "-F", "--force", f"--key-file={key}", *places],
        [control, "-D"],
        [node, "-D"],
    ]
    daemons = []
    try:
        for command in commands:
            daemons.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        yield _is_up(sinfo)
    finally:
        del os.environ["SLURM_CONF"]
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait(20)


def _is_up(sinfo: str, tries: int = 60) -> bool:
    for _ in range(tries):
        found = subprocess.run([sinfo, "--noheader", "--format=%t"], capture_output=True, text=True)
        if found.returncode == 0 and "idle" in found.stdout:
            return True
        time.sleep(0.5)
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
