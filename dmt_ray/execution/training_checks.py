"""Checks of trainings before work starts: whether networks take the crops, batches and whole images of the data."""

from collections.abc import Callable, Iterable

from dmt_ray.config import Augment, Data, Model, Task, Training
from dmt_ray.data import Dataset
from dmt_ray.errors import ModelError
from dmt_ray.execution.network_notes import NetworkNotes
from dmt_ray.plan import ImageCounts, Stage, TrainingSlice

MULTIPLE = 32  # of the sides of a crop, which all networks take

# torch takes seconds to import: only what looks at a network for the first time imports it.


class TrainingChecks:
    """Checks networks; what was once found to be so is not tried again.

    Args:
        notes: What is known of networks in the storage folder, with the same versions.
        dataset: Opens a data set.
        counts: The number of images that a stage has.
    """

    def __init__(
        self, notes: NetworkNotes, dataset: Callable[[Data], Dataset], counts: Callable[[Stage], ImageCounts]
    ) -> None:
        self._notes, self._dataset, self._counts = notes, dataset, counts
        self._checked: set[tuple[object, ...]] = set()

    def check_networks(self, stages: Iterable[Stage]) -> None:
        """Check that the networks of the trainings among some stages can be built, and take their crops and whole
        images.

        What was found to be so in this storage folder, with the same versions, is not tried again.

        Raises:
            ModelError: If a network cannot be built, is for another task than the data, its weights do not fit, or it
                cannot take crops of the size that its training uses, or the largest image of the data.
        """
        for stage in stages:
            config = stage.config
            if isinstance(config, TrainingSlice):
                dataset = self._dataset(config.data)
                for model in stage.networks():
                    self._check_weights(model, len(dataset.classes))
                    self._check_rates(model, len(dataset.classes), config.training)
                    sizes = {"crops": config.training.augment.crop, "padded images": padded_size(model, dataset)}
                    for what, size in sizes.items():
                        self._check_network(model, len(dataset.classes), size, config.data.task, what)
                    self._check_features(model, len(dataset.classes), config)

    def check_batches(self, stage: Stage, config: TrainingSlice) -> None:
        """Check that the networks of a training can be trained on its batches.

        Networks are tried with two images: one is left to be tried where a batch of the training holds one.

        Raises:
            ModelError: If a batch would hold one image, and a network cannot train on that; with the nearest batch size
                that would do.
        """
        images = self._counts(stage)
        if 1 not in config.batch_sizes(images):
            return
        classes, crop = len(self._dataset(config.data).classes), config.training.augment.crop
        for model in stage.networks():
            if self._unchecked("one", model, classes, crop) and not self._notes.trains_on_one(model, classes, crop):
                from dmt_ray.execution.network_check import objection_to_one

                if reason := objection_to_one(model, classes, crop):
                    raise ModelError(_refusal_of_one(config, images, model, reason))
                self._notes.note_trains_on_one(model, classes, crop)

    def _check_weights(self, model: Model, classes: int) -> None:
        if model.weights_file and self._unchecked("weights", model, classes):
            from dmt_ray.execution.network_check import check_weights

            check_weights(model, classes)

    def _check_rates(self, model: Model, classes: int, training: Training) -> None:
        if training.encoder_rate != training.head_rate and self._unchecked("rates", model, classes):
            from dmt_ray.execution.network_check import check_rates

            check_rates(model, classes)

    def _check_features(self, model: Model, classes: int, config: TrainingSlice) -> None:
        if config.perturbs_features() and self._unchecked("features", model, classes):
            from dmt_ray.execution.network_check import check_features

            check_features(model, classes, config.training.augment.crop)

    def _check_network(self, model: Model, classes: int, size: tuple[int, int], task: Task, what: str) -> None:
        if self._unchecked("size", model, classes, size, task) and not self._notes.fits(model, classes, size, task):
            from dmt_ray.execution.network_check import check_network

            check_network(model, classes, size, task, what)
            self._notes.note_fits(model, classes, size, task)

    def _unchecked(self, what: str, model: Model, *about: object) -> bool:
        """Whether this runner is asked for the first time."""
        key = (what, model.model_dump_json(), *about)
        known = key in self._checked
        self._checked.add(key)
        return not known


def too_large_crops(trainings: Iterable[Training], dataset: Dataset) -> list[str]:
    """Warnings of crops that are larger than a training image ever is, so that the rest of each is padding."""
    found = (_too_large_a_crop(training.augment, dataset) for training in trainings)
    return list(dict.fromkeys(filter(None, found)))


def _too_large_a_crop(augment: Augment, dataset: Dataset) -> str:
    largest = [int(side) for side in dataset.subsets["train"].sizes.max(axis=0)]
    reach = [round(side * augment.scale[1]) + 2 * augment.pad for side in largest]
    fitting = [
        crop if crop <= most else min(crop, max(side // MULTIPLE * MULTIPLE, MULTIPLE))
        for crop, most, side in zip(augment.crop, reach, largest, strict=True)
    ]
    if fitting == list(augment.crop):  # also where an image is smaller than any crop that networks take
        return ""
    return (
        f"crops are {augment.crop[0]} x {augment.crop[1]} pixels, and the largest training image is {largest[0]} x "
        f"{largest[1]}, resized by at most {augment.scale[1]:g}: the rest of every crop is padding, which costs time "
        f"and teaches nothing. Pass --set crop=[{fitting[0]},{fitting[1]}], or have the line crop: {fitting} in the "
        "recipe file"
    )


def padded_size(model: Model, dataset: Dataset) -> tuple[int, int]:
    """Height and width of an image that is as high and as wide as any of a data set, padded for a network."""
    largest = (max(int(images.sizes[:, axis].max()) for images in dataset.subsets.values()) for axis in (0, 1))
    multiple, rest = model.padding or (32, 0)
    height, width = (side + (rest - side) % multiple for side in largest)
    return height, width


def _refusal_of_one(config: TrainingSlice, images: ImageCounts, model: Model, reason: str) -> str:
    """Why a training cannot be, which has a batch of one image; with the nearest batch that would do."""
    training, name = config.training, config.setting()
    (first, second), near = training.batch, range(1, 9)
    sizes = [size for distance in near for size in (first + distance, first - distance) if size > 0]
    fitting = [
        size
        for size in sizes
        if 1 not in config.evolve(training=training.evolve(batch=(size, second))).batch_sizes(images)
    ]
    advice = f"Set {name}.batch=[{fitting[0]},{second}]" if fitting else f"Set another {name}.batch"
    height, width = training.augment.crop
    return (
        f"{model.architecture}/{model.encoder} cannot train on a batch of 1 image of {height} x {width} ({reason}), "
        f"but {name} with batches of {first + second} images makes one of the images of this split. {advice}, or "
        "another split.labelled"
    )
