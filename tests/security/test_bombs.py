"""Small files that would take all memory or time: each is refused, and at once.

`LIMIT` is in seconds of this thread's computing time: a busy machine does not count.
"""

import json
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from safetensors.torch import save, save_file

from benchmarks.fuzz import stored, trained
from dmt_ray.config import Model
from dmt_ray.data import pickles
from dmt_ray.data.check import Problems
from dmt_ray.data.decode import digest
from dmt_ray.data.files import LOSSLESS_ENDINGS, read_list
from dmt_ray.data.groups import groups_of
from dmt_ray.data.pairing import Pattern
from dmt_ray.data.pictures import Reading, Unfit, read_image, read_mask
from dmt_ray.deploy import folder as model_folder
from dmt_ray.deploy.image_model import ImageModel
from dmt_ray.errors import LONGEST, ConfigError, ModelError, StoreError, UserError
from dmt_ray.models import weights
from dmt_ray.recipes import load
from dmt_ray.results import export
from tests.helpers import bombs, png_files

LIMIT = 5.0


@contextmanager
def quickly() -> Iterator[None]:
    begun = time.thread_time()
    yield
    assert time.thread_time() - begun < LIMIT


# ---- pictures ---------------------------------------------------------------------------------------------------


@pytest.mark.attack("decompression bomb", "sides of an image or a mask", "refused before any pixel is decoded")
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(bombs.png(65_535, 65_535), id="PNG"),
        pytest.param(bombs.png(2**31 - 1, 2**31 - 1), id="PNG of 4.6e18 pixels"),
        pytest.param(bombs.tiff(b"x", 1, 100_000, 100_000), id="TIFF"),
        pytest.param(bombs.tiff(b"x", 8, 2**32 - 1, 2**32 - 1, 16), id="deep TIFF"),
        pytest.param(b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + bytes(3) + b";", id="GIF"),
        pytest.param(b"BM" + struct.pack("<IIIIiiHH6I", 60, 0, 54, 40, 2**30, 2**30, 1, 24, *(0,) * 6), id="BMP"),
    ],
)
def test_a_picture_of_huge_sides_is_refused(content):
    for read in (read_image, read_mask, lambda content: read_image(content, Reading((0, 1)))):
        with quickly(), pytest.raises(Unfit):
            read(content)
    digest(content)


@pytest.mark.attack(
    "decompression bomb",
    "TIFF file of 4 x 4 pixels whose packed data would unpack to 200 MB",
    "unpacking ends with the last pixel, or the file is refused as damaged",
)
@pytest.mark.parametrize("bits", [8, 16])
def test_a_tiff_file_unpacks_no_more_than_its_pixels(bits):
    content = bombs.tiff(bombs.packed(), 8, bits=bits)
    for read in (read_mask, lambda content: read_image(content, Reading((0, 1)))):
        with quickly():
            try:
                read(content)
            except Unfit as unfit:
                assert "damaged" in unfit.args[0]  # noqa: PT017 - a reader may also stop at its last pixel


@pytest.mark.attack("decompression bomb", "JPEG, WebP and others inside a TIFF mask", "refused by its packing")
@pytest.mark.parametrize("packing", [6, 7, 34712, 34887, 50001, 50002, 65_000])
def test_a_tiff_mask_holds_no_picture_of_a_size_of_its_own(packing):
    with pytest.raises(Unfit, match="TIFF"):
        read_mask(bombs.tiff(b"\xff\xd8\xff" + bytes(100), packing))


@pytest.mark.attack("decompression bomb", "texts and profiles in a PNG file", "refused after a megabyte")
@pytest.mark.parametrize(
    "chunk",
    [(b"zTXt", b"x\0\0"), (b"iTXt", b"x\0\1\0\0\0"), (b"iCCP", b"x\0\0"), (b"zTXt", b"Raw profile type exif\0\0")],
)
def test_a_text_in_a_png_file_is_not_unpacked_without_end(chunk):
    name, head = chunk
    content = bombs.png(4, 4, png_files.chunk(name, head + bombs.packed()))
    for read in (read_image, read_mask):
        with quickly(), pytest.raises(Unfit, match="damaged"):
            read(content)
    with quickly():
        digest(content)


@pytest.mark.attack(
    "decompression bomb",
    "PNG file of 4 x 4 pixels whose packed data would unpack to 200 MB",
    "unpacking ends with the last pixel",
)
def test_a_png_file_unpacks_no_more_than_its_pixels():
    with quickly():
        assert read_mask(bombs.png(pixels=bombs.packed())).shape == (4, 4)


@pytest.mark.attack("endless file", "pages of a TIFF file that lead to each other", "read as one page")
def test_a_page_that_leads_to_itself_is_one_page():
    strip = bytes(16)
    content = bombs.tiff(strip, 1, next_page=8 + len(strip))
    with quickly():
        assert read_mask(content).shape == (4, 4)
        assert read_image(content).image.shape == (4, 4, 3)


# ---- settings ---------------------------------------------------------------------------------------------------


@pytest.mark.attack("billion laughs", "aliases in a recipe", "refused, with the file and the line")
@pytest.mark.parametrize("levels", [6, 10, 1000])
def test_aliases_that_stand_for_more_and_more_are_refused(tmp_path, levels):
    (tmp_path / "mine.yaml").write_text(f"recipe: shapes\n{bombs.laughs(levels)}\n", encoding="utf-8")
    with quickly(), pytest.raises(ConfigError, match=r"mine\.yaml.*more than 20000 values"):
        load(str(tmp_path / "mine.yaml"))


@pytest.mark.attack("billion laughs", "alias inside its own value", "refused, with the line")
def test_an_alias_in_its_own_value_is_refused():
    with pytest.raises(ConfigError, match=r"line 1: the alias \*a stands inside its own value"):
        load("shapes", ["percentiles=&a [1, *a]"])


@pytest.mark.attack("deep nesting", "recipe and --set", "refused, with the line")
@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 50_000, "- " * 50_000, "? " * 50_000, "[[[[1]]]]" * 2])
def test_deep_settings_are_refused(tmp_path, text):
    (tmp_path / "mine.yaml").write_text(f"recipe: shapes\npercentiles: {text}\n", encoding="utf-8")
    with quickly(), pytest.raises(ConfigError, match=r"mine\.yaml"):
        load(str(tmp_path / "mine.yaml"))
    with quickly(), pytest.raises(ConfigError):
        load("shapes", [f"percentiles={text}"])


@pytest.mark.attack("huge file", "recipe", "refused, with its length")
def test_a_huge_recipe_is_refused(tmp_path):
    (tmp_path / "mine.yaml").write_text("recipe: shapes\n" + "# comment\n" * 500_000, encoding="utf-8")
    with quickly(), pytest.raises(ConfigError, match="a text of 5000015 characters"):
        load(str(tmp_path / "mine.yaml"))


@pytest.mark.attack("huge number", "recipe and --set", "refused")
@pytest.mark.parametrize("text", ["1" * 5000, "-" + "9" * 5000, "1e999", "1" * 400 + ".0", "0." + "1" * 5000])
def test_a_huge_number_is_refused(text):
    with pytest.raises(ConfigError):
        load("shapes", [f"finetune.epochs={text}"])


@pytest.mark.attack("slow pattern", "wildcards in patterns of files and groups", "refused, with how many there can be")
def test_a_pattern_with_many_wildcards_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"data\.masks can hold 4 \*"):
        Pattern("{id}" + "*a" * 30, "data.masks", LOSSLESS_ENDINGS).regex()
    with pytest.raises(ConfigError, match=r"data\.groups can hold 4 \*"):
        groups_of("{group}" + "*a" * 30, ["a" * 60], tmp_path, Problems())


# ---- what other files hold ----------------------------------------------------------------------------------------

JSON = {
    name: reader
    for name, reader in (stored.READERS | trained.READERS).items()
    if reader.file.endswith((".json", ".jsonl"))
}


@pytest.mark.attack("deep nesting", "every JSON file that is read", "refused by its name, or counts as missing")
@pytest.mark.parametrize("deep", ["[" * 100_000, '{"a":' * 100_000, "[" * 500 + "]" * 500])
@pytest.mark.parametrize("name", JSON)
def test_a_deep_json_file_is_refused(tmp_path, name, deep):
    reader = JSON[name]
    with quickly():
        reader.attempt(deep.encode(), tmp_path)
        (seed, *_) = reader.seeds(tmp_path / "seeds") if (tmp_path / "seeds").mkdir() is None else ()
        reader.attempt(seed.rstrip()[:-1] + b', "more": ' + deep.encode() + b"}", tmp_path)


@pytest.mark.attack("huge line", "list of images", "refused, in a message that fits a screen")
def test_a_binary_file_as_a_list_gives_a_short_message(tmp_path):
    (tmp_path / "train.txt").write_bytes(b"/" + b"x" * 5_000_000)
    problems = Problems()
    with quickly():
        read_list(tmp_path / "train.txt", tmp_path, problems, set(), 1)
        assert len(str(problems.error("toy", tmp_path))) < 1000


@pytest.mark.attack("huge line", "every message to a user", "cut in the middle")
def test_no_message_is_longer_than_a_few_screens():
    assert len(str(UserError("x" * 10_000_000))) <= LONGEST


@pytest.mark.attack("huge line", "table of groups", "refused by its name")
def test_a_huge_field_of_a_table_is_refused(tmp_path):
    (tmp_path / "p.csv").write_text(f"image,patient\na,{'x' * 200_000}\n", encoding="utf-8")
    problems = Problems()
    assert groups_of("p.csv:patient", ["a"], tmp_path, problems) == {}
    assert "p.csv" in str(problems.error("toy", tmp_path))


def header(tensors: dict[str, object], data: bytes = b"") -> bytes:
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text)) + text + data


F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.attack("hostile header", "weights (safetensors)", "refused, with the file")
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(struct.pack("<Q", 2**63) + b"{}", id="a header of 2^63 bytes"),
        pytest.param(struct.pack("<Q", 200_000_000) + b"{}", id="a header of 200 MB that is not there"),
        pytest.param(b"", id="empty"),
        pytest.param(header({"a": F32 | {"data_offsets": [0, 2**60]}}), id="data that are not there"),
        pytest.param(header({"a": F32, "b": F32}, bytes(8)), id="overlapping tensors"),
        pytest.param(header({"a": F32 | {"data_offsets": [8, 0]}}, bytes(8)), id="ends before it begins"),
        pytest.param(header({"a": F32 | {"shape": [2**62, 4]}}, bytes(8)), id="more elements than an integer holds"),
        pytest.param(header({"a": F32 | {"shape": [-2]}}, bytes(8)), id="a negative side"),
        pytest.param(header({"a": F32 | {"dtype": "PYOBJ"}}, bytes(8)), id="objects"),
        pytest.param(header({"a": F32}, bytes(16)), id="bytes that belong to nothing"),
    ],
)
def test_a_hostile_weights_file_is_refused(tmp_path, content):
    file = tmp_path / "w.safetensors"
    file.write_bytes(content)
    for read in (weights.read, weights.shapes):
        with quickly(), pytest.raises(ModelError, match=r"w\.safetensors"):
            read(file)


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    save_file(trained.state_of_tiny(), tmp_path / "weights")
    model_folder.write(tmp_path / "model", tmp_path / "weights", trained.INFO)
    return tmp_path / "model"


@pytest.mark.attack("huge network", "settings of an exported model", "refused before it is built")
def test_a_model_folder_builds_no_network_that_its_weights_do_not_fill(exported):
    info = json.loads((exported / model_folder.INFO).read_text(encoding="utf-8"))
    info["model"]["arguments"]["base"] = 100_000  # of which one layer alone has 360 GB
    (exported / model_folder.INFO).write_text(json.dumps(info), encoding="utf-8")
    with quickly(), pytest.raises(ModelError, match="does not hold the weights of UNet"):
        model_folder.read(exported)


@pytest.mark.attack("NaN", "weights of an exported model", "no prediction is made of them")
def test_weights_that_are_not_finite_predict_nothing(exported):
    tensors, nan = trained.state_of_tiny().items(), float("nan")
    state = {name: value * nan if value.is_floating_point() else value for name, value in tensors}
    (exported / model_folder.WEIGHTS).write_bytes(save(state))
    model = ImageModel([model_folder.read(exported)[0]], trained.INFO, device="cpu")
    with pytest.raises(ModelError, match="finite"):
        model(Image.new("RGB", (9, 9)))


@pytest.mark.attack("decompression bomb", "table of records (Parquet)", "refused by the number of its values")
def test_a_table_of_many_values_is_refused(tmp_path, monkeypatch):
    file = tmp_path / "records.parquet"
    pd.DataFrame({"experiment": np.zeros(1_000_000, np.int8)}).to_parquet(file)
    assert file.stat().st_size < 10_000
    monkeypatch.setattr(export, "MOST_VALUES", 100_000)
    with pytest.raises(StoreError, match=r"records\.parquet .* 1000000 rows of 1 columns"):
        export.read(file)


@pytest.mark.attack("slow file", "marks in a pickle of CIFAR-10", "read in linear time")
def test_many_marks_in_a_pickle_take_no_time():
    content = b"\x80\x02](" + b"(K\x01t" * 100_000 + b"e."
    with quickly():
        assert pickles.read(content) == [(1,)] * 100_000


@pytest.mark.attack("huge number", "lengths in a pickle of CIFAR-10", "refused")
@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x04\x8e" + b"\xff" * 8 + b"x.",
        b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"x.",
        b"T\xff\xff\xff\x7fx.",
        b"",
    ],
)
def test_a_length_that_a_pickle_does_not_have_is_refused(content):
    with quickly(), pytest.raises(ValueError, match=r"pickle|expected|negative|maxsize"):
        pickles.read(content)


@pytest.mark.attack("huge network", "number of classes and arguments in --set", "refused with the setting")
def test_arguments_of_a_network_that_no_memory_holds_are_refused(tmp_path):
    from dmt_ray import models

    with pytest.raises(ModelError, match="cannot be built"):
        models.build(Model(architecture="UNet", encoder="none", arguments={"base": 10**9}), 2)
