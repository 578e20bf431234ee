"""What a person sees in the MLflow UI: a real server, real results, and a real browser."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dmt_ray import tracking
from dmt_ray.execution.runner import Machine, Runner
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.experiments.experiment_file import ExperimentFile
from dmt_ray.experiments.sweep import Sweep, Trial
from dmt_ray.methods.space import Uniform
from dmt_ray.report.publishing import of_sweep, publish_all
from dmt_ray.results.scores import rung_score
from tests.helpers.ablations import perform

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 300  # seconds that a busy machine is given

pytestmark = [
    pytest.mark.slow,
    *(pytest.mark.filterwarnings(f"ignore::{kind}Warning") for kind in ("Deprecation", "Future", "Resource")),
]
See = Callable[[str], str]


@pytest.fixture(scope="module")
def browser() -> str:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed")
    return found


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory, pictures: Path, settings: Path) -> Path:
    """An ablation of three rows and one seed and a sweep of two trials, performed and published."""
    storage = tmp_path_factory.mktemp("browser") / "runs"
    perform(storage, pictures, settings, seeds=(0,))
    assert publish_all(storage, None) == ()
    tracker = tracking.connect(None, storage)
    tracker.publish_soon(sweep(storage, pictures, settings))
    assert tracker.close(PATIENCE) == ()
    return storage


def sweep(storage: Path, pictures: Path, settings: Path) -> tracking.Publication:
    """A search of two trials, performed in this process."""
    from dmt_ray.recipes import load

    runner = Runner(Machine(storage, pictures))
    config = runner.bind(load(str(settings), ()), [0])
    both = {"weight.gamma1": Uniform(0, 8), "weight.gamma2": Uniform(0, 8)}
    one = Sweep("gamma_sweep", "Which exponents are best?", config, "dmt", both, (0,))
    trials = []
    for number, gamma in enumerate((5.0, 2.0)):
        params = dict.fromkeys(both, gamma)
        executed = runner.perform(one.targets(params))
        scores = {rung: rung_score(runner.store, models) for rung, models in enumerate(one.plans(params)[0].rungs)}
        trials.append(Trial(number, params, "complete", scores, None, tuple(stage.key for stage in executed)))
    info = DatasetInfo.of(runner.dataset(config.data), config, [0], "make sweep")
    file = ExperimentFile(one, storage, pictures, str(settings), trials=2, dataset_info=info.to_json())
    return of_sweep(storage / "sweeps" / one.name, file, runner.store, "stopped", trials)


@pytest.fixture(scope="module")
def address(storage: Path, browser: str) -> Iterator[str]:
    """`dmt ui` on a port of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "dmt_ray.cli", "ui", "--storage", str(storage), "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        end = time.monotonic() + PATIENCE
        while True:
            assert server.poll() is None, "dmt ui has ended"
            assert time.monotonic() < end, "dmt ui does not answer"
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


@pytest.fixture(scope="module")
def see(browser: str, address: str, tmp_path_factory: pytest.TempPathFactory) -> See:
    """Opens a page of the UI in the browser and gives back its elements when its scripts have come to rest."""
    profile = tmp_path_factory.mktemp("profile")

    def look(page: str) -> str:
        words = ["--headless", "--no-sandbox", "--disable-gpu", "--window-size=1500,2500", "--dump-dom"]
        # Of the browser's own clock, which stands still while it waits for the server: charts are drawn late.
        words += [f"--user-data-dir={profile}", "--virtual-time-budget=120000", f"{address}/#/experiments/1/runs{page}"]
        done = subprocess.run([browser, *words], capture_output=True, text=True, timeout=PATIENCE, check=True)
        return done.stdout

    return look


def run_id(storage: Path, name: str) -> str:
    """Id of a run by its name in the UI."""
    tracker = tracking.connect(None, storage)
    (found,) = tracker.mirror.find({"mlflow.runName": name})
    tracker.close()
    return str(found.info.run_id)


def test_the_list_shows_sweep_and_ablation_by_name(see: See) -> None:
    page = see("")
    assert re.search(r">components-mine-[0-9a-f]{8}<", page)
    assert re.search(r">gamma_sweep-mine-[0-9a-f]{8}<", page)


def test_a_trial_shows_its_settings_curves_and_pictures(see: See, storage: Path) -> None:
    trial = run_id(storage, "gamma1=5 gamma2=5")
    overview = see(f"/{trial}")
    assert ">gamma1=5 gamma2=5<" in overview
    assert "weight.gamma1" in overview
    assert "dms_alpha" in overview
    assert "iterations/miou_selection.A" in overview
    curves = see(f"/{trial}/model-metrics")
    assert curves.index(">iterations<") < curves.index(">labels<") < curves.index(">loss<") < curves.index(">other<")
    assert curves.count("js-plotly-plot") >= 3  # charts that are drawn, those in sight
    for picture in ("curves.png", "panel.png"):
        shown = see(f"/{trial}/artifacts/{picture}")
        assert re.search(rf'<img[^>]* alt="{picture}"[^>]* src="blob:', shown)


def test_the_page_of_an_ablation_shows_its_table_and_its_means(see: See, storage: Path) -> None:
    name = next(path.name for path in (storage / "ablations").iterdir())
    page = see(f"/{run_id(storage, name)}")
    assert "What is each part of DMT worth?" in page
    assert "3 runs: 3 complete" in page
    assert {"<td>CBST</td>", "<td>DMT</td>"} <= set(re.findall(r"<td>[^<]*</td>", re.sub(r"<td[^>]*>", "<td>", page)))
    assert "reported_last/DMT" in page
    assert "DMT · seed 0" in page


def test_the_link_of_an_ablation_lists_its_runs_in_the_order_of_the_table(see: See, storage: Path) -> None:
    name = next(path.name for path in (storage / "ablations").iterdir())
    page = see(f"/{run_id(storage, name)}")
    link = re.search(r'href="#/experiments/1/runs(\?[^"]*viewStateShareKey=[^"]*)"', page)
    assert link is not None
    listed = see(link[1].replace("&amp;", "&"))
    names = re.findall(r">((?:Baseline|CBST|DMT) · seed 0)<", listed)
    assert list(dict.fromkeys(names)) == ["Baseline · seed 0", "CBST · seed 0", "DMT · seed 0"]
    assert "gamma1=5" not in listed
