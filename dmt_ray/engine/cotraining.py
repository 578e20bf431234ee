"""Cotrain: students learn, step by step, what teachers that change with them see on another view (RML, Eq. 2-11)."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dmt_ray import IGNORE
from dmt_ray.config import SIDES, Training
from dmt_ray.data.splits import Parts, divide
from dmt_ray.engine.checkpoint import Checkpoint
from dmt_ray.engine.evaluation import score
from dmt_ray.engine.feeding import Ahead, Feed, Step
from dmt_ray.engine.history import History
from dmt_ray.engine.labels import PseudoLabels
from dmt_ray.engine.learner import Learner, Taught
from dmt_ray.engine.schedule import learning_rate
from dmt_ray.engine.training import ROW_STEPS, ROWS
from dmt_ray.engine.views import Rows, rows_of
from dmt_ray.engine.workspace import Workspace
from dmt_ray.errors import Interrupted, TrainingFailed
from dmt_ray.losses import cross_entropy_sum
from dmt_ray.losses.consistency import label_loss_sum, paste, sharpest, squared_loss_sum, total_variation_sum
from dmt_ray.plan.files import SCORES
from dmt_ray.plan.slices import Cotrain

# What is added up for each student between two rows of the history.
_SUMS = ("labelled", "counted", "unlabelled", "valid", "sure", "judged", "right")


def cotrain(
    config: Cotrain, *, seed: int, inputs: Mapping[str, Path], out: Path, scratch: Path, work: Workspace
) -> dict[str, Any]:
    """Train the models in ``inputs["A"]`` and ``inputs["B"]`` further, each by the teachers that the settings name.

    Writes both students, their mean teachers where there are, and history.csv.

    Returns:
        {"steps": optimizer steps of all students}.
    """
    parts = divide(config.split, config.data, work.dataset)
    learners = [Learner(side, inputs[side], config, seed, work) for side in SIDES if side in inputs]
    pseudo = PseudoLabels(work.dataset.subsets["train"], parts.unlabelled, None)
    feed = Feed(work, config.training, parts.labelled, pseudo, learners[0].stream, whole=True)
    group = nn.ModuleList(learners)
    optimizer = torch.optim.SGD(
        [parameter for learner in learners for parameter in learner.student.parameters()],
        lr=config.training.learning_rate,
        momentum=config.training.momentum,
        weight_decay=config.training.weight_decay,
        foreach=True,
    )
    history = History(compared=False)
    checkpoint = Checkpoint(scratch, work.checkpoint_seconds)
    best = _Best(config.training, learners, parts, work)
    first = checkpoint.restore(group, optimizer, history, best, work.team)
    if not first:
        for learner in learners:
            learner.find_prototypes((*parts.labelled, *parts.unlabelled), work)
    every = max(ROW_STEPS, feed.steps // ROWS)
    with _Stepper(learners, feed, config, optimizer, work) as stepper:
        for number in range(first, feed.steps):
            stepper.step(number)
            done = number + 1
            if done % every == 0 or done == feed.steps:
                history.append(_checked(stepper.row(done), feed.steps))
            if config.training.score_every and (done % config.training.score_every == 0 or done == feed.steps):
                best.offer(group, done)
            if done % every == 0 and done < feed.steps:
                stopping = work.team.any(work.stop())
                if work.team.chief and (stopping or checkpoint.is_due()):
                    checkpoint.save(done, group, optimizer, history, best)
                if stopping:
                    raise Interrupted(f"the training was at step {done} of {feed.steps} and goes on from there")
            work.progress(done * len(learners), feed.steps * len(learners))
    best.restore_into(group)
    if work.team.chief:
        history.write(out)
        best.write(out)
        for learner in learners:
            learner.save(out)
    return {"steps": feed.steps * len(learners)}


def _checked(row: dict[str, float], steps: int) -> dict[str, float]:
    if not np.isfinite(row["loss"]):
        raise TrainingFailed(
            f"the loss became {row['loss']} before step {row['step']} of {steps} "
            f"(learning rate {row['learning_rate']:.3g}). Try a smaller learning rate."
        )
    return row


class _Stepper:
    """Takes the steps of all students by number, and adds up their statistics; a context manager.

    Every worker of a team loads the whole global batch, and is responsible for some of its rows: an image that is
    pasted into another one has to be labelled where that one is, whose row it may be.
    """

    def __init__(
        self,
        learners: Sequence[Learner],
        feed: Feed,
        config: Cotrain,
        optimizer: torch.optim.Optimizer,
        work: Workspace,
    ) -> None:
        self._learners, self._feed, self._config = learners, feed, config
        self._training, self._team, self._device = config.training, work.team, work.device
        self._dtype = torch.float64 if config.training.precision == "float64" else torch.float32
        self._optimizer = optimizer
        self._ahead = Ahead(feed, work.device)
        self._clear()

    def __enter__(self) -> "_Stepper":
        for learner in self._learners:
            learner.student.train()
        return self

    def __exit__(self, *_: object) -> None:
        self._ahead.close()

    def _clear(self) -> None:
        self._sums = torch.zeros(len(self._learners), len(_SUMS), dtype=torch.float64, device=self._device)
        self._apart = torch.zeros(2, dtype=torch.float64, device=self._device)

    def step(self, number: int) -> None:
        """Take optimizer step ``number`` (0 ... steps-1) of every student. Nothing in it waits for the device."""
        step = self._ahead.step(number)
        mine = self._team.share(range(len(step.batch.images)))
        labelled = [row for row in mine if row < step.labelled]
        unlabelled = len(step.batch.images) - step.labelled
        own_unlabelled = [row - step.labelled for row in mine if row >= step.labelled]
        rows = rows_of(own_unlabelled, unlabelled, every=self._config.teacher == "student")
        weak = self._formatted(step.batch.images[step.labelled :][rows.needed])
        own_labelled = self._formatted(step.batch.images[labelled])
        valid = step.batch.labels[step.labelled :][rows.needed] != IGNORE
        taught = [self._teach(learner, own_labelled, weak) for learner in self._learners]
        self._optimizer.zero_grad(set_to_none=True)
        for group in self._optimizer.param_groups:
            group["lr"] = self._learning_rate(number)
        for place, learner in enumerate(self._learners):
            truth = step.batch.labels[labelled]
            images, boxes = learner.view.of(weak, rows, epoch=self._epoch(number), first=self._first(number))
            # By step, so that a stage that was interrupted goes on with the same numbers.
            torch.manual_seed(learner.stream.torch_seed(number, self._team.rank))
            with self._cast():
                logits = learner.predict(self._formatted(torch.cat([own_labelled, images])))
            self._learn(place, logits.float(), truth, [taught[i] for i in self._teachers(place)], rows, boxes, valid)
        self._judge(step, taught, rows, valid)
        self._optimizer.step()
        for learner, said in zip(self._learners, taught):
            learner.follow()
            if learner.prototypes is not None:
                # The own rows alone, so that a team counts every image once; padding belongs to no class.
                own = [*range(len(labelled)), *(len(labelled) + place for place in rows.own)]
                known = torch.cat([step.batch.labels[labelled] != IGNORE, valid])
                decided = torch.where(known, said.decided, IGNORE)
                learner.move_prototypes(said.features[own], decided[own], self._team)

    def _formatted(self, images: Tensor) -> Tensor:
        return images.to(self._dtype, memory_format=torch.channels_last)

    def _cast(self) -> AbstractContextManager[Any]:
        half = self._training.precision == "bfloat16"
        return torch.autocast(self._device.type, torch.bfloat16) if half else nullcontext()

    def _epoch(self, number: int) -> int:
        return number // self._feed.steps_per_epoch

    def _first(self, number: int) -> int:
        """Place in its epoch of a step's first unlabelled image."""
        return number % self._feed.steps_per_epoch * self._feed.batch[1]

    def _learning_rate(self, number: int) -> float:
        return learning_rate(self._training, number, self._feed.steps)

    def _teachers(self, place: int) -> list[int]:
        """Who teaches a student: places of learners."""
        others = [i for i in range(len(self._learners)) if i != place]
        return {"own": [place], "peer": others, "both": [*others, place]}[self._config.taught_by]

    def _teach(self, learner: Learner, labelled: Tensor, weak: Tensor) -> Taught:
        """The teacher's word on the unlabelled images; behind the labelled ones, which the prototypes want too."""
        images = torch.cat([labelled, weak]) if self._config.rectified else weak
        return learner.teach(self._formatted(images), self._cast())

    def _learn(
        self,
        place: int,
        logits: Tensor,
        truth: Tensor,
        teachers: Sequence[Taught],
        rows: Rows,
        boxes: Tensor,
        valid: Tensor,
    ) -> None:
        """One student's gradients: its true labels, and what each of its teachers says (RML, Eq. 1-5)."""
        config = self._config
        log_probs = logits.log_softmax(dim=1)
        supervised = cross_entropy_sum(log_probs[: len(truth)], truth, torch.ones_like(truth, dtype=log_probs.dtype))
        seen = paste(boxes, valid[rows.own], valid[rows.partners])
        unlabelled, sure = log_probs.new_zeros(()), log_probs.new_zeros(())
        for teacher in teachers:
            probs = teacher.probs[len(teacher.probs) - len(valid) :]  # behind the labelled images
            mixed = paste(boxes, probs[rows.own], probs[rows.partners])
            labels, confidence = sharpest(mixed, seen)
            sure = sure + (seen & (confidence > config.threshold)).sum()
            own = log_probs[len(truth) :]
            if config.loss == "squared":
                unlabelled = unlabelled + squared_loss_sum(own.exp(), mixed, seen)
            else:
                unlabelled = unlabelled + label_loss_sum(own, labels, confidence, threshold=config.threshold)
        # The means are those of the whole team's batch; DistributedDataParallel takes the mean of the gradients.
        counted = torch.stack([(truth != IGNORE).sum(), seen.sum(), sure]).double()
        whole = self._team.add(counted.clone()).clamp(min=1).to(log_probs.dtype)
        weight = torch.full_like(whole[0], config.weight)
        if (
            config.loss == "squared"
        ):  # as much as the teacher is sure of, in place of leaving pixels out (French et al.)
            weight = weight * whole[2] / (whole[1] * len(teachers))
        loss = supervised / whole[0] + weight * unlabelled / whole[1]
        (loss * self._team.size).backward()  # type: ignore[no-untyped-call]
        sums = (supervised.detach(), counted[0], unlabelled.detach(), counted[1], counted[2] / len(teachers))
        self._sums[place, : len(sums)] += torch.stack([value.double() for value in sums])

    @torch.no_grad()
    def _judge(self, step: Step, taught: Sequence[Taught], rows: Rows, valid: Tensor) -> None:
        """Compare the teachers' labels of the step with the truth and with each other, after the fact."""
        seen = valid[rows.own]
        probs = [said.probs[len(said.probs) - len(valid) :][rows.own] for said in taught]
        assert step.truth is not None
        truth = step.truth[[rows.needed[i] for i in rows.own]]
        for place, own in enumerate(probs):
            labels, confidence = sharpest(own, seen)
            judged = seen & (truth != IGNORE) & (confidence > self._config.threshold)
            self._sums[place, -2:] += torch.stack([judged.sum(), (judged & (labels == truth)).sum()]).double()
        if len(probs) == 2:
            self._apart += torch.stack([total_variation_sum(probs[0], probs[1], seen).double(), seen.sum().double()])

    def row(self, done: int) -> dict[str, float]:
        """Means since the last row, over the whole team; waits for the device.

        Returns:
            ``loss``, the mean over the students; for each student ``A.labelled_loss``, ``A.unlabelled_loss`` (weighed
            as in the loss, without its weight), ``A.coverage`` (share of the pixels of which the teachers are sure) and
            ``A.pseudo_accuracy`` (of its own teacher's sure labels); for two ``total_variation`` between what labels.
        """
        told = [dict(zip(_SUMS, sums)) for sums in self._team.add(self._sums).tolist()]
        row: dict[str, float] = {
            "step": done,
            "epoch": self._epoch(done - 1) + 1,
            "learning_rate": self._learning_rate(done - 1),
        }
        losses = []
        for learner, sums in zip(self._learners, told):
            supervised = _share(sums["labelled"], sums["counted"])
            unlabelled = _share(sums["unlabelled"], sums["valid"])
            losses.append(supervised + self._config.weight * unlabelled)
            row |= {
                f"{learner.side}.labelled_loss": supervised,
                f"{learner.side}.unlabelled_loss": unlabelled,
                f"{learner.side}.coverage": _share(sums["sure"], sums["valid"]),
                f"{learner.side}.pseudo_accuracy": _share(sums["right"], sums["judged"]),
            }
        if len(self._learners) == 2:
            apart, seen = self._team.add(self._apart).tolist()
            row["total_variation"] = _share(apart, seen)
        self._clear()
        return row | {"loss": float(np.mean(losses))}


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


class _Best:
    """The snapshot of all models that goes on, where that is not the last: the best in the mean over them."""

    def __init__(self, training: Training, learners: Sequence[Learner], parts: Parts, work: Workspace) -> None:
        self._judge = "selection_miou" if training.keep == "val" else "reported_miou"
        self._learners, self._parts, self._work = learners, parts, work
        self.rows: list[dict[str, float]] = []
        self.weights: dict[str, Tensor] = {}

    def offer(self, group: nn.Module, step: int) -> None:
        """Score what is scored of each model as it is, and remember all weights if they are the best so far."""
        found: dict[str, float] = {"step": step}
        for name, images in (("selection", self._parts.selection), ("reported", self._parts.reported)):
            scores = [score(learner.scored, self._work, *images)["miou"] for learner in self._learners]
            found[f"{name}_miou"] = float(np.mean(scores))
        for learner in self._learners:
            learner.student.train()
        if not self.rows or found[self._judge] > max(row[self._judge] for row in self.rows):
            self.weights = {name: value.detach().cpu().clone() for name, value in group.state_dict().items()}
        self.rows.append(found)

    def restore_into(self, group: nn.Module) -> None:
        """Put the best weights back."""
        if self.weights:
            group.load_state_dict(self.weights)

    def write(self, out: Path) -> None:
        """Write scores.csv, if anything was scored."""
        if self.rows:
            columns = list(self.rows[0])
            lines = [",".join(columns), *(",".join(f"{row[name]!r}" for name in columns) for row in self.rows)]
            (out / SCORES).write_text("\n".join(lines) + "\n", encoding="utf-8")
