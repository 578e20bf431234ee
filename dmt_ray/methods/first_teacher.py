"""Who labels first: a model, or masks from elsewhere."""

from dmt_ray.config import Config
from dmt_ray.plan import Stage
from dmt_ray.plan.operations import adopt, label


def labels_of(cfg: Config, *, teacher: Stage, share: float, iteration: int) -> Stage:
    """A teacher's labels; in iteration 0 of a plan those from elsewhere in their place, where `cfg.external` is set."""
    if iteration == 0 and cfg.external.masks is not None:
        return adopt(cfg, in_place_of=teacher)
    return label(cfg, teacher=teacher, share=share)
