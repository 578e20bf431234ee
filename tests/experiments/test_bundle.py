"""A bundle holds what an auditor needs and nothing that names a machine; what is no bundle is refused."""

import io
import json
import lzma
import platform
import re
import shutil
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from dmt_ray.config import Config, override
from dmt_ray.data import Dataset, open_dataset
from dmt_ray.errors import ConfigError, MissingStages, StoreError
from dmt_ray.experiments import bundle, bundling, experiment_file
from dmt_ray.experiments.audit import Audit
from dmt_ray.experiments.audited import Audited
from dmt_ray.results.auditing import in_words
from dmt_ray.store import Store


@pytest.fixture(scope="module")
def datasets(made: Path, pictures: Path) -> dict[str, Dataset]:
    data = experiment_file.read(made).ablation.cells[0].config.data
    return {data.fingerprint: open_dataset(data, pictures, made.parents[1] / "data")}


@pytest.fixture
def archive(made: Path, datasets: Mapping[str, Dataset], tmp_path: Path) -> Path:
    path = tmp_path / "small.tar.xz"
    assert bundling.write(path, made, datasets, "row,value\nCBST,0.5\n") == 5
    return path


def content(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as opened:
        return {entry.name: opened.extractfile(entry).read() for entry in opened}  # type: ignore[union-attr]


def pack(path: Path, files: Mapping[str, bytes], *further: tarfile.TarInfo) -> Path:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as opened:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            opened.addfile(entry, io.BytesIO(data))
        for entry in further:
            opened.addfile(entry)
    path.write_bytes(lzma.compress(buffer.getvalue()))
    return path


def test_the_same_store_gives_the_same_bytes(
    archive: Path, made: Path, datasets: Mapping[str, Dataset], tmp_path: Path
) -> None:
    shutil.copytree(made.parents[1], tmp_path / "moved")
    again = tmp_path / "again.tar.xz"
    bundling.write(again, tmp_path / "moved" / "ablations" / made.name, datasets, "row,value\nCBST,0.5\n")
    assert again.read_bytes() == archive.read_bytes()


def test_it_holds_what_an_auditor_needs_and_no_pictures_weights_or_names_of_a_machine(archive: Path) -> None:
    files = content(archive)
    folders = {name.partition("/")[0] for name in files}
    assert folders == {
        *("README.md", "bundle.json", "plans.json", "stages.txt", "table.csv", "digests.txt"),
        *("records", "results", "splits"),
    }
    assert sum(name.startswith("records/") for name in files) == 5
    assert {Path(name).name for name in files if name.startswith("results/")} == {
        *("metrics.json", "summary.json", "history.csv"),
    }
    text = b"\n".join(files.values()).decode()
    assert not re.search(r"/(home|tmp|root|work|data|Users)/", text)
    assert not re.search(rf"\b{re.escape(platform.node())}\b", text)
    assert "dmt ablate small --recipe mine.yaml --set weight.gamma1=5" in files["README.md"].decode()
    (split,) = (json.loads(data) for name, data in files.items() if name.startswith("splits/"))
    assert (split["split"], len(split["labelled"]), len(split["selection"])) == ("random-8-0", 8, 6)
    assert split["selection"][0] == "val/val_0000"


def test_who_has_the_data_and_not_the_store_computes_it_from_nothing(
    archive: Path, pictures: Path, tmp_path: Path
) -> None:
    table = Audited.of_bundle(archive, tmp_path / "work", pictures)
    one = Audit(table, seed=0, hours=1)
    one.perform()
    assert in_words(one.content, table.digests()) == "5 of 5 stages recomputed, 5 agree: none differs"
    assert {each.exact for each in one.content.stages.values()} == {True}
    assert (tmp_path / "work" / "audit.json").is_file()


def test_a_digest_that_was_changed_is_found_from_nothing(archive: Path, pictures: Path, tmp_path: Path) -> None:
    files = content(archive)
    (name,) = (name for name in files if name.startswith("records/pretrain"))
    text = files[name].decode()
    record = json.loads(text)
    del record["checksum"]  # as earlier versions wrote records
    record["files"]["model.safetensors"] = "0" * 32
    changed = pack(tmp_path / "changed.tar.xz", files | {name: json.dumps(record).encode()})
    table = Audited.of_bundle(changed, tmp_path / "work", pictures)
    one = Audit(table, seed=0, hours=1)
    one.perform()
    pretrain = next(each for stage, each in one.content.stages.items() if stage.startswith("pretrain"))
    assert pretrain.what == "model.safetensors: other bytes (what was recorded is not here to compare)"
    assert not pretrain.agrees


# ---- what is no bundle -----------------------------------------------------------------------------------------------


def link(name: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return entry


@pytest.mark.parametrize("name", ["../escape", "/etc/escape", "records/../../escape", "a/b/c/d", ".hidden", "a\\b"])
def test_a_name_that_leads_out_of_the_archive_is_refused(archive: Path, tmp_path: Path, name: str) -> None:
    path = pack(tmp_path / "bad.tar.xz", content(archive) | {name: b"x"})
    with pytest.raises(StoreError, match="which no bundle does"):
        bundle.read(path)


def test_links_and_names_that_are_there_twice_are_refused(archive: Path, tmp_path: Path) -> None:
    for entry in (link("link"), tarfile.TarInfo("table.csv")):
        with pytest.raises(StoreError, match="which no bundle does"):
            bundle.read(pack(tmp_path / "bad.tar.xz", content(archive), entry))


def test_an_archive_that_swells_is_refused(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    swollen = pack(tmp_path / "bad.tar.xz", content(archive) | {"zeros": bytes(2**20)})
    monkeypatch.setattr(bundle, "_LARGEST", 2**20)
    assert swollen.stat().st_size < 2**20
    with pytest.raises(StoreError, match="it holds more than 1,048,576 bytes"):
        bundle.read(swollen)


def test_a_header_that_swells_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The further headers of an entry are read as a whole, before its name and its size are known."""
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 2**21
    path = tmp_path / "bad.tar.xz"
    path.write_bytes(lzma.compress(header.tobuf() + bytes(2**21)))
    monkeypatch.setattr(bundle, "_LARGEST", 2**20)
    with pytest.raises(StoreError, match="it holds more than 1,048,576 bytes"):
        bundle.read(path)


def test_an_archive_that_needs_gigabytes_to_be_unpacked_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.tar.xz"
    path.write_bytes(lzma.compress(b"x", filters=[{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 2**28}]))
    with pytest.raises(StoreError, match="is no bundle, or is damaged: Memory usage limit"):
        bundle.read(path)


def edited(change: Callable[[dict[str, object]], object]) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    def edit(files: dict[str, bytes]) -> dict[str, bytes]:
        about = json.loads(files["bundle.json"])
        change(about)
        return files | {"bundle.json": json.dumps(about).encode()}

    return edit


def another_seed(files: dict[str, bytes]) -> dict[str, bytes]:
    members = json.loads(files["plans.json"])
    members[1]["seed"] = 7
    return files | {"plans.json": json.dumps(members).encode()}


def other_settings(files: dict[str, bytes]) -> dict[str, bytes]:
    members = json.loads(files["plans.json"])
    members[1]["config"]["pretrain"]["epochs"] = -3
    return files | {"plans.json": json.dumps(members).encode()}


def altered(begin: str) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    def edit(files: dict[str, bytes]) -> dict[str, bytes]:
        name = next(name for name in files if name.startswith(begin))
        return files | {name: files[name].replace(b"0", b"1", 1)}

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        pytest.param(edited(lambda about: about.update(format=2)), "has format 2, but this version", id="format"),
        pytest.param(edited(lambda about: about.pop("format")), "is no bundle, or is damaged", id="no format"),
        pytest.param(edited(lambda about: about.update(versions=[])), "is no bundle, or is damaged", id="versions"),
        pytest.param(lambda files: files | {"plans.json": b"[" * 100_000}, "is nested more than", id="deep"),
        pytest.param(other_settings, "is no bundle, or is damaged: ", id="settings"),
        pytest.param(another_seed, r"makes other stages of the settings in .*Use dmt-ray 0\.", id="another version"),
        pytest.param(altered("results/evaluate"), r"is not what the stage.s record says", id="scores"),
        pytest.param(altered("records/pretrain"), "is no bundle, or is damaged: record.json is altered", id="a record"),
        pytest.param(lambda _: {"x": b""}, "is no bundle, or is damaged: 'bundle.json' is missing", id="others"),
    ],
)  # fmt: skip
def test_what_was_damaged_says_what_it_is(
    archive: Path, tmp_path: Path, edit: Callable[[dict[str, bytes]], dict[str, bytes]], message: str
) -> None:
    with pytest.raises(StoreError, match=message):
        bundle.read(pack(tmp_path / "bad.tar.xz", edit(content(archive))))


@pytest.mark.parametrize("end", [10, 0.5, -1])
def test_an_archive_that_was_cut_is_refused(archive: Path, tmp_path: Path, end: float) -> None:
    whole = archive.read_bytes()
    (tmp_path / "cut.tar.xz").write_bytes(whole[: int(end * len(whole)) if end == 0.5 else int(end)])
    with pytest.raises(StoreError, match="is no bundle, or is damaged: it ends too early"):
        bundle.read(tmp_path / "cut.tar.xz")


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.tar.xz").write_text("nothing of the kind")
    with pytest.raises(StoreError, match="is no bundle, or is damaged"):
        bundle.read(tmp_path / "text.tar.xz")
    with pytest.raises(StoreError, match="there is no file"):
        bundle.read(tmp_path / "none.tar.xz")
    (tmp_path / "folder.tar.xz").mkdir()
    with pytest.raises(StoreError, match=r"folder\.tar\.xz cannot be read: Is a directory"):
        bundle.read(tmp_path / "folder.tar.xz")


def test_only_places_of_files_can_be_set(archive: Path) -> None:
    with pytest.raises(ConfigError, match=r"--set says here where files lie: model\.weights_file"):
        bundle.read(archive, ["weight.gamma1=3"])
    assert len(bundle.read(archive, ["external.masks=/else/where"]).records) == 5  # which these settings do not name


def test_files_outside_the_data_set_lose_their_folders_and_no_key_moves(tiny: Config) -> None:
    config = override(tiny, {"external.masks": "/home/me/drafts", "model.weights_file": "/home/me/first.safetensors"})
    bare = bundling.without_paths(config.evolve(recipe="/home/me/mine"))
    assert (bare.external.masks, bare.model.weights_file, bare.recipe) == ("drafts", "first.safetensors", "mine")
    assert bare.model.identity() == config.model.identity()
    assert bare.external.identity() == config.external.identity()


def test_nothing_is_bundled_of_a_table_of_which_nothing_is_computed(
    made: Path, datasets: Mapping[str, Dataset], tmp_path: Path
) -> None:
    folder = Store(tmp_path / "runs").folder / "ablations" / made.name
    experiment_file.write(folder, experiment_file.read(made))
    with pytest.raises(MissingStages, match=r"nothing of small-\S+ is computed yet"):
        bundling.write(tmp_path / "none.tar.xz", folder, datasets, "")
