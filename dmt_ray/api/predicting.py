"""`dmt predict`: what trained models make of a folder of pictures.

The folder that is written holds settings.json, predictions.csv (a row a picture, written after its files, so that a
picture with a row is done) and a folder for each kind of file: class/, overlay/, confidence/, entropy/, disagreement/.
"""

import csv
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from dmt_ray import IGNORE
from dmt_ray.api.classifying import captioned
from dmt_ray.api.trained import Trained
from dmt_ray.data.decode import digest, picture_of, true_classes
from dmt_ray.data.files import IMAGE_ENDINGS, is_printable
from dmt_ray.data.pairing import is_mask
from dmt_ray.data.pictures import Unfit, rgb, size_of
from dmt_ray.engine.classifier import Classifier
from dmt_ray.engine.metrics import Confusion, iou, mean_iou, pixel_accuracy
from dmt_ray.engine.tiles import MAPS, Map, Prediction, Predictor, Tiling
from dmt_ray.engine.workspace import device_of
from dmt_ray.errors import ConfigError, DataError, ModelError
from dmt_ray.execution.progress import Counting
from dmt_ray.execution.runner import device_check
from dmt_ray.files import read_json, replacing, write_text
from dmt_ray.plan import escape

Kind = Literal["class", "overlay", "confidence", "entropy", "disagreement"]
KINDS: tuple[Kind, ...] = ("class", "overlay", *MAPS)
SETTINGS, TABLE, SCORES = "settings.json", "predictions.csv", "scores.json"
PREDICTING = 0.8  # of the work on a picture, on a CPU; the rest is writing its files
COLUMNS = ("picture", "digest", "height", "width", "confidence")
ROWS = 256  # of a picture that are gone over at once: a copy of all as 64-bit numbers would take gigabytes


@dataclass(frozen=True)
class Job:
    """A folder to predict, and how.

    Attributes:
        pictures: Folder of the pictures; folders in it are read, too.
        out: Folder to write.
        save: Which files to write for each picture.
        tiling: How pictures are cut.
        device: Where the networks run, as `engine.workspace.device_of` reads it.
        masks: Folder of true masks of the same names, PNG files of class numbers and 255; None: nothing is scored.
    """

    pictures: Path
    out: Path
    save: tuple[Kind, ...]
    tiling: Tiling
    device: str = "auto"
    masks: Path | None = None

    def __post_init__(self) -> None:
        """Raise a ConfigError for what contradicts itself."""
        if self.pictures.is_file():
            raise ConfigError(f"{self.pictures} is a file. Name the folder that holds the pictures")
        if not self.pictures.is_dir():
            raise ConfigError(f"there is no folder {self.pictures}. Name the folder that holds the pictures")
        if self.out.resolve().is_relative_to(self.pictures.resolve()):
            raise ConfigError(f"{self.out} lies in the folder of the pictures; choose an --out outside {self.pictures}")
        if self.masks is not None and not self.masks.is_dir():
            raise ConfigError(f"there is no folder {self.masks}. Name the folder of the true masks as --masks")
        if self.masks is not None and "class" not in self.save:
            raise ConfigError("--masks compares with the class numbers; add class to --save")


@dataclass(frozen=True)
class Summary:
    """What became of the pictures.

    Attributes:
        done: How many are predicted, those of earlier starts included.
        earlier: How many of them were predicted before.
        broken: Name of each file that could not be used, and why.
        scores: Over all pictures that have a mask: images, miou, pixel_accuracy, iou; None without masks.
    """

    done: int
    earlier: int
    broken: dict[str, str]
    scores: dict[str, Any] | None = None


def predict_folder(model: Trained, job: Job, console: Console) -> Summary:
    """Predict all pictures of a folder; what cannot be read is skipped and reported.

    Pictures that an earlier start with the same settings has finished, and that have not changed, are not computed
    again.

    Raises:
        ConfigError: If the settings do not fit the model, there is no such device, or the folder to write holds
            something else.
        DataError: If there is no picture, two would be written to the same files, or (after all are predicted) no mask
            can be compared with its picture.
    """
    device_check(job.device)
    settings = model.info.data.settings
    pictures = {name: path for name, path in _pictures(job.pictures).items() if not is_mask(name, settings)}
    if not pictures:
        raise DataError(f"{job.pictures} holds only masks, by their names; name the folder that holds the pictures")
    if job.masks is not None and not any(_mask_of(job.masks, name).is_file() for name in pictures):
        raise DataError(
            f"no file in {job.masks} has the name of a picture; the mask of {next(iter(pictures))} would be "
            f"{_mask_of(job.masks, next(iter(pictures)))}"
        )
    progress = Counting(console, "picture", _work(model, pictures.values()))
    predictor = _predictor(model, job, lambda share: progress.part(PREDICTING * share))
    _prepare(model, job)
    table = _Table(job.out / TABLE, model.info.classes)
    rows, broken, earlier = dict[str, list[str]](), dict[str, str](), 0
    with progress:
        for name, path in pictures.items():
            try:
                content = path.read_bytes()
                row = table.rows.get(name)
                files = {kind: _file(job.out, kind, name) for kind in job.save}
                if row is not None and row[1] == digest(content) and all(file.is_file() for file in files.values()):
                    earlier += 1
                    progress.skip()
                else:
                    row = _predict_one(name, content, files, model, predictor, progress)
                    table.append(row)
                    progress.one_more()
                rows[name] = row
            except Unfit as unfit:
                broken[name] = f"{unfit.args[0]} ({unfit.args[1]})"
                progress.skip()
            except ModelError as error:
                broken[name] = str(error)
                progress.skip()
            except OSError as error:
                if path.exists() and error.filename != str(path):  # not the picture's: a full disk, for example
                    raise
                broken[name] = f"cannot be read ({error.strerror})"
                progress.skip()
    table.rewrite(rows.values())
    scores = None if job.masks is None else _score(rows, model, job, broken)
    return Summary(len(rows), earlier, broken, scores)


def _work(model: Trained, pictures: Iterable[Path]) -> list[float]:
    """Pixels that the networks see of each picture; where its file does not say its size, as many as of the others."""
    sizes = [model.info.size or size_of(path) for path in pictures]
    known = [size[0] * size[1] for size in sizes if size is not None]
    usual = sum(known) / len(known) if known else 1.0
    return [usual if size is None else float(size[0] * size[1]) for size in sizes]


def _predictor(model: Trained, job: Job, progress: Callable[[float], None]) -> Predictor | Classifier:
    """What predicts a picture; how far it is with it, it says where it goes through it in tiles."""
    maps: list[Map] = [name for name in MAPS if name in job.save]
    device = device_of(job.device)
    how: dict[str, Any] = {"normalisation": model.info.normalisation, "size": model.info.size}
    if model.info.task == "segmentation":
        return Predictor(model.networks, job.tiling, device, maps=maps, progress=progress, **how)
    if maps or job.masks is not None or (model.info.crop is not None and job.tiling != Tiling(model.info.crop)):
        raise ConfigError(
            f"{model.name} gives a picture one class: leave out --masks, --tile, --overlap, --flip, --scales, and of "
            "--save all but class and overlay"
        )
    return Classifier(model.networks, device, **how)


def _predict_one(
    name: str,
    content: bytes,
    files: dict[Kind, Path],
    model: Trained,
    predictor: Predictor | Classifier,
    progress: Counting,
) -> list[str]:
    """Write the files of a picture; its row of the table."""
    image = picture_of(content, model.info.data.settings)
    prediction = predictor.predict(image)
    if model.info.task == "classification":
        prediction = replace(prediction, classes=np.full(image.shape[:2], prediction.classes[0, 0]))
    for count, (kind, file) in enumerate(files.items(), 1):
        palette = np.array(model.info.palette, np.uint8)
        if kind == "overlay" and model.info.task == "classification":
            number = int(prediction.classes[0, 0])
            made = captioned(
                Image.fromarray(rgb(image)), model.info.classes[number], prediction.confidence, palette[number]
            )
        else:
            made = _drawn(kind, prediction, image, palette)
        with replacing(file) as draft:
            made.save(draft, format="PNG")
        progress.part(PREDICTING + (1 - PREDICTING) * count / len(files))
    counts = [np.bincount(part.ravel(), minlength=len(model.info.classes)) for part in _parts(prediction.classes)]
    shares = np.sum(counts, axis=0) / prediction.classes.size
    numbers = [f"{value:.6f}" for value in (prediction.confidence, *shares)]
    return [name, digest(content), str(image.shape[0]), str(image.shape[1]), *numbers]


def _drawn(kind: Kind, prediction: Prediction, image: NDArray[np.uint8], palette: NDArray[np.uint8]) -> Image.Image:
    if kind == "class":
        made = Image.fromarray(prediction.classes)
        made.putpalette(palette.tobytes())
        return made
    if kind == "overlay":
        height, width = prediction.classes.shape
        mixed = Image.new("RGB", (width, height))
        for part, (pixels, classes) in enumerate(zip(_parts(image), _parts(prediction.classes), strict=True)):
            colours = (rgb(pixels).astype(np.uint16) + palette[classes]) // 2
            mixed.paste(Image.fromarray(colours.astype(np.uint8)), (0, part * ROWS))
        return mixed
    return Image.fromarray(prediction.maps[kind])


def _parts(pixels: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Views of a picture's rows, from the top down."""
    return [pixels[top : top + ROWS] for top in range(0, len(pixels), ROWS)]


def _pictures(folder: Path) -> dict[str, Path]:
    """The pictures of a folder and of the folders in it, by their paths below it, sorted; hidden ones are left out."""
    found: dict[str, Path] = {}
    files: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder)
        if path.suffix.lower() not in IMAGE_ENDINGS or not path.is_file() or any(p[0] == "." for p in parts.parts):
            continue
        name = parts.as_posix()
        if not is_printable(name):
            raise DataError(f"the name of {path} holds control characters or is not UTF-8; rename the file")
        other = files.setdefault(parts.with_suffix("").as_posix(), name)
        if other != name:
            raise DataError(f"{other} and {name} in {folder} would be written to the same files; rename one of them")
        found[name] = path
    if not found:
        raise DataError(f"{folder} holds no pictures; expected files that end in {', '.join(sorted(IMAGE_ENDINGS))}")
    return found


def _mask_of(masks: Path, name: str) -> Path:
    return masks / Path(name).with_suffix(".png")


def _file(out: Path, kind: Kind, name: str) -> Path:
    return out / kind / Path(name).with_suffix(".png")


def _prepare(model: Trained, job: Job) -> None:
    """Make the folder to write, or check that it was made with the same settings."""
    tiling = job.tiling
    settings = {
        "model": list(model.keys),
        "classes": list(model.info.classes),
        "save": [kind for kind in KINDS if kind in job.save],
        "tile": list(tiling.tile),
        "overlap": tiling.overlap,
        "flip": tiling.flip,
        "scales": list(tiling.scales),
        "size": None if model.info.size is None else list(model.info.size),
    }
    path = job.out / SETTINGS
    if job.out.exists() and (not job.out.is_dir() or (any(job.out.iterdir()) and not path.is_file())):
        raise ConfigError(f"{job.out} exists and holds no predictions; choose another folder as --out")
    if path.is_file():
        try:
            earlier = read_json(path)
            different = [name for name in settings if earlier.get(name) != settings[name]]
        except (ValueError, AttributeError):
            raise ConfigError(f"{path} cannot be read; delete {job.out}, or choose another --out") from None
        if not different:
            return
        if _has_rows(job.out / TABLE):  # else an earlier command was stopped before its first picture was done
            first = different[0]
            raise ConfigError(
                f"{job.out} holds predictions made with other settings: {first} was {earlier.get(first)}, and "
                f"now is {settings[first]}. Choose another folder as --out, or delete it"
            )
    job.out.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(settings, indent=1) + "\n")


def _has_rows(table: Path) -> bool:
    """Whether a table has more than its header."""
    return table.is_file() and table.read_bytes().count(b"\n") > 1


class _Table:
    """predictions.csv: rows are appended as pictures are done, and brought into order at the end."""

    def __init__(self, path: Path, classes: Sequence[str]) -> None:
        self._path, self._header = path, [*COLUMNS, *(f"share/{name}" for name in classes)]
        self.rows: dict[str, list[str]] = {}
        if path.is_file():
            with path.open(encoding="utf-8", newline="") as file:
                try:
                    lines = list(csv.reader(file))
                except (csv.Error, UnicodeDecodeError) as error:
                    raise ConfigError(f"{path} cannot be read ({error}); delete it, or choose another --out") from None
            # A process that was killed may have left part of a row.
            whole = (line for line in lines[1:] if len(line) == len(self._header))
            self.rows = {name: [name, *values] for first, *values in whole for name in [escape.from_cell(first)]}
        self.rewrite(self.rows.values())

    def append(self, row: Sequence[str]) -> None:
        """Add a row; it is in the file when this returns."""
        with self._path.open("a", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow(map(escape.cell, row))

    def rewrite(self, rows: Iterable[Sequence[str]]) -> None:
        """Write the header and these rows."""
        with replacing(self._path) as draft, draft.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(map(escape.cell, row) for row in (self._header, *rows))


def _score(rows: dict[str, list[str]], model: Trained, job: Job, broken: dict[str, str]) -> dict[str, Any]:
    """Compare what was written with true masks; scores.json in the folder."""
    assert job.masks is not None
    confusion, images = Confusion(len(model.info.classes)), 0
    strange_masks: dict[str, str] = {}
    for name in rows:
        path = _mask_of(job.masks, name)
        if not path.is_file():
            continue
        classes = np.array(Image.open(_file(job.out, "class", name)))
        try:
            truth = true_classes(path.read_bytes(), model.info.data.settings)
        except Unfit as unfit:
            strange_masks[str(path)] = f"{unfit.args[0]} ({unfit.args[1]})"
            continue
        strange = np.setdiff1d(truth, [*range(len(model.info.classes)), IGNORE])
        if strange.size or truth.shape != classes.shape:
            sizes = f"it is {truth.shape[0]} x {truth.shape[1]}, its picture {classes.shape[0]} x {classes.shape[1]}"
            what = f"it holds {strange[0]}" if strange.size else sizes
            strange_masks[str(path)] = (
                f"a mask holds class numbers 0..{len(model.info.classes) - 1} or {IGNORE} at the picture's size; {what}"
            )
            continue
        for predicted, true in zip(_parts(classes), _parts(truth.astype(np.uint8)), strict=True):
            confusion.update(torch.from_numpy(predicted), torch.from_numpy(true))
        images += 1
    matrix = confusion.matrix()
    if not matrix.any():
        first = next((f"{name}: {reason}" for name, reason in strange_masks.items()), "label some pixels")
        more = f" (and {len(strange_masks) - 1:,} more)" if len(strange_masks) > 1 else ""
        raise DataError(
            f"no mask of a picture in {job.masks} could be used: {first}{more}. The predictions are in {job.out}"
        )
    broken |= strange_masks
    each = {name: None if value != value else value for name, value in zip(model.info.classes, iou(matrix).tolist())}
    scores = {"images": images, "miou": mean_iou(matrix), "pixel_accuracy": pixel_accuracy(matrix), "iou": each}
    write_text(job.out / SCORES, json.dumps(scores, indent=1) + "\n")
    return scores
