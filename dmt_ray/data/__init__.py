"""Data sets: found, checked, decoded once, and split into labelled and unlabelled images."""

from dmt_ray.data.dataset import Dataset, find_root, open_dataset, refuse_folder
from dmt_ray.data.images import Images
from dmt_ray.data.report import report
from dmt_ray.data.splits import Parts, divide, dms_half, list_digest, unlabelled_classes
from dmt_ray.data.statistics import channel_statistics

__all__ = [
    "Dataset",
    "Images",
    "Parts",
    "channel_statistics",
    "divide",
    "dms_half",
    "find_root",
    "list_digest",
    "open_dataset",
    "refuse_folder",
    "report",
    "unlabelled_classes",
]
