"""MLflow as a mirror of the store: stored histories are replayed into it, as often as one likes."""

from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.report.saved_runs import keep, kept
from dmt_ray.tracking.connection import Mirror
from dmt_ray.tracking.results import AblationResults, Results, RunResults, SweepResults
from dmt_ray.tracking.tracker import Tracker, connect

__all__ = [
    "AblationResults",
    "DatasetInfo",
    "Mirror",
    "Results",
    "RunResults",
    "SweepResults",
    "Tracker",
    "connect",
    "keep",
    "kept",
]
