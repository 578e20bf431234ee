"""Ablations: tables of methods on settings, performed as the union of their plans; nothing is ever pruned."""

from dmt_ray.ablation.ablation import Ablation, Cell, Column, Row

__all__ = ["Ablation", "Cell", "Column", "Row"]
