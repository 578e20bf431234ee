"""The end of a search on a real Ray: helpers and turns change how long it takes, and nothing else."""

import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from dmt_ray.execution import journal
from tests.helpers.sweeps import RunningSweep, started

pytestmark = pytest.mark.slow
SECONDS = 1500.0  # that a busy machine may take

# `dmt` where a worker is taken to start within so many seconds, and says what is given away.
DMT = """
import sys
from dmt_ray.execution import cluster
cluster.prepare()
from dmt_ray.search import helping, turns
helping.START_SECONDS = turns.START_SECONDS = float(sys.argv.pop(1))
give = helping.Helping.give
def said(self, workers):
    parts = give(self, workers)
    for part in parts:
        print(f"a part of trial {part.number} is given away", flush=True)
    return parts
helping.Helping.give = said
from dmt_ray.cli.main import main
sys.exit(main())
"""
NEVER, SOON = "1e9", "0.3"
GRID = ("--set", "weight.gamma2=3", "--set", "percentiles=[0.5,1.0]", "--set", "finetune.epochs=40", "--grid", "3")
SINGLE = ("--trials", "1", "--set", "finetune.epochs=150")

Command = Callable[..., tuple[str | Path, ...]]


@pytest.fixture(scope="module")
def command(settings: Path, pictures: Path) -> Command:
    def words(start_seconds: str, *options: str) -> tuple[str | Path, ...]:
        where = ("--recipe", settings, "--data", pictures, "--max-concurrent", "2")
        return ("-c", DMT, start_seconds, "sweep", "gamma_sweep", *where, *options)

    return words


def performed(storage: Path, words: tuple[str | Path, ...]) -> tuple[RunningSweep, str]:
    with started(storage, *words) as sweep:
        said = sweep.finish(SECONDS)
        assert sweep.process.returncode == 0, said
        assert sweep.left_behind() == []
    return sweep, said


def table(sweep: RunningSweep) -> pd.DataFrame:
    """trials.csv without what says who computed what, and how long it took."""
    rows = sweep.scores()
    return rows.drop(columns=[name for name in rows if "seconds" in name or "hours" in name])


def test_a_sweep_with_helpers_and_turns_has_the_bytes_of_one_without(tmp_path, command):
    plain, said = performed(tmp_path / "plain", command(NEVER, *GRID))
    assert "given away" not in said
    assert "makes room" not in said
    helped, said = performed(tmp_path / "helped", command(SOON, *GRID))
    assert "is given away" in said
    assert "makes room for others" in said
    assert [trial.state for trial in helped.trials()] == ["complete"] * 3
    assert helped.digests() == plain.digests()
    pd.testing.assert_frame_equal(table(helped), table(plain))
    for sweep in (plain, helped):  # no stage twice, none that no trial accounts for
        keys = [key for trial in sweep.trials() for key in trial.executed]
        shared = journal.executed(sweep.folder, journal.SHARED)
        assert sorted([*keys, *shared]) == sorted(sweep.digests())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, command: Command) -> RunningSweep:
    return performed(tmp_path_factory.mktemp("undisturbed") / "runs", command(NEVER, *SINGLE))[0]


@pytest.mark.parametrize(
    ("number", "status"),
    [pytest.param(signal.SIGINT, 130, id="Ctrl-C"), pytest.param(signal.SIGTERM, 143, id="SIGTERM")],
)
def test_a_sweep_that_is_stopped_while_a_helper_is_at_work_goes_on_from_there(
    tmp_path, command, undisturbed, number, status
):
    words = command(SOON, *SINGLE)
    with started(tmp_path / "runs", *words) as sweep:
        one = other = sweep.at_work("finetune", seconds=SECONDS)
        while other.pid == one.pid:
            one, other = other, sweep.at_work("finetune", but=(other.key,), seconds=SECONDS)
        sweep.process.send_signal(number)
        said = sweep.finish(SECONDS)
        assert sweep.process.returncode == status, said
        assert sweep.left_behind() == []
        assert [trial.state for trial in sweep.trials()] == ["running"]
        assert sweep.digests().items() <= undisturbed.digests().items()
        saved = {record.key: record for record in sweep.store.records()}
    again, _ = performed(tmp_path / "runs", words)
    assert again.digests() == undisturbed.digests()
    assert [trial.state for trial in again.trials()] == ["complete"]
    pd.testing.assert_frame_equal(table(again), table(undisturbed))
    # Nothing that was finished is computed again: records say how long that took.
    assert saved == {record.key: record for record in again.store.records() if record.key in saved}


def test_shared_stages_of_two_workers_have_the_same_bytes_and_of_four_nearly_the_same(tmp_path, command):
    options = ("--trials", "1", "--set", "finetune.epochs=2", "--max-concurrent", "4")
    plain, _ = performed(tmp_path / "plain", command(NEVER, *options))
    shared = journal.executed(plain.folder, journal.SHARED)
    for workers in (2, 4):
        wide, _ = performed(tmp_path / f"{workers}", command(NEVER, *options, "--shared-workers", str(workers)))
        assert sorted(journal.executed(wide.folder, journal.SHARED)) == sorted(shared)
        used = {record.operation: record.made["workers"] for record in wide.store.records() if record.key in shared}
        assert used["pretrain"] == workers // 2  # half of them for each model
        others = {record.made["workers"] for record in wide.store.records() if record.key not in shared}
        assert others == {1}
        if workers == 2:
            assert wide.digests() == plain.digests()
        for record in (record for record in plain.store.records() if record.operation == "pretrain"):
            file = Path("stages", record.operation, record.key, "model.safetensors")
            one, other = (load_file(sweep.storage / file) for sweep in (plain, wide))
            assert all(np.allclose(one[key], other[key], rtol=1e-3, atol=1e-4) for key in one)
