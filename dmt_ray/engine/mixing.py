"""Which images of a step are mixed with which: mixup over the global batch of a team."""

from typing import NamedTuple

from torch import Tensor

from dmt_ray.engine.team import Team


class Mixing(NamedTuple):
    """How the images of a step are mixed.

    Attributes:
        share: What an image keeps of itself (lambda), in ``[0.5, 1]``.
        partners: The row of the global batch that each of its rows is mixed with: a permutation, int64, on the device.
    """

    share: float
    partners: Tensor

    def of_partners(self, rows: Tensor, team: Team) -> Tensor:
        """For each of a worker's rows its partner's; all workers have to call it.

        Args:
            rows: Images, labels or weights of this worker's rows, ``[N, ...]``.
            team: The workers: each has every size-th row of the global batch.
        """
        if team.size == 1:
            return rows.index_select(0, self.partners)
        # The last workers can have a row less.
        filled = rows.new_zeros(-(-len(self.partners) // team.size), *rows.shape[1:])
        filled[: len(rows)] = rows
        everyone = team.rows(filled).transpose(0, 1).flatten(0, 1)
        return everyone.index_select(0, self.partners[team.rank :: team.size])
