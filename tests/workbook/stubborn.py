"""A process that ignores Ctrl-C and has started another one."""

import signal
import subprocess
import sys
import time


def main(argument: None) -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    print(child.pid, flush=True)
    time.sleep(60)
    return 0
