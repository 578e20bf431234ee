"""A run: the experiment of one member, as `dmt run` performs it."""

from dataclasses import dataclass

from dmt_ray.config import Config
from dmt_ray.methods import METHODS
from dmt_ray.plan import Plan
from dmt_ray.plan.key import key_of


@dataclass(frozen=True)
class Run:
    """One method on its settings with one seed."""

    method: str  # a name in `methods.METHODS`
    config: Config  # bound to its data
    seed: int  # of everything that is random

    @property
    def name(self) -> str:
        """Method, recipe, seed, and a digest that identifies the run."""
        identity = key_of({"method": self.method, "config": self.config.identity(), "seed": self.seed})
        return f"{self.method}-{self.config.recipe}-seed{self.seed}-{identity[:8]}"

    def plan(self) -> Plan:
        """The plan of the run."""
        return METHODS[self.method](self.config, self.seed)
