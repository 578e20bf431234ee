"""What a training saves along the way: its best snapshot, and a checkpoint from which it resumes to the same bytes."""

import hashlib
import json
import logging
import os
import time
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor, nn

from dmt_ray.config import SelectionRule
from dmt_ray.data.splits import Parts
from dmt_ray.engine.evaluate import score
from dmt_ray.engine.history import Row
from dmt_ray.engine.inference import WholeImages
from dmt_ray.engine.optimizer import Update
from dmt_ray.engine.team import Team
from dmt_ray.engine.transfer import fetch
from dmt_ray.engine.workspace import Workspace
from dmt_ray.files import parse_json, sync
from dmt_ray.plan.measures import headline

FILE = "checkpoint.safetensors"
FORMAT = "3"  # a checkpoint of another one is not read
DIGEST = "digest"  # of all else in the file: scratch files have no record that would tell a flipped bit

log = logging.getLogger(__name__)


class BestSnapshot:
    """The snapshot that later stages start from, where that is not the last.

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
            whole = [WholeImages(model.eval(), work, work.dataset.subsets[images[0]]) for model in scored]
            row[f"{name}_miou"] = float(np.mean([headline(score(one, work, *images, full=False)) for one in whole]))
        if not self.rows or row[self._by] > max(earlier[self._by] for earlier in self.rows):
            self.weights = {name: value.clone() for name, value in fetch(state.state_dict()).items()}
        self.rows.append(row)


class Checkpoint:
    """Weights, state of the optimizer, history and step in one file that is replaced in one go.

    There is no generator state in it: all random numbers follow from (seed, epoch, sample) or the step.

    Args:
        work: Its scratch folder, and the least time between two checkpoints.
        network: All that is trained.
        update: What its next steps depend on is kept.
        history: The rows so far.
        best: The best snapshot so far, which is kept too.
    """

    def __init__(
        self, work: Workspace, network: nn.Module, update: Update, history: list[Row], best: BestSnapshot
    ) -> None:
        self._file, self._seconds = work.scratch / FILE, work.checkpoint_seconds
        self._network, self._update, self._history, self._best = network, update, history, best
        self._last = time.monotonic()

    def is_due(self) -> bool:
        """Whether the last one is old enough for another."""
        return time.monotonic() - self._last >= self._seconds

    def save(self, step: int) -> None:
        """Write a checkpoint; to be called where a row of the history ends, by the chief of a team."""
        tensors = {f"model.{name}": value for name, value in self._network.state_dict().items()}
        tensors |= {f"optimizer.{name}": value for name, value in self._update.state().items()}
        tensors |= {f"best.{name}": value for name, value in self._best.weights.items()}
        # Another process that was quicker with the same stage takes the scratch folder away.
        self._file.parent.mkdir(parents=True, exist_ok=True)
        draft = self._file.with_suffix(".draft")
        metadata = {"format": FORMAT, "step": str(step)}
        metadata |= {"history": json.dumps(self._history), "best": json.dumps(self._best.rows)}
        on_host = {name: value.contiguous() for name, value in fetch(tensors).items()}
        save_file(on_host, draft, metadata=metadata | {DIGEST: _digest(on_host, metadata)})
        # Else a power cut could leave the new name with none of the bytes, and the old checkpoint gone.
        sync(draft)
        os.replace(draft, self._file)
        sync(self._file.parent)
        self._last = time.monotonic()

    def restore(self, team: Team) -> int:
        """Load the chief's checkpoint, if there is one that is whole, and return the steps it stands for (else 0)."""
        # The other workers may be on machines that do not see the chief's folder.
        data = team.from_chief(self._file.read_bytes() if team.chief and self._file.exists() else b"")
        if not data:
            return 0
        try:
            tensors = load(data)
            metadata = parse_json(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
            if metadata.get("format") != FORMAT:
                return 0
            if metadata.pop(DIGEST) != _digest(tensors, metadata):
                raise ValueError("its digest does not agree")
        except (SafetensorError, ValueError, LookupError, TypeError, AttributeError) as error:
            log.warning("%s is damaged (%s); the training starts from its beginning", self._file, error)
            return 0
        self._network.load_state_dict(_part(tensors, "model."))
        self._update.load(_part(tensors, "optimizer."))
        self._best.weights = _part(tensors, "best.")
        self._best.rows = json.loads(metadata["best"])
        self._history[:] = json.loads(metadata["history"])
        return int(metadata["step"])


def _digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """BLAKE2b of names, kinds, shapes and bytes of some tensors on the host, and of texts, 32 hex digits."""
    made = hashlib.blake2b(json.dumps(metadata, sort_keys=True).encode(), digest_size=16)
    for name, value in sorted(tensors.items()):
        made.update(f"\0{name} {value.dtype} {list(value.shape)}\0".encode())
        made.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return made.hexdigest()


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
