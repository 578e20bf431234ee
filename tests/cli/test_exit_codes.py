"""What the exit status means, in one place, in the help, and as commands end."""

import signal
import subprocess
import sys

import pytest

from dmt_ray.cli import main as cli
from dmt_ray.cli.exit_codes import ExitCode
from dmt_ray.cli.options import guarded
from dmt_ray.errors import ConfigError, Interrupted
from dmt_ray.execution import cluster, interruption


def test_the_help_ends_with_all_of_them(capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--help"])
    _, _, end = capsys.readouterr().out.partition("exit status:\n")
    assert [line.split()[0] for line in end.splitlines()] == ["0", "1", "2", "3", "130", "143"]
    assert all(code.meaning in end for code in ExitCode)


def raising(error):
    def command():
        raise error

    return command


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (lambda: None, 0),
        (lambda: ExitCode.FAILED, 1),
        (lambda: ExitCode.DAMAGED, 3),
        (raising(ConfigError("--trials must be 1 or more")), 2),
        (raising(KeyboardInterrupt()), 130),
        (raising(Interrupted("the training goes on from step 5")), 143),
    ],
)
def test_a_command_ends_with(command, status):
    assert guarded(command) == status


def test_a_word_that_no_command_knows_ends_with_2(capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["swep"])
    assert "invalid choice: 'swep'" in capsys.readouterr().err


def test_a_damaged_store_ends_with_3(dmt, tmp_path):
    from dmt_ray.store import Store
    from tests.helpers.fake_stages import TWO_ROWS, ablation_file, perform

    store = Store(tmp_path)
    perform(store, ablation_file("components", TWO_ROWS, (0,)), ["Baseline"])
    assert dmt("store", "verify", "--storage", tmp_path).endswith("2 stages are intact, 0 were damaged\n")
    next(tmp_path.rglob("metrics.json")).write_text("{}")
    assert dmt("store", "verify", "--storage", tmp_path, status=3).endswith("1 stage is intact, 1 was damaged\n")


@pytest.mark.parametrize("share", ["5", "0%", "101%", "-1%", "all"])
def test_a_share_that_is_no_percentage_ends_with_2(dmt, tmp_path, share):
    from dmt_ray.store import Store

    Store(tmp_path)
    dmt("store", "verify", "--storage", tmp_path, f"--share={share}", status=2)


def test_sigterm_where_it_is_taken_as_ctrl_c_ends_with_143(monkeypatch):
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        cluster.stop_on_terminate()
        assert guarded(lambda: signal.raise_signal(signal.SIGTERM)) == 143
    finally:
        interruption.TERMINATED.clear()
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_reader_that_has_had_enough_is_no_error():
    command = f"{sys.executable} -m dmt_ray.cli recipes | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
