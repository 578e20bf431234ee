"""Pretrain and fine-tune: the one training loop, on labelled images alone or beside pseudo-labelled ones."""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from dmt_ray import models
from dmt_ray.config import SIDES, Side, Training, Weight
from dmt_ray.data.splits import Parts, divide, dms_half
from dmt_ray.engine.checkpoint import Checkpoint
from dmt_ray.engine.coarse import partly_coarse
from dmt_ray.engine.evaluation import score
from dmt_ray.engine.examples import write_examples
from dmt_ray.engine.feeding import Ahead, Feed, Stream
from dmt_ray.engine.history import History, StepSums
from dmt_ray.engine.labels import PseudoLabels
from dmt_ray.engine.parallel import spread
from dmt_ray.engine.schedule import poly
from dmt_ray.engine.weighing import parameters_of
from dmt_ray.engine.workspace import Workspace
from dmt_ray.errors import Interrupted, TrainingFailed
from dmt_ray.losses import RULES, Parameters, step_loss
from dmt_ray.slices import Finetune, Pretrain

ROWS = 50  # of a stage's history, at most
ROW_STEPS = 5  # of a row, at least: single steps of a small batch say little
SCORES = "scores.csv"


def pretrain(
    config: Pretrain, *, seed: int, inputs: Mapping[str, Path], out: Path, scratch: Path, work: Workspace
) -> dict[str, Any]:
    """Train a model on labelled images alone; writes the model and history.csv.

    Returns:
        {"steps": optimizer steps}.
    """
    parts = divide(config.split, config.data, work.dataset)
    train = work.dataset.subsets["train"]
    labelled = {
        "labelled": parts.labelled,
        "dms": dms_half(parts.labelled, config.dms_alpha, config.side) if config.images == "dms" else (),
        "all": (*parts.labelled, *(i for i in parts.unlabelled if train.known[i])),
    }[config.images]
    # The two sides must differ; neighbouring seeds must not share a generator with the other side.
    torch.manual_seed(int(np.random.SeedSequence([seed, SIDES.index(config.side)]).generate_state(1)[0]))
    network = models.build(config.model, len(work.dataset.classes))
    description = {
        "model": config.model.model_dump(mode="json") | {"weights_file": None},
        "classes": len(work.dataset.classes),
        "side": config.side,
        "generation": 0,
    }
    truth = partly_coarse(train, config.coarse, fine=parts.labelled) if config.coarse else None
    feed = Feed(work, config.training, labelled, None, Stream(seed, config.side, 0), truth)
    _train(network, feed, config.training, None, parts, out, scratch, work)
    if work.team.chief:
        models.save(network, out, description)
    return {"steps": feed.steps}


def finetune(
    config: Finetune, *, seed: int, inputs: Mapping[str, Path], out: Path, scratch: Path, work: Workspace
) -> dict[str, Any]:
    """Train ``inputs["start"]`` further with the pseudo labels in ``inputs["labels"]`` (or, online, its own).

    Writes the model, history.csv and examples.npz (DMT, Fig. 7).

    Returns:
        {"steps": optimizer steps}.
    """
    parts = divide(config.split, config.data, work.dataset)
    network, description = models.load(inputs["start"])
    description["generation"] += 1
    pseudo = PseudoLabels(work.dataset.subsets["train"], parts.unlabelled, inputs.get("labels"))
    side: Side = description["side"]
    stream = Stream(seed, side, description["generation"])
    feed = Feed(work, config.training, parts.labelled, pseudo, stream)
    _train(network, feed, config.training, config.weight, parts, out, scratch, work)
    if work.team.chief:
        models.save(network, out, description)
        write_examples(network, pseudo, config, out, work)
    return {"steps": feed.steps}


class Stepper:
    """A network in training: takes its optimizer steps by number, and adds up their statistics; a context manager.

    Args:
        network: Trained in place; moved to the device. Each worker of a team has one, with equal weights.
        feed: Its batches.
        training: Optimizer and schedule.
        weight: How much a pseudo label counts; None in pretraining, where there is none to weigh.
        work: Data and device.
    """

    def __init__(
        self, network: nn.Module, feed: Feed, training: Training, weight: Weight | None, work: Workspace
    ) -> None:
        self._dtype = torch.float64 if training.precision == "float64" else torch.float32
        self.network = network.to(work.device, self._dtype).to(memory_format=torch.channels_last)
        # Where it is a wrapper, scores on the way, in eval mode and of other sizes, go past it.
        self._trained = spread(self.network, work.team, compiled=work.compiled)
        self.optimizer = torch.optim.SGD(
            network.parameters(),
            lr=training.learning_rate,
            momentum=training.momentum,
            weight_decay=training.weight_decay,
            foreach=True,
        )
        self.sums = StepSums(work.dataset.classes, work.device, work.team)
        self._feed, self._training, self._device, self._team = feed, training, work.device, work.team
        self._ahead = Ahead(feed, work.device)
        self._rule = RULES[weight.rule if weight else "uniform"]
        self._parameters = parameters_of(weight, training) if weight else Parameters(0, 0)

    def __enter__(self) -> "Stepper":
        return self

    def __exit__(self, *_: object) -> None:
        self._ahead.close()

    def learning_rate(self, number: int) -> float:
        """The learning rate of a step."""
        return poly(self._training, number, self._feed.steps)

    def step(self, number: int) -> None:
        """Take optimizer step ``number`` (0 ... steps-1). Nothing in it waits for the device."""
        # By step, so that a stage that was interrupted goes on with the same numbers.
        torch.manual_seed(self._feed.stream.torch_seed(number, self._team.rank))
        step = self._ahead.step(number)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(number)
        half = self._training.precision == "bfloat16"
        with torch.autocast(self._device.type, torch.bfloat16) if half else nullcontext():
            logits = self._trained(step.batch.images.to(self._dtype, memory_format=torch.channels_last))
        loss = step_loss(
            logits,
            step.batch.labels,
            step.batch.confidence,
            labelled=step.labelled,
            rule=self._rule,
            parameters=replace(self._parameters, progress=number / self._feed.steps),
        )
        self.optimizer.zero_grad(set_to_none=True)
        # One worker alone would have the sum of the team's gradients; DistributedDataParallel takes their mean.
        counted = self._team.add(loss.counted.clone()).clamp(min=1)
        (loss.total / counted * self._team.size).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.sums.add(loss, step)


def _train(
    network: nn.Module,
    feed: Feed,
    training: Training,
    weight: Weight | None,
    parts: Parts,
    out: Path,
    scratch: Path,
    work: Workspace,
) -> None:
    """Run the stage's steps; the network ends with the weights of the snapshot that is kept, in eval mode."""
    history = History(pseudo=weight is not None, online=weight is not None and weight.makes_labels)
    checkpoint = Checkpoint(scratch, work.checkpoint_seconds)
    best = _Best(training, parts, work)
    every = max(ROW_STEPS, feed.steps // ROWS)
    with Stepper(network, feed, training, weight, work) as stepper:
        network.train()
        first = checkpoint.restore(network, stepper.optimizer, history, best, work.team)
        for number in range(first, feed.steps):
            stepper.step(number)
            done = number + 1
            if done % every == 0 or done == feed.steps:
                rate = stepper.learning_rate(number)
                row = stepper.sums.row(step=done, epoch=number // feed.steps_per_epoch + 1, learning_rate=rate)
                if not np.isfinite(row["loss"]):
                    raise TrainingFailed(
                        f"the loss became {row['loss']} before step {done} of {feed.steps} "
                        f"(learning rate {rate:.3g}). Try a smaller learning rate."
                    )
                history.append(row)
            if training.score_every and (done % training.score_every == 0 or done == feed.steps):
                best.offer(network, done)
                network.train()
            if done % every == 0 and done < feed.steps:
                stopping = work.team.any(work.stop())
                if work.team.chief and (stopping or checkpoint.is_due()):
                    checkpoint.save(done, network, stepper.optimizer, history, best)
                if stopping:
                    raise Interrupted(f"the training was at step {done} of {feed.steps} and goes on from there")
            work.progress(done, feed.steps)
    best.restore_into(network.float())
    if work.team.chief:
        history.write(out)
        best.write(out)
    network.eval()


class _Best:
    """The snapshot that goes on, where that is not the last (see `config.Training.keep`)."""

    def __init__(self, training: Training, parts: Parts, work: Workspace) -> None:
        self._keep, self._parts, self._work = training.keep, parts, work
        self.rows: list[dict[str, float]] = []
        self.weights: dict[str, torch.Tensor] = {}

    def offer(self, network: nn.Module, step: int) -> None:
        """Score the network as it is, and remember its weights if it is the best so far."""
        found = {
            "selection_miou": score(network, self._work, *self._parts.selection)["miou"],
            "reported_miou": score(network, self._work, *self._parts.reported)["miou"],
        }
        judge = "selection_miou" if self._keep == "val" else "reported_miou"
        if not self.rows or found[judge] > max(row[judge] for row in self.rows):
            self.weights = {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
        self.rows.append({"step": step, **found})

    def restore_into(self, network: nn.Module) -> None:
        """Put the best weights into the network."""
        if self.weights:
            network.load_state_dict(self.weights)

    def write(self, out: Path) -> None:
        """Write scores.csv, if anything was scored."""
        if self.rows:
            lines = ["step,selection_miou,reported_miou"]
            lines += [f"{row['step']:.0f},{row['selection_miou']!r},{row['reported_miou']!r}" for row in self.rows]
            (out / SCORES).write_text("\n".join(lines) + "\n", encoding="utf-8")
