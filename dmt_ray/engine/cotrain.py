"""Cotrain: students learn, step by step, what teachers that change with them see on another view (RML, Eq. 2-11)."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from dmt_ray import IGNORE
from dmt_ray.config import SIDES
from dmt_ray.data.splits import divide
from dmt_ray.engine.batch_loader import BatchLoader, Step
from dmt_ray.engine.finite import ADVICE, fault
from dmt_ray.engine.history import Row, fraction, mean_loss
from dmt_ray.engine.loop import Stepper, train
from dmt_ray.engine.pseudo_labels import PseudoLabels
from dmt_ray.engine.student import Places, Student, TeacherOutput, places_of, rows_of
from dmt_ray.engine.workspace import Workspace
from dmt_ray.errors import TrainingFailed
from dmt_ray.losses.consistency import label_loss_sum, paste, sharpest, squared_loss_sum, total_variation_sum
from dmt_ray.losses.cross_entropy import cross_entropy_sum
from dmt_ray.plan.operations.cotrain import Cotrain

# What is added up for each student between two rows of the history.
_SUMS = ("labelled", "counted", "unlabelled", "valid", "sure", "judged", "right", "strange")


def cotrain(config: Cotrain, work: Workspace) -> int:
    """Train the models in ``work.inputs`` "A" and "B" further, each by the teachers that the settings name.

    Writes both students, their mean teachers where there are, and history.csv.

    Returns:
        Optimizer steps of all students.
    """
    parts = divide(config.split, config.data, work.dataset)
    students = [Student(side, config, work) for side in SIDES if side in work.inputs]
    pseudo = PseudoLabels(work.dataset.subsets["train"], parts.unlabelled, None)
    loader = BatchLoader(work, config.training, parts.labelled, pseudo, students[0].stream, whole=True)
    train(CotrainStepper(students, loader, config, work, (*parts.labelled, *parts.unlabelled)), parts)
    if work.team.chief:
        for student in students:
            student.save(work.out)
    return loader.steps * len(students)


class CotrainStepper(Stepper):
    """Takes the steps of all students.

    Every worker of a team loads the whole global batch, and is responsible for some of its rows: an image that is
    pasted into another one has to be labelled where that one is, whose row it may be.

    Args:
        students: With their teachers.
        loader: The batches.
        config: The settings.
        work: Data and device.
        positions: All train images, from which the first prototypes come.
    """

    def __init__(
        self,
        students: Sequence[Student],
        loader: BatchLoader,
        config: Cotrain,
        work: Workspace,
        positions: Sequence[int],
    ) -> None:
        networks, scored = zip(*((student.student, student.scored) for student in students))
        super().__init__(networks, scored, nn.ModuleList(students), loader, config.training, work)
        self._students, self._config, self._positions = students, config, positions
        self._clear()

    def _clear(self) -> None:
        device = self.work.device
        self._sums = torch.zeros(len(self._students), len(_SUMS), dtype=torch.float64, device=device)
        self._apart = torch.zeros(2, dtype=torch.float64, device=device)

    def prepare(self) -> None:
        """Find the first prototypes."""
        for student in self._students:
            student.find_prototypes(self._positions, self.work)

    def backward(self, number: int, step: Step) -> None:
        """Compute the gradients of all students, and add up their statistics."""
        team, spe = self.work.team, self.loader.steps_per_epoch
        mine = team.share(range(len(step.batch.images)))
        labelled = [row for row in mine if row < step.labelled]
        unlabelled = len(step.batch.images) - step.labelled
        own_unlabelled = [row - step.labelled for row in mine if row >= step.labelled]
        rows = rows_of(own_unlabelled, unlabelled, every=self._config.teacher == "student")
        places = places_of(labelled, rows, self.work.device)
        weak = self._formatted(step.batch.images[step.labelled :].index_select(0, places.needed))
        own_labelled = self._formatted(step.batch.images.index_select(0, places.labelled))
        truth = step.batch.labels.index_select(0, places.labelled)
        valid = step.batch.labels[step.labelled :].index_select(0, places.needed) != IGNORE
        outputs = [self._teach(student, own_labelled, weak) for student in self._students]
        first = number % spe * self.loader.batch[1]  # place in its epoch of the step's first unlabelled image
        for place, student in enumerate(self._students):
            seen = [view.of(weak, rows, places, epoch=number // spe, first=first) for view in student.views]
            plain = [weak.index_select(0, places.own)] if self._config.features == "stream" else []
            images = torch.cat([own_labelled, *(images for images, _ in seen), *plain])
            # By step, so that a stage that was interrupted goes on with the same numbers.
            torch.manual_seed(student.stream.torch_seed(number, team.rank))
            with self._cast():
                logits = student.predict(self._formatted(images), labelled=len(truth), unlabelled=len(places.own))
            boxes = [boxes for _, boxes in seen]
            self._learn(place, logits.float(), truth, [outputs[i] for i in self._teachers(place)], places, boxes, valid)
        self._judge(step, outputs, places, valid)
        for student, output in zip(self._students, outputs):
            if student.prototypes is not None:
                # The own rows alone, so that a team counts every image once; padding belongs to no class.
                decided = torch.where(torch.cat([truth != IGNORE, valid]), output.decided, IGNORE)
                features = output.features.index_select(0, places.counted)
                student.move_prototypes(features, decided.index_select(0, places.counted), team)

    def follow(self, number: int) -> None:
        """Let the moving averages follow the students."""
        for student in self._students:
            student.follow(number)

    def _teachers(self, place: int) -> list[int]:
        """The places of the students whose teachers teach one."""
        others = [i for i in range(len(self._students)) if i != place]
        return {"own": [place], "peer": others, "both": [*others, place]}[self._config.taught_by]

    def _teach(self, student: Student, labelled: Tensor, weak: Tensor) -> TeacherOutput:
        """The teacher's output for the unlabelled images, after the labelled ones where prototypes need these too."""
        images = torch.cat([labelled, weak]) if self._config.rectified else weak
        return student.teach(self._formatted(images), self._cast())

    def _learn(
        self,
        place: int,
        logits: Tensor,
        truth: Tensor,
        teachers: Sequence[TeacherOutput],
        places: Places,
        views: Sequence[Tensor],
        valid: Tensor,
    ) -> None:
        """One student's gradients: its true labels, and the output of each of its teachers (RML, Eq. 1-5).

        Each view, and the stream whose features are perturbed, has a mean of its own; the stream counts as much as all
        views together (UniMatch).
        """
        config = self._config
        log_probs = logits.log_softmax(dim=1)
        supervised = cross_entropy_sum(log_probs[: len(truth)], truth, torch.ones_like(truth, dtype=log_probs.dtype))
        own, streams = len(places.own), list(views)
        shares = [1 / len(views)] * len(views)
        if config.features == "stream":  # nothing is pasted into these
            streams.append(torch.zeros_like(views[0]))
            shares = [*(share / 2 for share in shares), 0.5]
        parts = list[tuple[Tensor, Tensor, Tensor]]()
        for number, boxes in enumerate(streams):
            start = len(truth) + number * own
            parts.append(self._compared(log_probs[start : start + own], teachers, places, boxes, valid))
        # The means are those of the whole team's batch; DistributedDataParallel takes the mean of the gradients.
        counted = torch.stack([(truth != IGNORE).sum(), *(number for part in parts for number in part[1:])]).double()
        whole = self.work.team.add(counted.clone()).clamp(min=1).to(log_probs.dtype)
        loss = supervised / whole[0]
        for number, (share, (unlabelled, _, _)) in enumerate(zip(shares, parts)):
            seen, sure = whole[1 + 2 * number], whole[2 + 2 * number]
            weight = torch.full_like(seen, config.weight * share)
            if config.loss == "squared":  # by the pixels it is sure of, instead of leaving others out (French et al.)
                weight = weight * sure / (seen * len(teachers))
            loss = loss + weight * unlabelled / seen
        self.update.backward(loss * self.work.team.size)
        sums = torch.stack([supervised.detach().double(), counted[0], *counted.new_zeros(3)])
        for share, part in zip(shares, parts):
            unlabelled, seen, sure = (value.detach().double() for value in part)
            sums[2:] += share * torch.stack([unlabelled, seen, sure / len(teachers)])
        self._sums[place, : len(sums)] += sums

    def _compared(
        self, log_probs: Tensor, teachers: Sequence[TeacherOutput], places: Places, boxes: Tensor, valid: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """For one view: the loss against all teachers, summed; how many pixels count; of how many they are sure."""
        config = self._config
        seen = paste(boxes, valid.index_select(0, places.own), valid.index_select(0, places.partners))
        unlabelled, sure = log_probs.new_zeros(()), log_probs.new_zeros(())
        for teacher in teachers:
            probs = teacher.probs[len(teacher.probs) - len(valid) :]  # behind the labelled images
            mixed = paste(boxes, probs.index_select(0, places.own), probs.index_select(0, places.partners))
            labels, confidence = sharpest(mixed, seen)
            sure = sure + (seen & (confidence > config.threshold)).sum()
            if config.loss == "squared":
                unlabelled = unlabelled + squared_loss_sum(log_probs.exp(), mixed, seen)
            else:
                unlabelled = unlabelled + label_loss_sum(log_probs, labels, confidence, threshold=config.threshold)
        return unlabelled, seen.sum(), sure

    @torch.no_grad()
    def _judge(self, step: Step, outputs: Sequence[TeacherOutput], places: Places, valid: Tensor) -> None:
        """Compare the teachers' labels of the step with the truth and with each other, after the fact."""
        seen = valid.index_select(0, places.own)
        probs = [output.probs[len(output.probs) - len(valid) :].index_select(0, places.own) for output in outputs]
        assert step.truth is not None
        truth = step.truth.index_select(0, places.needed).index_select(0, places.own)
        for place, own in enumerate(probs):
            labels, confidence = sharpest(own, seen)
            judged = seen & (truth != IGNORE) & (confidence > self._config.threshold)
            # Probabilities that are no numbers: no confidence exceeds a threshold then, and no loss would tell.
            strange = (~own.isfinite()).sum()
            self._sums[place, -3:] += torch.stack([judged.sum(), (judged & (labels == truth)).sum(), strange]).double()
        if len(probs) == 2:
            self._apart += torch.stack([total_variation_sum(probs[0], probs[1], seen).double(), seen.sum().double()])

    def row(self, done: int) -> Row:
        """Means since the last row, over the whole team; waits for the device.

        Returns:
            ``loss``, the mean over the students; for each student ``A.labelled_loss``, ``A.unlabelled_loss`` (weighed
            as in the loss, without its weight), ``A.coverage`` (share of the pixels of which the teachers are sure) and
            ``A.pseudo_accuracy`` (of its own teacher's sure labels); for two ``total_variation`` between what labels.
        """
        row, losses = self._place(done), []
        for student, values in zip(self._students, self.work.team.add(self._sums).tolist()):
            sums = dict(zip(_SUMS, values))
            if sums["strange"]:
                what = fault(student.scored)
                raise TrainingFailed(
                    f"the teacher of model {student.side} gives probabilities that are not finite before step {done} "
                    f"of {self.loader.steps}{f': {what}' if what else ''}. {ADVICE}"
                )
            supervised = mean_loss(sums["labelled"], sums["counted"])
            unlabelled = mean_loss(sums["unlabelled"], sums["valid"])
            # Steps without a labelled pixel have a loss all the same.
            losses.append(float(np.nansum([supervised, self._config.weight * unlabelled])))
            row |= {
                f"{student.side}.labelled_loss": supervised,
                f"{student.side}.unlabelled_loss": unlabelled,
                f"{student.side}.coverage": fraction(sums["sure"], sums["valid"]),
                f"{student.side}.pseudo_accuracy": fraction(sums["right"], sums["judged"]),
            }
        if len(self._students) == 2:
            apart, seen = self.work.team.add(self._apart).tolist()
            row["total_variation"] = fraction(apart, seen)
        self._clear()
        return row | {"loss": float(np.mean(losses))}
