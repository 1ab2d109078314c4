"""One run in several processes, one a device: how they start, and how they agree.

On one machine `lib.launch` starts them. On several, torchrun or srun does, on each machine, and its environment tells a process
which it is. The first of all processes, the chief, is the only one that claims a run, writes, logs and tests; the others
train beside it. They share the output folder. Gradients are Lightning's matter (see `lib.training.trainer`).
"""

import atexit
import functools
import os
from datetime import timedelta
from typing import Any

import torch
from torch import distributed, nn

from lib.errors import WorkbookValueError
from lib.training.config import RunConfig

PATIENCE = timedelta(days=7)  # of processes that wait for the chief: another run may have the claim


def is_member(config: RunConfig) -> bool:
    """Whether this process is one of several that torchrun, srun or `lib.launch` started for `config`.

    Raises:
        WorkbookValueError: they are not as many as `config` wants, or there are several nodes to start on.
    """
    if config.processes == 1:
        return False
    _read_slurm()
    started = int(os.environ.get("WORLD_SIZE", 1)) if "RANK" in os.environ else 1
    if started == config.processes:
        return True
    if started > 1:
        raise WorkbookValueError(
            f"{started} processes were started, but devices={config.devices} × num_nodes={config.num_nodes} are "
            f"{config.processes}; give the numbers that torchrun or srun was given."
        )
    if config.num_nodes > 1:
        raise WorkbookValueError(
            f"num_nodes={config.num_nodes} starts on every node: torchrun --nnodes {config.num_nodes} --nproc-per-node "
            f"{config.devices} --rdzv-backend c10d --rdzv-endpoint HOST:PORT -m lib.train …, or srun --ntasks-per-node "
            f"{config.devices} python -m lib.train …"
        )
    return False


def rank_of(config: RunConfig) -> int:
    """Which of the processes of a run this is; 0 is the chief, or the only one."""
    return distributed.get_rank() if config.processes > 1 and distributed.is_initialized() else 0


def join_group(where: torch.device) -> None:
    """Join the group of all processes and wait for them; this one takes its device."""
    if distributed.is_initialized():
        return
    if where.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if where.type == "cuda" else "gloo")
    atexit.register(distributed.destroy_process_group)


def broadcast(message: Any = None) -> Any:
    """The chief's message to every process; all call this, and wait for the chief."""
    messages = [message]
    distributed.broadcast_object_list(messages, src=0, group=_patient_group())
    return messages[0]


def average_statistics(model: nn.Module) -> None:
    """Give every process the mean of all running statistics of batch normalisation: each has seen its own shares."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats:
            for statistic in (module.running_mean, module.running_var):
                distributed.all_reduce(statistic)
                statistic /= distributed.get_world_size()


def _read_slurm() -> None:
    """srun's numbers under the names that torchrun gives them."""
    if "RANK" in os.environ or int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) == 1:
        return
    from pytorch_lightning.plugins.environments import SLURMEnvironment

    slurm = SLURMEnvironment(auto_requeue=False)
    numbers = {
        "RANK": slurm.global_rank(),
        "LOCAL_RANK": slurm.local_rank(),
        "GROUP_RANK": slurm.node_rank(),
        "WORLD_SIZE": slurm.world_size(),
        "MASTER_ADDR": slurm.main_address,
        "MASTER_PORT": slurm.main_port,
    }
    os.environ |= {name: str(value) for name, value in numbers.items()}


@functools.cache
def _patient_group() -> distributed.ProcessGroup:
    return distributed.new_group(backend="gloo", timeout=PATIENCE)
