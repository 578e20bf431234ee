"""The store: key -> folder of weights, labels and histories. Checked on reading; the record is written last."""

from dmt_ray.store.leases import Borrowed, Lease, Running
from dmt_ray.store.record import Record
from dmt_ray.store.stage_dirs import DamagedStage
from dmt_ray.store.store import Store
from dmt_ray.store.upkeep import Freed, Row

__all__ = ["Borrowed", "DamagedStage", "Freed", "Lease", "Record", "Row", "Running", "Store"]
