"""What a training writes down about itself: sums that stay on the device, and rows of their means."""

from pathlib import Path

import torch

from dmt_ray import IGNORE
from dmt_ray.engine.feeding import Step
from dmt_ray.engine.team import ALONE, Team
from dmt_ray.losses import STATISTICS, StepLoss
from dmt_ray.plan.files import HISTORY

_PSEUDO = ("area", "judged", "right", "right_weight", "wrong_weight")


class StepSums:
    """Sums of a step's statistics since the last row; nothing here waits for the device but `row`.

    Args:
        classes: Names of the classes.
        device: Where the sums are kept.
        team: The workers whose steps are added up.
    """

    def __init__(self, classes: tuple[str, ...], device: torch.device, team: Team = ALONE) -> None:
        self._classes = classes
        self._team = team
        self._device = device
        self._clear()

    def _clear(self) -> None:
        self._sums = torch.zeros(len(STATISTICS) + len(_PSEUDO), dtype=torch.float64, device=self._device)
        self._per_class = torch.zeros(IGNORE + 1, dtype=torch.float64, device=self._device)

    def add(self, loss: StepLoss, step: Step) -> None:
        """Add a step. The truth of pseudo-labelled images is compared here, after the fact, and nowhere else."""
        self._sums[: len(STATISTICS)] += loss.statistics
        if step.truth is None:
            return
        labels, weights = loss.target
        valid = labels != IGNORE
        judged = valid & (step.truth != IGNORE)
        right = judged & (labels == step.truth)
        sums = (judged.sum(), right.sum(), (weights * right).sum(), (weights * (judged & ~right)).sum())
        self._sums[len(STATISTICS)] += labels.numel()
        self._sums[len(STATISTICS) + 1 :] += torch.stack([value.double() for value in sums])
        flat = labels.flatten()
        self._per_class.scatter_add_(0, flat, torch.ones_like(flat, dtype=torch.float64))

    def row(self, *, step: int, epoch: int, learning_rate: float) -> dict[str, float]:
        """Means since the last row, over the whole team; waits for the device.

        Returns:
            ``loss``; and with pseudo labels the shares ``agreement``, ``negative``, ``positive`` of the labels given,
            ``mean_weight`` of those that train, ``coverage`` (share of the pseudo-labelled area that trains),
            ``pseudo_accuracy``, ``right_weight`` and ``wrong_weight`` (mean weight of right and of wrong labels) where
            the truth is known, and ``coverage.CLASS``. What nothing was counted for is NaN.
        """
        s = dict(zip(STATISTICS + _PSEUDO, self._team.add(self._sums).tolist()))
        row = {"step": step, "epoch": epoch, "learning_rate": learning_rate, "loss": _share(s["loss"], s["counted"])}
        if s["area"]:
            row |= {name: _share(s[name], s["valid"]) for name in ("agreement", "negative", "positive")}
            row |= {
                "mean_weight": _share(s["weight"], s["selected"]),
                "coverage": s["selected"] / s["area"],
                "pseudo_accuracy": _share(s["right"], s["judged"]),
                "right_weight": _share(s["right_weight"], s["right"]),
                "wrong_weight": _share(s["wrong_weight"], s["judged"] - s["right"]),
            }
            per_class = self._team.add(self._per_class).tolist()
            row |= {f"coverage.{name}": per_class[k] / s["area"] for k, name in enumerate(self._classes)}
        self._clear()
        return row


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


class History:
    """The rows of one stage, and their CSV file.

    Args:
        compared: Whether the student is compared with a teacher that labelled before and was more or less sure. It is
            not in pretraining, with labels that are made online, or where ranks stand in place of confidences.
    """

    def __init__(self, *, compared: bool) -> None:
        self._left_out = set() if compared else {"agreement", "negative", "positive"}
        self.rows: list[dict[str, float]] = []

    def append(self, row: dict[str, float]) -> None:
        """Add a row."""
        self.rows.append({name: value for name, value in row.items() if name not in self._left_out})

    def write(self, folder: Path) -> None:
        """Write history.csv: one line a row, numbers in full precision, the same bytes for the same numbers."""
        columns = list(self.rows[0])
        lines = [",".join(columns)]
        lines += [",".join(_text(row[name]) for name in columns) for row in self.rows]
        (folder / HISTORY).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _text(value: float) -> str:
    return "" if value != value else repr(value)
