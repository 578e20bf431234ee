"""Pretrain, fine-tune and retrain: the one training loop, on labelled images alone or beside pseudo-labelled ones."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dmt_ray import models
from dmt_ray.config import SIDES, Model, Side, Training, Weight
from dmt_ray.data.splits import Parts, divide, dms_half
from dmt_ray.engine.checkpoint import Checkpoint
from dmt_ray.engine.coarse import partly_coarse
from dmt_ray.engine.evaluation import score
from dmt_ray.engine.examples import write_examples
from dmt_ray.engine.feeding import Feed, Stream
from dmt_ray.engine.history import History
from dmt_ray.engine.labels import PseudoLabels
from dmt_ray.engine.stepper import Stepper
from dmt_ray.engine.workspace import Workspace
from dmt_ray.errors import Interrupted, TrainingFailed
from dmt_ray.plan.files import CONFIDENCE, RANK, SCORES
from dmt_ray.plan.measures import headline
from dmt_ray.plan.slices import Finetune, Pretrain, Retrain

ROWS = 50  # of a stage's history, at most
ROW_STEPS = 5  # of a row, at least: single steps of a small batch say little


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
    network, description = _new(config.model, seed, config.side, 0, work)
    truth = partly_coarse(train, config.coarse, fine=parts.labelled) if config.coarse else None
    feed = Feed(work, config.training, labelled, None, Stream(seed, config.side, 0), truth)
    averaged = _train(network, feed, config.training, None, parts, out, scratch, work)
    if work.team.chief:
        models.save(network, out, description, averaged=averaged)
    return {"steps": feed.steps}


def finetune(
    config: Finetune, *, seed: int, inputs: Mapping[str, Path], out: Path, scratch: Path, work: Workspace
) -> dict[str, Any]:
    """Train ``inputs["start"]`` further with the pseudo labels in ``inputs["labels"]`` (or, online, its own).

    Writes the model, history.csv and examples.npz (DMT, Fig. 7).

    Returns:
        {"steps": optimizer steps}.
    """
    network, description = models.load(inputs["start"])
    description["generation"] += 1
    return _learn(network, description, config, seed, inputs.get("labels"), out, scratch, work)


def retrain(
    config: Retrain, *, seed: int, inputs: Mapping[str, Path], out: Path, scratch: Path, work: Workspace
) -> dict[str, Any]:
    """Train a new model with the pseudo labels in ``inputs["labels"]`` (DMT, Algorithm 1, lines 6 and 7).

    Writes what `finetune` writes.

    Returns:
        {"steps": optimizer steps}.
    """
    network, description = _new(config.model, seed, config.side, config.generation, work)
    return _learn(network, description, config, seed, inputs["labels"], out, scratch, work)


def _new(model: Model, seed: int, side: Side, generation: int, work: Workspace) -> tuple[nn.Module, dict[str, Any]]:
    """A network with its first weights, and its description."""
    # The two sides and all generations must differ; neighbouring seeds must not share a generator with the other side.
    torch.manual_seed(int(np.random.SeedSequence([seed, SIDES.index(side), generation]).generate_state(1)[0]))
    description = {
        "model": model.model_dump(mode="json") | {"weights_file": None},
        "classes": len(work.dataset.classes),
        "side": side,
        "generation": generation,
    }
    return models.build(model, len(work.dataset.classes)), description


def _learn(
    network: nn.Module,
    description: dict[str, Any],
    config: Finetune | Retrain,
    seed: int,
    labels: Path | None,
    out: Path,
    scratch: Path,
    work: Workspace,
) -> dict[str, Any]:
    """Train on labelled and pseudo-labelled images, and write what comes of it."""
    parts = divide(config.split, config.data, work.dataset)
    evidence = RANK if config.weight.rule == "rank" else CONFIDENCE
    pseudo = PseudoLabels(work.dataset.subsets["train"], parts.unlabelled, labels, evidence)
    stream = Stream(seed, description["side"], description["generation"])
    feed = Feed(work, config.training, parts.labelled, pseudo, stream)
    averaged = _train(network, feed, config.training, config.weight, parts, out, scratch, work)
    if work.team.chief:
        models.save(network, out, description, averaged=averaged)
        write_examples(network, pseudo, parts.unlabelled, feed.batch, config.weight, out, work)
    return {"steps": feed.steps}


def _train(
    network: nn.Module,
    feed: Feed,
    training: Training,
    weight: Weight | None,
    parts: Parts,
    out: Path,
    scratch: Path,
    work: Workspace,
) -> Mapping[str, Tensor] | None:
    """Run the stage's steps; the network ends with the weights of the snapshot that is kept, in eval mode.

    Returns:
        The moving average of the weights that belongs to the snapshot, where one is kept.
    """
    history = History(compared=weight is not None and not weight.makes_labels and weight.rule != "rank")
    checkpoint = Checkpoint(scratch, work.checkpoint_seconds)
    best = _Best(training, parts, work)
    every = max(ROW_STEPS, feed.steps // ROWS)
    with Stepper(network, feed, training, weight, work) as stepper:
        network.train()
        scored = network if stepper.averaged is None else stepper.averaged
        state = network if stepper.averaged is None else nn.ModuleDict({"last": network, "averaged": scored})
        first = checkpoint.restore(state, stepper.optimizer, history, best, work.team)
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
                best.offer(scored, state, done)
                network.train()
            if done % every == 0 and done < feed.steps:
                stopping = work.team.any(work.stop())
                if work.team.chief and (stopping or checkpoint.is_due()):
                    checkpoint.save(done, state, stepper.optimizer, history, best)
                if stopping:
                    raise Interrupted(f"the training was at step {done} of {feed.steps} and goes on from there")
            work.progress(done, feed.steps)
    best.restore_into(state.float())
    if work.team.chief:
        history.write(out)
        best.write(out)
    network.eval()
    return None if scored is network else scored.state_dict()


class _Best:
    """The snapshot that goes on, where that is not the last (see `config.Training.keep`)."""

    def __init__(self, training: Training, parts: Parts, work: Workspace) -> None:
        self._keep, self._parts, self._work = training.keep, parts, work
        self.rows: list[dict[str, float]] = []
        self.weights: dict[str, torch.Tensor] = {}

    def offer(self, scored: nn.Module, state: nn.Module, step: int) -> None:
        """Score a network as it is, and remember all weights if it is the best so far.

        The names of both scores say mIoU, also where they are accuracies.
        """
        found = {}
        for name, images in (("selection_miou", self._parts.selection), ("reported_miou", self._parts.reported)):
            said = score(scored, self._work, *images)
            found[name] = headline(said)
        judge = "selection_miou" if self._keep == "val" else "reported_miou"
        if not self.rows or found[judge] > max(row[judge] for row in self.rows):
            self.weights = {name: value.detach().cpu().clone() for name, value in state.state_dict().items()}
        self.rows.append({"step": step, **found})

    def restore_into(self, state: nn.Module) -> None:
        """Put the best weights back."""
        if self.weights:
            state.load_state_dict(self.weights)

    def write(self, out: Path) -> None:
        """Write scores.csv, if anything was scored."""
        if self.rows:
            lines = ["step,selection_miou,reported_miou"]
            lines += [f"{row['step']:.0f},{row['selection_miou']!r},{row['reported_miou']!r}" for row in self.rows]
            (out / SCORES).write_text("\n".join(lines) + "\n", encoding="utf-8")
