"""The training loop under every operation that trains: rows of the history, snapshots, checkpoints, interruption."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from dmt_ray.config import Training
from dmt_ray.data.splits import Parts
from dmt_ray.engine.batch_loader import BatchLoader, Prefetcher, Step
from dmt_ray.engine.checkpoint import BestSnapshot, Checkpoint
from dmt_ray.engine.finite import fault
from dmt_ray.engine.history import Row, write_rows
from dmt_ray.engine.optimizer import Update, learning_rate
from dmt_ray.engine.workspace import Workspace
from dmt_ray.errors import Interrupted, TrainingFailed
from dmt_ray.models import train_mode
from dmt_ray.plan.files import HISTORY, SCORES

HALF = {"bfloat16": torch.bfloat16, "float16": torch.float16}  # precisions of autocast
ROWS = 50  # of a stage's history, at most
ROW_STEPS = 5  # of a row, at least: single steps of a small batch say little


class Stepper(ABC):
    """Takes the optimizer steps of a stage by their number, and sums up their statistics; a context manager.

    Args:
        networks: What is trained, on the device.
        scored: The models that are scored on the way: the networks, or moving averages of their weights.
        state: All that changes in training: what checkpoints and snapshots hold.
        loader: The batches.
        training: Optimizer and schedule.
        work: Data and device.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        scored: Sequence[nn.Module],
        state: nn.Module,
        loader: BatchLoader,
        training: Training,
        work: Workspace,
    ) -> None:
        self.networks, self.scored, self.state = networks, scored, state
        self.loader, self.training, self.work = loader, training, work
        self.update = Update(networks, training, work.device)
        self._dtype = dtype_of(training)
        self._prefetcher = Prefetcher(loader, work.device)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._prefetcher.close()

    def prepare(self) -> None:  # noqa: B027  # most have nothing to prepare
        """What precedes step 0, and nothing else: a training that goes on from a checkpoint has it in its state."""

    def step(self, number: int) -> None:
        """Take optimizer step ``number`` (0 ... steps-1). Nothing in it waits for the device."""
        step = self._prefetcher.step(number)
        self.update.optimizer.zero_grad(set_to_none=True)
        self.backward(number, step)
        self.update.step(learning_rate(self.training, number, self.loader.steps))
        self.follow(number)

    @abstractmethod
    def backward(self, number: int, step: Step) -> None:
        """Compute the gradients of a step, and add up its statistics."""

    @abstractmethod
    def follow(self, number: int) -> None:
        """Let the moving averages follow the networks after a step."""

    @abstractmethod
    def row(self, done: int) -> Row:
        """A row of the history after ``done`` steps: means since the last row, over the whole team, and ``loss``.

        Waits for the device.
        """

    def _place(self, done: int) -> Row:
        """The columns of a row that say where in the training it is."""
        rate = learning_rate(self.training, done - 1, self.loader.steps)
        return {"step": done, "epoch": (done - 1) // self.loader.steps_per_epoch + 1, "learning_rate": rate}

    def _formatted(self, images: Tensor) -> Tensor:
        return images.to(self._dtype, memory_format=torch.channels_last)

    def _cast(self) -> AbstractContextManager[Any]:
        # A context for each pass: autocast would go on to use weights that it cast where no gradient was required.
        half = HALF.get(self.training.precision)
        return nullcontext() if half is None else torch.autocast(self.work.device.type, half)


def dtype_of(training: Training) -> torch.dtype:
    """The type of the weights in training."""
    return torch.float64 if training.precision == "float64" else torch.float32


def train(stepper: Stepper, parts: Parts) -> None:
    """Take all steps of a stage, and write history.csv and, where snapshots are scored, scores.csv.

    The networks end with the weights of the snapshot that the settings keep, in float32.

    Args:
        stepper: Takes the steps.
        parts: The images on which snapshots are scored.

    Raises:
        TrainingFailed: If the loss becomes NaN or infinite.
        Interrupted: If the process is to end; a checkpoint is kept.
    """
    work, training, steps, models = stepper.work, stepper.training, stepper.loader.steps, len(stepper.networks)
    history, best = list[Row](), BestSnapshot(training.keep)
    checkpoint = Checkpoint(work, stepper.state, stepper.update, history, best)
    row_steps = max(ROW_STEPS, steps // ROWS)
    with stepper:
        first = checkpoint.restore(work.team)
        if not first:
            stepper.prepare()
        _to_train_mode(stepper)
        for number in range(first, steps):
            stepper.step(number)
            done = number + 1
            if done % row_steps == 0 or done == steps:
                history.append(_finite(stepper, stepper.row(done)))
            if training.score_every and (done % training.score_every == 0 or done == steps):
                best.offer(done, stepper.scored, stepper.state, parts, work)
                _to_train_mode(stepper)
            if done % row_steps == 0 and done < steps:
                stopping = work.team.any(work.stop())
                if work.team.chief and (stopping or checkpoint.is_due()):
                    checkpoint.save(done)
                if stopping:
                    raise Interrupted(f"the training was at step {done:,} of {steps:,} and will resume from there")
            work.progress(done * models, steps * models)
    stepper.state.float()
    if best.weights:
        stepper.state.load_state_dict(best.weights)
    if work.team.chief:
        write_rows(work.out / HISTORY, history)
        if best.rows:
            write_rows(work.out / SCORES, best.rows)


def _to_train_mode(stepper: Stepper) -> None:
    for network in stepper.networks:
        train_mode(network)


def _finite(stepper: Stepper, row: Row) -> Row:
    """A row whose loss is a number, or NaN where its steps had nothing to learn from."""
    if np.isinf(row["loss"]):
        what = next(filter(None, map(fault, stepper.networks)), "")
        raise TrainingFailed(
            f"the loss became NaN or infinite before step {row['step']} of {stepper.loader.steps} "
            f"(learning rate {row['learning_rate']:.3g}){f'; {what}' if what else ''}. Try a smaller learning rate."
        )
    return row
