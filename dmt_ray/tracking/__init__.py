"""MLflow as a mirror of the store: results are published into it, as often as one likes."""

from dmt_ray.tracking.connection import Mirror
from dmt_ray.tracking.publication import BestModel, Content, DataInput, Entry, Publication, Series, View
from dmt_ray.tracking.tracker import Tracker, connect

__all__ = [
    "BestModel",
    "Content",
    "DataInput",
    "Entry",
    "Mirror",
    "Publication",
    "Series",
    "Tracker",
    "View",
    "connect",
]
