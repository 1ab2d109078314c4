"""What is told of a run elsewhere: Weights & Biases, MLflow, TensorBoard. All are off unless they are asked for."""

from lib.training.trackers.track import track, tracking
from lib.training.trackers.tracked_runs import TrackedRun, tracked_runs

__all__ = ["TrackedRun", "track", "tracked_runs", "tracking"]
