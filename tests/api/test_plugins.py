"""A package of somebody else, registered by entry points, on the command line and in other processes."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dmt_ray.errors import ConfigError
from dmt_ray.execution import plugins
from dmt_ray.methods import METHODS
from tests.helpers.distributions import install
from tests.helpers.paths import ROOT

METHOD = (ROOT / "tests" / "helpers" / "their_methods.py").read_text(encoding="utf-8")
DATA = (ROOT / "tests" / "helpers" / "stripes.py").read_text(encoding="utf-8")
POINTS = {"dmt_ray.methods": {"half": "their_methods:half"}, "dmt_ray.datasets": {"stripes": "their_data:StripesData"}}
WORDS = [
    *("--method", "half", "--set", "data={name: stripes}", "--set", "split={labelled: 2, selection: 0.25}"),
    *("--set", "pretrain.epochs=1", "--threads", "1"),
    *(word for name in ("pretrain", "finetune") for word in ("--set", f"{name}.augment.crop=[16, 16]")),
]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    install(folder, "their-package", {"their_methods": METHOD, "their_data": DATA}, POINTS)
    return folder


def dmt(site: Path, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(site), str(ROOT)])
    return subprocess.run(
        [sys.executable, "-m", "dmt_ray.cli", *words],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": paths},
    )


@pytest.mark.slow
def test_a_method_and_a_data_set_of_others_run_from_the_command_line(site, tmp_path):
    done = dmt(site, "run", *WORDS, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "5 stages computed, 0 found" in done.stdout
    again = dmt(site, "run", *WORDS, cwd=tmp_path)
    assert "0 stages computed, 5 found" in again.stdout


def test_methods_of_others_are_listed_and_a_broken_one_is_a_warning(site, tmp_path):
    install(site, "broken-package", {}, {"dmt_ray.methods": {"lost": "no_such_module:lost"}})
    done = dmt(site, "methods", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "half            One iteration on the more confident half of the labels." in done.stdout
    assert done.stderr == (
        "warning: the method 'lost' of the package broken-package 1.0 cannot be used: no_such_module:lost: "
        "ModuleNotFoundError: No module named 'no_such_module'. Fix or uninstall it\n"
    )


# ---- what a decorator has registered, on its way to workers -----------------------------------------------------

SCRIPT = """
import pickle, sys
import dmt_ray
from dmt_ray.execution.plugins import plugins

{definition}
sys.stdout.buffer.write(pickle.dumps([(p.what, p.name, p.module, p.content) for p in plugins()]))
"""
IN_A_SCRIPT = """
from dmt_ray.methods import dst

EXPONENT = 1.0

@dmt_ray.method
def gentle(cfg, seed):
    return dst(cfg.with_weight(gamma1=EXPONENT), seed)
"""
IN_A_MODULE = "import their_decorated"


def registered_elsewhere(definition: str, folder: Path) -> list[plugins.Plugin]:
    """What another process hands to its workers."""
    import pickle

    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(definition=definition)],
        capture_output=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])},
        check=True,
    )
    return [plugins.Plugin(*values) for values in pickle.loads(done.stdout)]  # noqa: S301


@pytest.fixture
def _forget() -> None:
    yield
    METHODS.forget("gentle")


@pytest.mark.usefixtures("_forget")
def test_a_method_that_a_script_defines_travels_to_its_workers(tmp_path):
    from dmt_ray.recipes import named

    handed = registered_elsewhere(IN_A_SCRIPT, tmp_path)
    assert [(plugin.what, plugin.name, plugin.module) for plugin in handed] == [("method", "gentle", "__main__")]
    plugins.register(handed)
    assert METHODS["gentle"](named("shapes"), 0).rungs[1]["A"].inputs["model"].config.weight.gamma1 == 1.0
    plugins.register(handed)  # a worker that is used again


@pytest.mark.usefixtures("_forget")
def test_a_worker_that_lacks_the_module_says_what_to_install(tmp_path):
    (tmp_path / "their_decorated.py").write_text(f"import dmt_ray\n{IN_A_SCRIPT}", encoding="utf-8")
    handed = registered_elsewhere(IN_A_MODULE, tmp_path)
    with pytest.raises(ConfigError) as error:
        plugins.register(handed)
    assert str(error.value).startswith(
        "a worker cannot import the method 'gentle' from the module their_decorated (ModuleNotFoundError: No module "
        "named 'their_decorated'); install the package that holds it on every machine"
    )


def test_what_cannot_be_handed_on_is_said_before_the_work():
    lock = threading.Lock()

    def reads(cfg, seed):
        return lock.acquire()

    METHODS.register("reads", reads)
    try:
        with pytest.raises(ConfigError, match=r"the method 'reads' cannot be passed to other processes .*TypeError"):
            plugins.plugins()
    finally:
        METHODS.forget("reads")


# ---- real workers -----------------------------------------------------------------------------------------------

ON_RAY = """
from typing import ClassVar, Literal
import numpy as np
import dmt_ray
from dmt_ray.config import override
from dmt_ray.data.decode import Decoded
from dmt_ray.data.source import DataSource, Generated
from dmt_ray.execution import cluster, plugins
from dmt_ray.methods import METHODS, dst

@dmt_ray.method
def gentle(cfg, seed):
    return dst(cfg.with_weight(gamma1=1.0), seed)

@dmt_ray.dataset
class Discs(DataSource):
    in_files: ClassVar[bool] = False
    name: Literal["discs"] = "discs"
    reported: Literal["test"] = "test"
    radius: int = 8

def in_a_worker(handed, config):
    plugins.register(handed)
    changed = override(config, {"finetune.epochs": 2, "data": {"radius": 5}})
    return [stage.key for stage in METHODS["gentle"](changed, 0).stages()], type(changed.data).__name__

if __name__ == "__main__":
    config = override(dmt_ray.recipe("shapes"), {"data": {"name": "discs"}})
    cluster.connect(None, cpus=1)
    import ray
    there = ray.get(ray.remote(in_a_worker).remote(plugins.plugins(), config))
    here = in_a_worker(plugins.plugins(), config)
    cluster.disconnect()
    print("the same" if there == here and here[1] == "Discs" else f"{there} and {here}")
"""


@pytest.mark.slow
def test_a_worker_of_ray_makes_the_plan_of_a_method_on_data_that_a_script_defines(tmp_path):
    (tmp_path / "script.py").write_text(ON_RAY, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "script.py"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.stdout == "the same\n", done.stderr


@pytest.mark.slow
def test_a_worker_group_trains_a_method_on_data_of_others(site, tmp_path):
    one = dmt(site, "run", *WORDS, "--storage", "one", cwd=tmp_path)
    two = dmt(site, "run", *WORDS, "--storage", "two", "--workers", "2", "--gpus-per-worker", "0", cwd=tmp_path)
    assert (one.returncode, two.returncode) == (0, 0), two.stderr
    assert "5 stages computed, 0 found" in two.stdout
    assert {path.parent.name for path in tmp_path.glob("one/stages/*/*/record.json")} == {
        path.parent.name for path in tmp_path.glob("two/stages/*/*/record.json")
    }
