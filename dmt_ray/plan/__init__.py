"""Plans are expressions: operations on settings and on each other; their keys, and what each of them reads."""

from dmt_ray.plan.plan import Operation, Plan, Rung, Stage, describe, in_order, shared, waves

__all__ = ["Operation", "Plan", "Rung", "Stage", "describe", "in_order", "shared", "waves"]
