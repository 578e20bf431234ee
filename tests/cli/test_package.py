"""The wheel, as it is built and installed: nothing but `dmt_ray`, and all questions in it."""

import os
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.helpers.paths import ROOT
from tests.helpers.scripts import names

SOURCES = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "dmt_ray", "searches", "ablations")


def run(*words: object, cwd: Path, **further: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "DMT_DATA")}
    done = subprocess.run(list(map(str, words)), cwd=cwd, capture_output=True, text=True, env=environment | further)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that nothing is left in the repository."""
    folder = tmp_path_factory.mktemp("build")
    copied = [name for name in run("git", "ls-files", *SOURCES, cwd=ROOT).splitlines() if (ROOT / name).exists()]
    for name in copied:
        (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "source" / name).write_bytes((ROOT / name).read_bytes())
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder]
    run(*pip, folder / "source", cwd=folder)
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The wheel in an environment of its own, which sees the packages of this one, but not its dmt_ray."""
    folder = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv", cwd=folder)
    (packages,) = (folder / "venv" / "lib").glob("python*/site-packages")
    # A folder that a .pth file names is searched, but its own .pth files, as of an editable install, are not read.
    (packages / "packages.pth").write_text(sysconfig.get_path("purelib"))
    python = folder / "venv" / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", wheel, cwd=folder)
    (folder / "empty").mkdir()
    return SimpleNamespace(packages=packages, bin=python.parent, empty=folder / "empty")


@pytest.mark.slow
def test_the_only_thing_at_the_top_is_the_package(wheel):
    files = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in files} == {"dmt_ray", f"{'-'.join(wheel.stem.split('-')[:2])}.dist-info"}
    for folder in ("searches", "ablations"):
        assert {f"dmt_ray/{folder}/{name}.py" for name in names(folder)} <= set(files)
    for name in ("py.typed", "data/lists/voc_valtiny.txt", "report/papers/dmt-9.csv", "report/papers/tables.yaml"):
        assert f"dmt_ray/{name}" in files


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_package(wheel):
    tracked = run("git", "ls-files", "dmt_ray", "searches", "ablations", cwd=ROOT).splitlines()
    inside = {name if name.startswith("dmt_ray/") else f"dmt_ray/{name}" for name in tracked if (ROOT / name).exists()}
    assert inside <= set(zipfile.ZipFile(wheel).namelist())


@pytest.mark.slow
def test_an_installed_package_has_all_questions_in_an_empty_folder(installed):
    dmt = installed.bin / "dmt"
    where = run(installed.bin / "python", "-c", "import dmt_ray; print(dmt_ray.__file__)", cwd=installed.empty)
    assert where == f"{installed.packages / 'dmt_ray' / '__init__.py'}\n"
    for command, folder in (("sweep", "searches"), ("ablate", "ablations")):
        listed = run(dmt, command, cwd=installed.empty)
        assert all(f"  {name} " in listed for name in names(folder))
    assert run(dmt, "--version", cwd=installed.empty).split()[:2] == ["dmt-ray", metadata.version("dmt-ray")]
    said = run(dmt, "sweep", "gamma_sweep", "--trials", "1", "--dry-run", cwd=installed.empty)
    assert "sweep    gamma_sweep-shapes-" in said
    said = run(dmt, "ablate", "components", "--rows", "CBST", "--seeds", "0", "1", "--dry-run", cwd=installed.empty)
    assert "rows     Baseline; CBST\n" in said


def test_the_metadata_say_what_it_is_and_under_which_licence():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (project["license"], project["license-files"]) == ("Apache-2.0", ["LICENSE"])
    assert "Typing :: Typed" in project["classifiers"]
    assert (ROOT / "dmt_ray" / "py.typed").exists()
    assert project["scripts"] == {"dmt": "dmt_ray.cli.main:main"}


def test_an_editable_installation_finds_the_questions_in_the_repository():
    import dmt_ray.ablations
    import dmt_ray.searches

    assert Path(dmt_ray.searches.__file__).parent == ROOT / "searches"
    assert Path(dmt_ray.ablations.__file__).parent == ROOT / "ablations"
