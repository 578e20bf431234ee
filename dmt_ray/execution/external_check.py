"""Masks from elsewhere: what identifies them, and whether they can teach, before any work."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dmt_ray.config import Config, External
from dmt_ray.data import Dataset
from dmt_ray.data.check import Problems, Steps
from dmt_ray.data.elsewhere import ExternalMasks
from dmt_ray.data.manifest import digest_files
from dmt_ray.data.splits import Parts
from dmt_ray.errors import ConfigError, DataError
from dmt_ray.plan.words import be, counted


def open_external(config: Config, dataset: Dataset, cache: Path) -> tuple[External, ExternalMasks | None]:
    """The settings of masks from elsewhere, with absolute folders and the digest of their files; and these files.

    Args:
        config: Settings; where they name no masks from elsewhere, nothing is opened.
        dataset: The data set.
        cache: Folder in which digests of files are remembered.

    Raises:
        ConfigError: If the data are not for segmentation, or there are confidences without masks.
        DataError: If files are not there or cannot be read.
    """
    external = config.external
    if external.masks is None:
        if external.confidence is not None:
            raise ConfigError(
                f"external.confidence is {external.confidence}, but external.masks is null; set both, or only the masks"
            )
        return external, None
    if dataset.task != "segmentation":
        raise ConfigError(f"external.masks is for segmentation, but {dataset.name} is not; set it to null")
    folders = {"masks": external.masks, "confidence": external.confidence}
    external = external.evolve(**{name: folder and str(Path(folder).absolute()) for name, folder in folders.items()})
    masks = ExternalMasks(external, dataset.subsets["train"], dataset.classes, config.data.size is not None)
    problems, digests = Problems(), dict[Path, str]()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for folder in (external.masks, external.confidence):
            if folder is not None:
                files = [path for path in masks.files() if path.is_relative_to(folder) and path not in digests]
                digests |= digest_files(files, Path(folder), cache, pool, problems, Steps(None, 0))
    if problems:
        raise DataError(str(problems.error("external", external.masks)).partition("\n- ")[2])
    return external.evolve(fingerprint=masks.fingerprint(digests)), masks


def check_external(masks: ExternalMasks, parts: Parts) -> list[str]:
    """Make sure that masks from elsewhere can teach under a split.

    Returns:
        What is worth a warning, a sentence each.

    Raises:
        DataError: If no unlabelled image has one; or as `ExternalMasks.calibrate`.
    """
    folder, warnings = masks.external.masks, []
    lacking = sum(not masks.has(i) for i in parts.unlabelled)
    if lacking == len(parts.unlabelled):
        raise DataError(
            f"none of {counted(lacking, 'unlabelled image')} of split {parts.name} has a mask in {folder}: add some"
        )
    if lacking:
        unlabelled = counted(len(parts.unlabelled), "unlabelled image")
        warnings.append(
            f"{lacking:,} of {unlabelled} of split {parts.name} {be(lacking)} without a mask in {folder}, and so "
            "without labels from there"
        )
    if left_out := masks.left_out(masks.calibrate(parts.labelled)):
        warnings.append(
            f"the masks in {folder} do not label these classes, whose precision on the labelled images of split "
            f"{parts.name} stays below {masks.external.precision:g}: {left_out}"
        )
    return warnings
