"""The store: key -> folder of weights, labels and histories. Checked on reading; the record is written last."""

from dmt_ray.store.claims import Borrowed, Claim, Running
from dmt_ray.store.record import Record
from dmt_ray.store.shelf import DamagedStage
from dmt_ray.store.store import Store
from dmt_ray.store.upkeep import Freed, Row

__all__ = ["Borrowed", "Claim", "DamagedStage", "Freed", "Record", "Row", "Running", "Store"]
