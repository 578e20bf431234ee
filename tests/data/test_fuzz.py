"""Generated folders: either they are refused with the name of a file that is wrong, or training sees what is in them.

What is in them is known from the numbers that were written, and from readers of other authors. `DMT_FUZZ=20000` tries
so many folders, at random, in place of the few that are always the same.
"""

import io
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import imageio.v3 as imageio
import numpy as np
import tifffile
import yaml
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from dmt_ray import IGNORE
from dmt_ray.cli.main import main
from dmt_ray.data import open_dataset
from dmt_ray.data.sets.folder import FolderData
from tests.helpers import png_files

EXAMPLES = int(os.environ.get("DMT_FUZZ", "0"))
PROFILE = settings(
    max_examples=EXAMPLES or 25,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@dataclass
class Written:
    """One file that was written for a fuzzed folder."""

    content: bytes
    ending: str
    seen: np.ndarray | None  # what another reader sees: RGB, or the numbers of a mask; None: it must be refused


def as_rgb(pixels: np.ndarray) -> np.ndarray:
    return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels[..., :3]


def tiff(pixels: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, photometric="rgb" if pixels.ndim == 3 else "minisblack", **options)
    return file.getvalue()


def by_imageio(ending: str, seen: bool = True, **options) -> Callable[..., Written]:
    def write(random: np.random.Generator, height: int, width: int) -> Written:
        content = imageio.imwrite("<bytes>", random.integers(0, 256, (height, width, 3), np.uint8), extension=ending)
        return Written(content, ending, imageio.imread(content, extension=ending))

    return write


def png(depth: int, colour: int) -> Callable[..., Written]:
    def write(random: np.random.Generator, height: int, width: int) -> Written:
        channels = png_files.CHANNELS[colour]
        numbers = random.integers(0, 2**depth, (height, width, channels) if channels > 1 else (height, width))
        palette = random.integers(0, 256, (2**depth, 3)) if colour == png_files.PALETTE else None
        content = png_files.encode(numbers, depth, colour, palette)
        assert (png_files.decode(content) == numbers).all()
        if depth == 16:
            return Written(content, ".png", None)
        if palette is not None:
            seen = palette[numbers]
        elif colour == png_files.GREY_ALPHA:
            seen = as_rgb(numbers[..., 0])
        else:
            seen = as_rgb(numbers * 255 // (2**depth - 1))
        return Written(content, ".png", seen)

    return write


def tiff_image(dtype: str, channels: int = 3, pages: int = 1, **options) -> Callable[..., Written]:
    def write(random: np.random.Generator, height: int, width: int) -> Written:
        shape = (height, width, channels) if channels > 1 else (height, width)
        pixels = random.integers(0, 256, shape).astype(dtype)
        if pages > 1:
            file = io.BytesIO()
            with tifffile.TiffWriter(file) as writer:
                for _ in range(pages):
                    writer.write(pixels, photometric="rgb" if channels > 1 else "minisblack")
            return Written(file.getvalue(), ".tif", None)
        content = tiff(pixels, **options)
        seen = as_rgb(tifffile.imread(io.BytesIO(content)))
        return Written(content, ".tif", seen if dtype == "uint8" and channels != 4 else None)

    return write


def damaged(kind: str) -> Callable[..., Written]:
    def write(random: np.random.Generator, height: int, width: int) -> Written:
        content = png(8, png_files.RGB)(random, height, width).content
        place = content.index(b"IDAT") + 4
        broken = {
            "empty": b"",
            "text": b"these are no pixels",
            "cut": content[: place + 8],
            "flipped": content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :],
            "without an end": content[:-12],
        }[kind]
        return Written(broken, ".png", None)

    return write


def unread(ending: str) -> Callable[..., Written]:
    return lambda random, height, width: Written(png(8, png_files.RGB)(random, height, width).content, ending, None)


GOOD = {
    **{f"grey PNG of {depth} bits": png(depth, png_files.GREY) for depth in (1, 2, 4, 8)},
    **{f"palette PNG of {depth} bits": png(depth, png_files.PALETTE) for depth in (1, 2, 4, 8)},
    "colour PNG": png(8, png_files.RGB),
    "grey PNG with alpha": png(8, png_files.GREY_ALPHA),
    "colour PNG with alpha": png(8, png_files.RGB_ALPHA),
    **{ending: by_imageio(ending) for ending in (".jpg", ".bmp", ".webp", ".png", ".tif")},
    "colour TIFF": tiff_image("uint8"),
    "grey TIFF": tiff_image("uint8", 1),
    "packed TIFF": tiff_image("uint8", compression="zlib"),
    "TIFF in planes": tiff_image("uint8", planarconfig="contig"),
}
BAD = {
    **{f"PNG of 16 bits, colour {colour}": png(16, colour) for colour in (0, 2, 4, 6)},
    "TIFF of 16 bits": tiff_image("uint16"),
    "grey TIFF of 16 bits": tiff_image("uint16", 1),
    "float TIFF": tiff_image("float32"),
    "TIFF of two pages": tiff_image("uint8", pages=2),
    "TIFF of four channels": tiff_image("uint8", 4, extrasamples=["unspecified"]),
    **{kind: damaged(kind) for kind in ("empty", "text", "cut", "flipped", "without an end")},
    **{ending: unread(ending) for ending in (".gif", ".jp2", ".npy", ".heic")},
}
MASKS = [(depth, png_files.GREY) for depth in (1, 2, 4, 8, 16)] + [(depth, png_files.PALETTE) for depth in (1, 2, 4, 8)]
BAD_MASKS = ("colour", "JPEG", "other size", "other value", "cut", "flipped", "missing", "two frames")

NAMES = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp"), exclude_characters="/\\"), min_size=1, max_size=12
).filter(lambda name: name == name.strip() and not name.startswith(".") and len(name.encode()) < 200)


def mask(random: np.random.Generator, numbers: np.ndarray, depth: int, colour: int) -> bytes:
    palette = random.integers(0, 256, (2**depth, 3)) if colour == png_files.PALETTE else None
    return png_files.encode(numbers, depth, colour, palette)


def bad_mask(kind: str, random: np.random.Generator, numbers: np.ndarray, unused: int) -> bytes | None:
    height, width = numbers.shape
    content = png_files.encode(numbers, 8)
    place = content.index(b"IDAT") + 4
    frames = [numbers.astype(np.uint8), ((numbers + 1) % 2).astype(np.uint8)]
    return {
        "colour": lambda: png_files.encode(np.repeat(numbers[..., None], 3, axis=2), 8, png_files.RGB),
        "JPEG": lambda: imageio.imwrite("<bytes>", numbers.astype(np.uint8), extension=".jpg"),
        "other size": lambda: png_files.encode(np.zeros((height, width + 1), np.uint8), 8),
        "other value": lambda: png_files.encode(np.full((height, width), unused), 8),
        "cut": lambda: content[: place + 4],
        "flipped": lambda: content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :],
        "missing": lambda: None,
        "two frames": lambda: imageio.imwrite("<bytes>", np.stack(frames), extension=".png", is_batch=True),
    }[kind]()


@dataclass
class Folder:
    """What was written, and what must come of it."""

    settings: dict
    images: dict[str, np.ndarray] = field(default_factory=dict)
    masks: dict[str, np.ndarray] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)  # names of files that must be refused


def write_folder(data: st.DataObject, root: Path) -> Folder:
    """A folder of images, masks and perhaps a list; several things may be wrong with it, most often nothing."""
    draw = data.draw
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    classes = draw(st.integers(2, 5))
    first = draw(st.sampled_from([0, 0, 1]))
    ignore = 0 if first else draw(st.sampled_from([255, classes, 200]))
    folder = Folder({"classes": [f"c{k}" for k in range(classes)], "ignore": ignore, "first": first})
    names = draw(st.lists(NAMES, min_size=5, max_size=9, unique_by=lambda name: name.split(".")[0]))
    wrong = draw(st.sampled_from(["nothing", "nothing", "image", "mask", "folder"]))
    at = draw(st.integers(0, len(names) - 1))
    for part in ("images", "masks"):
        (root / part).mkdir()
    for place, name in enumerate(names):
        height, width = draw(st.integers(2, 9)), draw(st.integers(2, 9))
        kinds = BAD if wrong == "image" and place == at else GOOD
        kind = draw(st.sampled_from(sorted(kinds)))
        event(kind)
        image = kinds[kind](random, height, width)
        (root / "images" / f"{name}{image.ending}").write_bytes(image.content)
        if image.seen is None:
            folder.faults.append(f"{name}{image.ending}")
        values = np.array([*range(first, first + classes), ignore])
        depth, colour = draw(st.sampled_from(MASKS))
        numbers = random.choice(values[values < 2**depth], (height, width))
        numbers[0, :2] = (first, first + 1)
        content: bytes | None
        if wrong == "mask" and place == at:
            bad = draw(st.sampled_from(BAD_MASKS))
            event(f"mask: {bad}")
            content = bad_mask(bad, random, numbers, next(v for v in range(256) if v not in values))
            folder.faults.append(f"{name}.png" if content is not None else f"{name}{image.ending}")
        else:
            assume(depth > 1 or first + 1 < 2)
            content = mask(random, numbers, depth, colour)
            assert (png_files.decode(content) == numbers).all()
        if content is not None:
            (root / "masks" / f"{name}.png").write_bytes(content)
        if image.seen is not None:
            folder.images[name] = image.seen
        folder.masks[name] = np.where(numbers == ignore, IGNORE, numbers - first)
    if wrong == "folder":
        part = draw(st.sampled_from(["images", "masks"]))
        (root / part / "more").mkdir()
        (root / part / "more/alone.png").write_bytes(png_files.encode(np.zeros((2, 2), int), 8))
        folder.faults.append(f"{part}/more/alone.png")
    write_list(draw, root, folder, names)
    return folder


def write_list(draw: Callable, root: Path, folder: Folder, names: list[str]) -> None:
    """Perhaps a list of test images: ids, names with endings, or pairs of paths."""
    kind = draw(st.sampled_from(["none", "ids", "endings", "pairs", "unknown"]))
    event(f"list: {kind}")
    if kind == "none" or any("  " in name for name in names):
        return
    listed = names[: draw(st.integers(1, 2))]
    files = {path.stem: path.name for path in (root / "images").iterdir()}
    lines = {
        "ids": listed,
        "endings": [files.get(name, name) for name in listed],
        "pairs": [f"images/{files[name]} masks/{name}.png" for name in listed],
        "unknown": [*listed, "nobody"],
    }[kind]
    unreadable = any(files[name].endswith((".gif", ".jp2", ".npy", ".heic")) for name in listed)
    assume(not unreadable or kind in ("ids", "unknown"))
    (root / "test.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    folder.settings["test_list"] = "test.txt"
    if kind == "unknown":
        folder.faults.append("nobody")


def checked(arguments: list[str]) -> tuple[int, str]:
    """Exit status of `dmt` with these arguments, and what it prints; anything but an exit status is a fault."""
    out, before = io.StringIO(), sys.argv
    sys.argv = ["dmt", *arguments]
    try:
        with redirect_stdout(out), redirect_stderr(out):
            return main(), out.getvalue()
    finally:
        sys.argv = before


@given(st.data())
@PROFILE
def test_a_folder_is_refused_by_the_name_of_a_file_or_read_as_it_is(data):
    with TemporaryDirectory() as temporary:
        root, storage = Path(temporary) / "data", Path(temporary) / "runs"
        root.mkdir()
        folder = write_folder(data, root)
        recipe = Path(temporary) / "own.yaml"
        recipe.write_text(yaml.safe_dump({"recipe": "folder", "data": folder.settings}), encoding="utf-8")
        status, text = checked(
            ["data", "check", "--recipe", str(recipe), "--data", str(root), "--storage", str(storage)]
        )
        if folder.faults:
            event("refused")
            assert status == 2, text
            assert any(name in text for name in folder.faults), (folder.faults, text)
            return
        assert status == 0, text
        event("read")
        dataset = open_dataset(FolderData(**folder.settings), root, storage / "data")
        ids = [id for images in dataset.subsets.values() for id in images.ids]
        assert sorted(ids) == sorted(folder.images)
        for images in dataset.subsets.values():
            for place, id in enumerate(images.ids):
                assert np.array_equal(images.image(place), folder.images[id]), id
                assert np.array_equal(images.mask(place), folder.masks[id]), id
