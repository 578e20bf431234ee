"""Nothing is downloaded unless it is asked for; then what comes is checked and unpacked."""

import functools
import hashlib
import io
import sys
import tarfile
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from torchvision.datasets import CIFAR10, OxfordIIITPet

from dmt_ray.cli.main import main
from dmt_ray.config import DATA_SETS, Data, DataSettings
from dmt_ray.data.download import download
from dmt_ray.data.sets.camvid import CamvidData
from dmt_ray.data.sets.cifar10 import CifarData
from dmt_ray.data.sets.digits import DigitsData
from dmt_ray.data.sets.pets import PetsData
from dmt_ray.data.source import DataSource
from dmt_ray.errors import DataError


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    """A folder, and the address at which a server in a thread offers its files."""
    folder = tmp_path / "served"
    folder.mkdir()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(timeout=5)


def archive(path: Path, name: str, content: bytes) -> str:
    """A .tar.gz of one file; its md5."""
    with tarfile.open(path, "w:gz") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def cifar10(served, monkeypatch) -> Path:
    """Lets CIFAR-10's address be that of an archive of one file."""
    folder, address = served
    md5 = archive(folder / "cifar-10-python.tar.gz", "cifar-10-batches-py/test_batch", b"content")
    monkeypatch.setattr(CIFAR10, "url", f"{address}/cifar-10-python.tar.gz")
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5)
    return folder / "cifar-10-python.tar.gz"


def test_the_command_unpacks_cifar10_and_says_what_to_do_next(cifar10, tmp_path, monkeypatch, capsys):
    place = tmp_path / "data/cifar10"
    command = ["dmt", "data", "download", "--recipe", "cifar10-4000", "--data", str(place)]
    monkeypatch.setattr(sys, "argv", command)
    assert not main()
    assert (place / "cifar-10-batches-py/test_batch").read_bytes() == b"content"
    assert f"dmt data check --recipe cifar10-4000 --data {place}" in capsys.readouterr().out


def test_what_is_there_is_not_downloaded_again(cifar10, tmp_path):
    download(CifarData(), tmp_path / "data")
    cifar10.unlink()
    download(CifarData(), tmp_path / "data")


def test_pets_are_two_archives_in_the_folder_of_torchvision(served, tmp_path, monkeypatch):
    folder, address = served
    md5s = [
        archive(folder / f"{name}.tar.gz", f"{name}/{file}", b"content")
        for name, file in (("images", "cat_1.jpg"), ("annotations", "test.txt"))
    ]
    resources = [(f"{address}/{name}.tar.gz", md5) for name, md5 in zip(("images", "annotations"), md5s, strict=True)]
    monkeypatch.setattr(OxfordIIITPet, "_RESOURCES", resources)
    place = download(PetsData(), tmp_path / "data")
    assert place == tmp_path / "data/oxford-iiit-pet"
    assert (place / "images/cat_1.jpg").exists()
    assert (place / "annotations/test.txt").exists()


def test_something_else_than_expected_is_not_unpacked(cifar10, tmp_path):
    archive(cifar10, "cifar-10-batches-py/test_batch", b"something else")
    with pytest.raises(DataError, match=r"is not the expected one: its md5 should be"):
        download(CifarData(), tmp_path / "data")
    assert not (tmp_path / "data/cifar-10-batches-py").exists()


def test_a_server_that_does_not_have_it_is_named(cifar10, tmp_path):
    cifar10.unlink()
    with pytest.raises(DataError, match=r"cannot download http://127\.0\.0\.1.*: Not Found|: File not found"):
        download(CifarData(), tmp_path / "data")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (CamvidData(), "'camvid' cannot be downloaded: get it in the layout of SegNet"),
        (DigitsData(), "'digits' cannot be downloaded: it comes with scikit-learn"),
    ],
)
def test_other_data_sets_are_got_elsewhere(data: Data, said: str, tmp_path: Path):
    with pytest.raises(DataError, match=said):
        download(data, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", DATA_SETS)
def test_every_data_set_can_be_downloaded_or_says_where_it_is(name):
    kind = DataSettings.kind(name)
    assert issubclass(kind, DataSource)
    assert bool(kind.where) == (kind.archives is DataSource.archives)
