"""`dmt suggest`: which unlabelled pictures of a model's data people should label next, with drafts of their masks.

The folder that is written holds suggested.csv (a row a picture), labelled.txt (what was labelled, and these pictures:
a list for `split.list`), sheet.png, and a file for each picture in pictures/ and in masks/.
"""

import csv
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from dmt_ray.api.sheet import Entry, contact_sheet
from dmt_ray.api.trained import Trained, find_model
from dmt_ray.config import Data, DataSettings, Split
from dmt_ray.data import Dataset, Parts, divide
from dmt_ray.data.check import Problems
from dmt_ray.data.decode import picture_of
from dmt_ray.data.pictures import Unfit, rgb
from dmt_ray.data.source import DataSource, Listing
from dmt_ray.engine.informative import drawn, judge, spread
from dmt_ray.engine.tiles import Map, Predictor, Tiling
from dmt_ray.engine.workspace import device_of
from dmt_ray.errors import ConfigError, DataError, MissingStages
from dmt_ray.execution.progress import Counting
from dmt_ray.execution.runner import Machine, Runner, device_check
from dmt_ray.files import replacing, write_text
from dmt_ray.plan import escape
from dmt_ray.plan.words import counted
from dmt_ray.store.record import RECORD, Record

By = Literal["disagreement", "entropy", "random"]
LIST, TABLE, SHEET, PICTURES, MASKS = "labelled.txt", "suggested.csv", "sheet.png", "pictures", "masks"


@dataclass(frozen=True)
class Request:
    """What to suggest.

    Attributes:
        model: As `predicting.find_model` takes it.
        count: How many pictures.
        by: disagreement: of models A and B; entropy: of their mean; random: drawn, as a control.
        out: Folder to write.
        storage: Folder of the results.
        data: Folder of the data set; None: below the environment variable DMT_DATA.
        device: Where the networks run, as `engine.workspace.device_of` reads it.
        seed: Of the draw.
    """

    model: str
    count: int
    by: By
    out: Path
    storage: Path
    data: Path | None = None
    device: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise a ConfigError for what cannot be done."""
        if self.count < 1:
            raise ConfigError(f"--count is a number of pictures from 1 on, but got {self.count}")
        if self.seed < 0:
            raise ConfigError(f"--seed is a whole number from 0 on, but got {self.seed}")
        if self.out.exists() and (not self.out.is_dir() or any(self.out.iterdir())):
            raise ConfigError(f"{self.out} exists and holds something; choose another folder as --out")


@dataclass(frozen=True)
class Suggestion:
    """The pictures that were chosen.

    Attributes:
        ids: Their ids, in the order in which they were taken.
        values: Mean of the map that they were chosen by; of random ones that of the disagreement, or the entropy.
        unlabelled: How many pictures there were to choose from.
        settings: Overrides for the next run, which learns from corrected masks, too; none where the data set takes no
            list.
        outside: The data set's folder, if the folder that was written lies outside it and has to be moved there.
    """

    ids: tuple[str, ...]
    values: tuple[float, ...]
    unlabelled: int
    settings: tuple[str, ...]
    outside: Path | None = None


def suggest(request: Request, console: Console) -> Suggestion:
    """Choose pictures, and write the folder.

    Raises:
        ConfigError: If the request does not fit the model or its data.
        DataError: If the data set is not there, or not what the model was trained on.
        MissingStages: If there is no such model.
    """
    device_check(request.device)
    model = find_model(request.model, request.storage)
    if request.by == "disagreement" and len(model.networks) != 2:
        raise ConfigError(
            f"disagreement is that of two models, A and B, but {model.name} is one. Choose --by entropy, or name a run "
            "of a method that trains two, such as dmt"
        )
    data, split = _trained_on(model, request.storage)
    dataset = Runner(Machine(request.storage, request.data)).dataset(data)
    parts = divide(split, data, dataset)
    if request.count > len(parts.unlabelled):
        raise ConfigError(
            f"--count is {request.count}, but {data.name} has only "
            f"{counted(len(parts.unlabelled), 'unlabelled picture')}"
        )
    shown: Map = "disagreement" if request.by != "entropy" and len(model.networks) == 2 else "entropy"
    sides = dataset.subsets["train"].sizes.max(axis=0)
    pixels = dataset.subsets["train"].sizes[list(parts.unlabelled)].prod(axis=1)
    progress = Counting(console, "picture", pixels.tolist())
    predictor = Predictor(
        model.networks,
        Tiling(model.info.crop or (int(sides[0]), int(sides[1]))),
        device_of(request.device),
        normalisation=model.info.normalisation,
        size=data.size,
        maps=[shown],
        progress=progress.part,
    )
    places = _choose(request, predictor, dataset, parts, shown, progress)
    positions = [parts.unlabelled[place] for place in places]
    chosen = dataset.subsets["train"].sizes[positions].prod(axis=1)
    with Counting(console, "chosen picture", chosen.tolist()) as written:
        values = _write(request, model, data, dataset, positions, predictor, shown, written)
    ids = dataset.subsets["train"].ids
    listed = [ids[position] for position in (*parts.labelled, *positions)]
    write_text(request.out / LIST, "".join(f"{id}\n" for id in listed))
    settings, outside = _next_run(request, dataset, positions, len(listed))
    return Suggestion(tuple(ids[i] for i in positions), tuple(values), len(parts.unlabelled), settings, outside)


def _trained_on(model: Trained, storage: Path) -> tuple[Data, Split]:
    """The data that a model was trained on, and which of them were labelled, by the record of its stage."""
    key = model.keys[0].split()[0]
    record = next(storage.glob(f"stages/*/{key}/{RECORD}"), None)
    try:
        config = {} if record is None else Record.from_json(record.read_bytes()).config
    except ValueError as error:
        raise MissingStages(f"{record} cannot be used: {error}") from None
    if not {"data", "split"} <= config.keys():
        raise MissingStages(
            f"{storage} does not say which pictures {model.name} was trained on. Name a run, a sweep, ABLATION:ROW or "
            "a stage in the --storage folder"
        )
    data: Data = DataSettings.parse(config["data"])
    return data, Split(**config["split"])


def _choose(
    request: Request, predictor: Predictor, dataset: Dataset, parts: Parts, shown: Map, progress: Counting
) -> list[int]:
    """Places in `parts.unlabelled` of the pictures to label."""
    if request.by == "random":
        return drawn(len(parts.unlabelled), request.count, request.seed)
    with progress:
        judged = judge(predictor, dataset.subsets["train"], parts.unlabelled, len(dataset.classes), progress.one_more)
    return spread(judged.values[shown], judged.shares, request.count)


def _write(
    request: Request,
    model: Trained,
    data: Data,
    dataset: Dataset,
    positions: list[int],
    predictor: Predictor,
    shown: Map,
    progress: Counting,
) -> list[float]:
    """Write pictures, drafts, the table and the sheet; the mean of the map of each picture."""
    files = _image_files(data, dataset)
    images, palette = dataset.subsets["train"], dataset.palette
    rows, entries, values = [], [], []
    for place, position in enumerate(positions, 1):
        id = images.ids[position]
        picture, image = _picture(request.out / PICTURES, id, files.get(id), images.image(position), data)
        prediction = predictor.predict(image)
        mask = request.out / MASKS / f"{id}.png"
        draft = Image.fromarray(prediction.classes)
        draft.putpalette(palette.tobytes())
        with replacing(mask) as unfinished:
            draft.save(unfinished, format="PNG")
        value = float(prediction.maps[shown].mean() / 255)
        values.append(value)
        rows.append([str(place), id, picture.relative_to(request.out).as_posix(), f"{MASKS}/{id}.png", f"{value:.6f}"])
        title, drawn_image = f"{place}. {id}: {shown} {value:.3f}", Image.fromarray(rgb(image))
        entries.append(Entry(title, drawn_image, prediction.classes, prediction.maps[shown]))
        progress.one_more()
    with replacing(request.out / TABLE) as unfinished, unfinished.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(
            [["place", "id", "picture", "mask", shown], *(map(escape.cell, row) for row in rows)]
        )
    with replacing(request.out / SHEET) as unfinished:
        contact_sheet(entries, palette).save(unfinished, format="PNG")
    return values


def _image_files(data: Data, dataset: Dataset) -> Mapping[str, Path]:
    """The file of each train image by its id; none where the program makes the images."""
    assert isinstance(data, DataSource)
    if dataset.root is None:
        return {}
    content = data.content(dataset.root, Problems())
    assert isinstance(content, Listing), f"images of {data.name} for segmentation are files"
    return {item.id: item.image for item in content.subsets["train"]}


def _picture(
    folder: Path, id: str, file: Path | None, pixels: NDArray[np.uint8], data: Data
) -> tuple[Path, NDArray[np.uint8]]:
    """Put a picture into the folder, as the file that it is or, where there is none, as PNG; and its pixels."""
    picture = folder / f"{id}{'.png' if file is None else file.suffix}"
    if file is None:
        with replacing(picture) as unfinished:
            Image.fromarray(pixels).save(unfinished, format="PNG")
        return picture, pixels
    try:
        image = picture_of(file.read_bytes(), data.model_dump(mode="json"))
    except (OSError, Unfit) as error:
        raise DataError(f"{file} cannot be read any more ({error})") from None
    with replacing(picture) as unfinished:
        shutil.copyfile(file, unfinished)
    return picture, image


def _next_run(
    request: Request, dataset: Dataset, positions: list[int], labelled: int
) -> tuple[tuple[str, ...], Path | None]:
    """Overrides for the run that learns from the corrected masks; and the data set's folder, if they lie outside it."""
    if dataset.root is None:
        return (), None
    root, out = dataset.root.resolve(), request.out.resolve()
    below = out.relative_to(root).as_posix() if out.is_relative_to(root) else out.name
    settings = ["split.rule=list", f"split.list={below}/{LIST}", f"split.labelled={labelled}"]
    if not dataset.subsets["train"].known[positions].all():
        settings.append(f"data.corrected=[{below}/{MASKS}]")
    return tuple(settings), None if out.is_relative_to(root) else dataset.root
