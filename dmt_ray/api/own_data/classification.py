"""A recipe for images in a folder for each class."""

from collections import Counter
from pathlib import Path

from dmt_ray.api.own_data.proposal import TEST_SHARE, VAL_SHARE, Machine, Proposal, about, doubts_about, reading
from dmt_ray.data.survey import Layout, Pictures
from dmt_ray.errors import DataError
from dmt_ray.plan.words import counted


def for_classes(folder: Path, layout: Layout, pictures: Pictures, machine: Machine) -> Proposal:
    """A recipe for folders that are classes.

    Raises:
        DataError: If a class has too few images.
    """
    places = [path.relative_to(folder).parts for path in layout.images]
    counts = (
        Counter(parts[1] for parts in places if parts[0] == "train")
        if layout.subsets
        else Counter(p[0] for p in places)
    )
    fewest = min(counts.values()) if len(counts) == len(layout.classes) else 0
    free = fewest if layout.subsets else fewest - max(1, round(TEST_SHARE * fewest))
    free -= max(1, round(VAL_SHARE * free))
    each = max(1, free // (8 if free >= 16 else 2))
    if free < 2:
        raise DataError(
            f"the rarest class in {folder} has {counted(fewest, 'training image')}, too few for labelled, unlabelled "
            "and validation images: 4 are the fewest"
        )
    side = min(32 if not machine.gpu else 96, min(min(size) for size in pictures.sizes))
    side = max(8, side // 8 * 8)
    total = sum(counts.values()) if layout.subsets else round((1 - TEST_SHARE) * sum(counts.values()))
    labelled = each * len(layout.classes)
    unlabelled = max(1, round((1 - VAL_SHARE) * total) - labelled)
    first, steps = machine.steps
    batch, mixed = min(64, labelled), (min(32, labelled), min(96, unlabelled))
    epochs = max(1, round(first * batch / labelled))
    again = max(1, round(steps * mixed[1] / unlabelled))
    where = "a GPU" if machine.gpu else "a CPU"
    depth, width = (28, 2) if machine.gpu else (10, 1)
    heights, widths = zip(*pictures.sizes, strict=True)
    extent = f"{min(heights)} x {min(widths)} to {max(heights)} x {max(widths)}"
    images = f"{counted(len(layout.images), 'image')} of {len(layout.classes)} classes"
    lines = [
        f"# Made by `dmt data init` for {folder.name}/: {images}.",
        "# Every choice is a first guess.",
        "recipe: cifar10-small",
        "data:",
        f"  name: class_folders   # the classes are the folders: {', '.join(layout.classes[:8])}",
        *([] if not layout.settings else ["  reported: val   # there is no folder test"]),
        *reading(Layout("classification", {}, (), ()), pictures),
        f"  size: [{side}, {side}]   # that all images are resized to; they are {extent}",
        *(
            []
            if layout.subsets
            else [f"  test_share: {TEST_SHARE}   # this fraction of each class is drawn as the test set"]
        ),
        "split:",
        f"  labelled: {labelled}   # {each} of each class; the labels of the others are not used",
        f"  selection: {VAL_SHARE}   # fraction of the training images of each class that validates",
        f"model: {{arguments: {{depth: {depth}, width: {width}}}}}   # a WideResNet for {where}",
        f"crop: {side}   # of all trainings; an image is padded by an eighth before it is cropped",
    ]
    pad = f"augment: {{pad: {max(1, side // 8)}}}"
    lines += [
        f"pretrain: {{epochs: {epochs}, batch: [{batch}, 0], {pad}}}",
        f"finetune: {{epochs: {again}, batch: {list(mixed)}, {pad}}}   # one of the five iterations of `percentiles`",
        f"online: {{epochs: {5 * again}, batch: {list(mixed)}, {pad}}}   # of methods that label at every step",
        f"retrain: {{epochs: {2 * again}, batch: {list(mixed)}, {pad}}}",
        f"oracle: {{epochs: {max(1, round(first * batch / total))}, batch: [{min(128, total)}, 0], {pad}}}",
    ]
    found = [
        f"{images}, a folder each: {', '.join(layout.classes[:8])}",
        *about(pictures),
        *(f"{name}: {counted(count, 'image')}" for name, count in layout.subsets.items()),
    ]
    return Proposal("\n".join(lines) + "\n", tuple(found), tuple(doubts_about(folder, layout, pictures, None)))
