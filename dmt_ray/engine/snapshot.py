"""The best snapshot of a training."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from dmt_ray.config import SelectionRule
from dmt_ray.data.splits import Parts
from dmt_ray.engine.evaluate import score
from dmt_ray.engine.history import Row, write_rows
from dmt_ray.engine.workspace import Workspace
from dmt_ray.plan.files import SCORES
from dmt_ray.plan.measures import headline


class BestSnapshot:
    """The snapshot that goes on, where that is not the last.

    Args:
        keep: By which images snapshots are compared (see `config.Training.keep`).

    Attributes:
        rows: The scores of each snapshot; their columns are called mIoU, also where they are accuracies.
        weights: The state of the best one.
    """

    def __init__(self, keep: SelectionRule) -> None:
        self._by = "selection_miou" if keep == "val" else "reported_miou"
        self.rows: list[Row] = []
        self.weights: dict[str, Tensor] = {}

    def offer(self, step: int, scored: Sequence[nn.Module], state: nn.Module, parts: Parts, work: Workspace) -> None:
        """Score models as they are after a step, in the mean over them, and keep the state if it is the best so far.

        Leaves the models in eval mode.
        """
        row: Row = {"step": step}
        for name, images in (("selection", parts.selection), ("reported", parts.reported)):
            row[f"{name}_miou"] = float(np.mean([headline(score(model, work, *images)) for model in scored]))
        if not self.rows or row[self._by] > max(earlier[self._by] for earlier in self.rows):
            self.weights = {name: value.detach().cpu().clone() for name, value in state.state_dict().items()}
        self.rows.append(row)

    def restore_into(self, state: nn.Module) -> None:
        """Put the best weights back."""
        if self.weights:
            state.load_state_dict(self.weights)

    def write(self, out: Path) -> None:
        """Write scores.csv, if anything was scored."""
        if self.rows:
            write_rows(out / SCORES, self.rows)
