"""A storage folder that version 0.2 has written opens, and nothing of it is computed again.

make_store_of_0_2.py says what it holds: every operation and every kind of file. It is never written again.
"""

import importlib
import pkgutil
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dmt_ray.cli.main import main
from dmt_ray.config import Config, override
from dmt_ray.execution.runner import Machine, Runner
from dmt_ray.experiments import audit_file, bundle, experiment_file
from dmt_ray.experiments.audited import Audited
from dmt_ray.experiments.locate import locate
from dmt_ray.experiments.members import members_of
from dmt_ray.methods import METHODS
from dmt_ray.plan import Slice, files, operations
from dmt_ray.recipes import load
from dmt_ray.results.auditing import in_words
from dmt_ray.store import Store

ARCHIVE = Path(__file__).parent / "store_of_0_2.tar.xz"
ABLATION, SWEEP, RUN = "components-pictures-d0d46a8a", "gamma_sweep-pictures-c99cff5a", "cbst-pictures-seed0-d238a876"
ROWS = {
    "dmt": {"order": "sequential", "first": "val", "ensemble": True},
    "rml": {},
    "rwms": {},
    "dst": {"external.masks": "", "external.precision": 0.2},
    "cbst": {},
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


def test_the_archive_is_small_and_names_no_machine() -> None:
    assert ARCHIVE.stat().st_size < 300_000
    with tarfile.open(ARCHIVE) as archive:
        content = b"".join(archive.extractfile(member).read() for member in archive)  # type: ignore[union-attr]
    assert not re.search(rb"/(home|tmp|root|work|Users)/", content)
    assert set(re.findall(rb'"host": "([^"]*)"', content)) == {b"golden"}


def test_it_has_every_operation_and_every_kind_of_file(place: Path) -> None:
    store = Store(place / "runs")
    assert store.verify().damaged == []
    records = list(store.records())
    known = [
        importlib.import_module(f"{operations.__name__}.{one.name}")
        for one in pkgutil.iter_modules(operations.__path__)
    ]
    slices = [value for module in known for value in vars(module).values() if isinstance(value, type)]
    names = {each.operation.name for each in slices if issubclass(each, Slice) and "operation" in vars(each)}
    assert {record.operation for record in records} == names
    here = {path.name for path in (place / "runs" / "stages").rglob("*") if path.is_file()}
    kinds = {value for name, value in vars(files).items() if name.isupper() and isinstance(value, str) and "." in value}
    assert kinds <= here
    assert {"model.safetensors", "A.safetensors", "A-averaged.safetensors", "record.json"} <= here


@pytest.mark.parametrize("name", [ABLATION, SWEEP, RUN])
def test_an_experiment_lacks_nothing(place: Path, name: str) -> None:
    folder = locate(place / "runs", name, kinds=("sweep", "ablation", "run"))
    members = list(members_of(experiment_file.read(folder), folder))
    assert len(members) == {ABLATION: 4, SWEEP: 2, RUN: 1}[name]
    assert Store(place / "runs").missing(target for member in members for target in member.plan().targets()) == []


@pytest.mark.parametrize("method", ROWS)
def test_the_same_settings_find_their_stages_again(place: Path, method: str) -> None:
    """From the recipe and the pictures on, as a command does."""
    data = place / "pictures"
    runner = Runner(Machine(place / "runs", data, device="cpu"))
    config: Config = load(str(data / "pictures.yaml"))
    changes = {
        name: str(data / "drafts") if name == "external.masks" else value for name, value in ROWS[method].items()
    }
    plan = METHODS[method](runner.bind(override(config, changes)), 0)
    assert runner.perform(plan.targets()) == []


def test_its_audit_and_its_bundle_are_read(place: Path) -> None:
    folder = locate(place / "runs", RUN, kinds=("run",))
    table = Audited.of_folder(folder, None, None)
    assert in_words(audit_file.read(table.file), table.digests()) == "5 of 5 stages recomputed, 5 agree: none differs"
    content = bundle.read(place / "bundle.tar.xz")
    assert content.name == RUN
    assert content.records.keys() == table.records.keys()
    assert {stage: record.files for stage, record in content.records.items()} == {
        stage: record.files for stage, record in table.records.items()
    }


def test_tables_and_exports_read_it(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = str(place / "runs")
    call: Callable[..., int] = lambda *words: main([*words, "--storage", runs])  # noqa: E731
    assert call("table", "components") == 0
    assert re.search(r"RWMS +\d", capsys.readouterr().out)
    assert call("status", "gamma_sweep") == 0
    assert "stages: 14 of 14 stored" in capsys.readouterr().out
    assert call("export", "--out", str(tmp_path / "all.csv")) == 0
