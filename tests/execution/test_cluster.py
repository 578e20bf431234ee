"""Real Ray clusters, with and without a token: who is let in, and what is said within seconds to whom it is not."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dmt_ray.errors import UserError
from dmt_ray.execution import cluster
from tests.helpers.clusters import free_port
from tests.helpers.paths import ROOT

TOKEN = "0123456789abcdef" * 4
OTHER = "fedcba9876543210" * 4


def home(folder: Path, token: str | None) -> dict[str, str]:
    """An environment of a user of their own, whose token is known."""
    (folder / ".ray").mkdir(parents=True)
    if token is not None:
        (folder / ".ray" / "auth_token").write_text(token)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return kept | {"HOME": str(folder), "RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(ROOT)}


JOIN = """
    import os, sys
    from pathlib import Path
    from dmt_ray.errors import UserError
    from dmt_ray.execution import cluster
    try:
        resources = cluster.connect(sys.argv[1], cpus=1)
        import ray
        print("CPU", resources["CPU"], "OMP", ray.get(ray.remote(os.getenv).remote("OMP_NUM_THREADS")))
        if sys.argv[2:]:
            cluster.check_nodes(*(Path(folder) for folder in sys.argv[2:]))
            print("all nodes are fine")
    except UserError as error:
        print("error:", error)
"""


LOSE_A_NODE = """
    import ray
    real, lost = ray.nodes, [{"Alive": True, "NodeID": "ab" * 28, "NodeManagerAddress": "lost"}]
    ray.nodes = lambda: [*real(), *(lost.pop() for _ in lost[:])]
"""


WATCHED = """
    import ray
    from dmt_ray.execution import ray_private
    ask = ray_private.nodes_of
    def watched(address, timeout):
        print(f"the head was asked, for at most {timeout:g} s")
        return ask(address, timeout)
    ray_private.nodes_of = watched
    ray.init = lambda *_, **__: print("Ray itself tries to join")
"""


def join(address: str, environment: dict[str, str], *folders: Path, before: str = "") -> str:
    """What a process that joins the cluster says; it runs `before` at first."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(before) + textwrap.dedent(JOIN), address, *map(str, folders)],
        env=environment,
        cwd=environment["HOME"],  # python -c would take dmt_ray from the current folder
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The host:port of a cluster of one node that wants TOKEN."""
    port = free_port()
    temporary = tempfile.mkdtemp(prefix="ray-")  # pytest's folders are too long for Ray's sockets
    ray = Path(sys.executable).with_name("ray")
    small = ["--num-cpus=1", "--object-store-memory=100000000", "--include-dashboard=false"]
    environment = home(tmp_path_factory.mktemp("head"), TOKEN)
    process = subprocess.Popen(
        [
            *[str(ray), "start", "--head", "--block", "--node-ip-address=127.0.0.1", f"--port={port}"],
            *[f"--temp-dir={temporary}", *small],
        ],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        end = time.monotonic() + 300  # by which a start that hangs is given up
        while "CPU" not in (said := join(f"127.0.0.1:{port}", environment)):
            assert process.poll() is None, "ray start has ended"
            assert time.monotonic() < end, said
        yield f"127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)  # ray start --block ends its children
        try:
            process.wait(60)
        finally:
            _kill_session(process.pid)
            shutil.rmtree(temporary, ignore_errors=True)


def _kill_session(leader: int) -> None:
    """Whatever is left of the processes that `ray start` made: they are in its session."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if int((folder / "stat").read_text().rpartition(")")[2].split()[3]) == leader:
                os.kill(int(folder.name), signal.SIGKILL)
        except (OSError, ProcessLookupError):
            continue


def test_a_port_at_which_nothing_listens_is_said_after_one_try(monkeypatch: pytest.MonkeyPatch) -> None:
    tries, connect = list[float](), socket.create_connection

    def watched(place: tuple[str, int], timeout: float) -> socket.socket:
        tries.append(timeout)
        return connect(place, timeout)

    monkeypatch.setattr(socket, "create_connection", watched)
    with pytest.raises(UserError, match=r"no Ray cluster at .* \(Connection refused\)"):
        cluster.check_address(f"127.0.0.1:{free_port()}")
    assert tries == [3.0]


@pytest.mark.slow  # Ray itself waits 40 s
def test_a_server_that_is_no_ray_is_told_from_one_that_is(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        said = join(f"127.0.0.1:{silent.getsockname()[1]}", home(tmp_path / "home", None))
    assert "error: there is no Ray cluster at " in said


@pytest.mark.parametrize("address", ["ray://head:10001", "head", ":6379", "http://head:8265"])
def test_what_is_no_address_is_said(address: str) -> None:
    with pytest.raises(UserError, match="--address is auto or host:port"):
        cluster.check_address(address)


def test_cpus_are_those_of_the_affinity_mask_and_of_the_containers_quota(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "CGROUPS", tmp_path)
    monkeypatch.setattr(cluster, "cores", lambda: set(range(8)))
    assert cluster.cpus() == 8
    (tmp_path / "cpu").mkdir()
    for name, text in {
        "cpu.max": "max 100000\n",
        "cpu/cpu.cfs_quota_us": "-1",
        "cpu/cpu.cfs_period_us": "100000",
    }.items():
        (tmp_path / name).write_text(text)
    assert cluster.cpus() == 8
    monkeypatch.setattr(cluster, "PROCESS_GROUPS", tmp_path / "groups")
    (tmp_path / "groups").write_text("0::/\n")
    (tmp_path / "cpu.max").write_text("350000 100000\n")
    assert cluster.cpus() == 3
    (tmp_path / "groups").write_text("5:memory:/a\n4:cpu,cpuacct:/\n")
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("50000")
    assert cluster.cpus() == 1


def test_without_affinity_masks_all_cpus_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS
    assert cluster.cores() == set(range(os.cpu_count() or 1))


def test_a_job_that_gives_a_variable_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DMT_DATA", raising=False)
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", '{"runtime_env": {"env_vars": {"OMP_NUM_THREADS": "2"}}}')
    variables = cluster._worker_environment()
    assert variables["TUNE_FUNCTION_THREAD_TIMEOUT_S"] == "60"
    assert variables.keys() == cluster.WORKER_ENVIRONMENT.keys() - {"OMP_NUM_THREADS"}
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", '{"runtime_env": {}, "metadata": {}}')
    monkeypatch.setenv("DMT_DATA", "/shared")
    assert cluster._worker_environment() == {**cluster.WORKER_ENVIRONMENT, "DMT_DATA": "/shared"}


@pytest.mark.parametrize(
    "way", ["file", pytest.param("variable", marks=pytest.mark.slow), pytest.param("path", marks=pytest.mark.slow)]
)
def test_who_has_the_token_is_let_in(way: str, head: str, tmp_path: Path) -> None:
    environment = home(tmp_path / "home", TOKEN if way == "file" else None)
    if way == "variable":
        environment["RAY_AUTH_TOKEN"] = TOKEN
    if way == "path":
        (tmp_path / "token").write_text(TOKEN)
        environment["RAY_AUTH_TOKEN_PATH"] = str(tmp_path / "token")
    said = join(head, environment, tmp_path / "runs", tmp_path)
    assert "CPU 1.0 OMP 1" in said
    assert "all nodes are fine" in said


@pytest.mark.slow
def test_auto_means_the_cluster_that_the_environment_names(head: str, tmp_path: Path) -> None:
    said = join("auto", home(tmp_path / "home", TOKEN) | {"RAY_ADDRESS": head}, tmp_path / "runs", tmp_path)
    assert "all nodes are fine" in said


@pytest.mark.parametrize(
    ("token", "more", "words"),
    [
        pytest.param(None, {}, "requires a token: there is none here; copy ~/.ray/auth_token", id="none"),
        pytest.param(None, {"RAY_AUTH_MODE": "token"}, "requires a token: there is none here", id="none but the mode"),
        pytest.param(OTHER, {}, "requires a token: the one found here is a different one", id="wrong file"),
        pytest.param(TOKEN, {"RAY_AUTH_TOKEN": OTHER}, "the one found here is a different one", id="wrong variable"),
        pytest.param(TOKEN, {"RAY_AUTH_MODE": "disabled"}, "RAY_AUTH_MODE is 'disabled' here", id="switched off"),
    ],
)
def test_who_lacks_the_token_is_told_before_ray_itself_tries_for_20_s(
    token: str | None, more: dict[str, str], words: str, head: str, tmp_path: Path
) -> None:
    said = join(head, home(tmp_path / "home", token) | more, before=WATCHED)
    assert words in said
    assert "Ray itself tries" not in said
    # Once to see whether the head wants a token, once with the token: 6 s at most.
    assert said.count("the head was asked, for at most 3 s") == said.count("the head was asked") <= 2


@pytest.mark.slow
def test_a_node_that_lacks_the_data_or_runs_other_code_is_named(head: str, tmp_path: Path) -> None:
    environment = home(tmp_path / "home", TOKEN)
    said = join(head, environment, tmp_path / "runs", tmp_path / "nowhere")
    assert f" has no folder {tmp_path / 'nowhere'}." in said
    shutil.copytree(ROOT / "dmt_ray", tmp_path / "other" / "dmt_ray", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "other" / "dmt_ray" / "extra.py").write_text("")
    said = join(head, environment | {"PYTHONPATH": str(tmp_path / "other")}, tmp_path / "runs", tmp_path)
    assert " has another version of dmt_ray." in said


@pytest.mark.slow
def test_a_node_that_is_lost_while_nodes_are_asked_does_not_count(head: str, tmp_path: Path) -> None:
    said = join(head, home(tmp_path / "home", TOKEN), tmp_path / "runs", tmp_path, before=LOSE_A_NODE)
    assert "all nodes are fine" in said


def test_a_node_whose_error_says_nothing_is_named_by_its_kind(monkeypatch):
    def out_of_memory(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("ray.get", out_of_memory)
    assert cluster._lacks(None, None, None) == ["cannot run this program (MemoryError)"]


def test_without_a_home_folder_ray_gets_its_token_in_a_variable(monkeypatch):
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    monkeypatch.setenv("HOME", "/proc/none")  # nobody can make a folder there
    assert not cluster._can_keep_token()


def test_with_a_home_folder_ray_keeps_its_token_there(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cluster._can_keep_token()


def test_below_a_long_path_rays_sockets_are_in_a_short_folder(monkeypatch, tmp_path, caplog):
    long = tmp_path / ("x" * 60)
    monkeypatch.setenv("RAY_TMPDIR", str(long))
    cluster._shorten_paths()
    assert os.environ["RAY_TMPDIR"] == "/tmp"
    assert f"{long} is too long for Ray's sockets: Ray's own files are in /tmp/ray" in caplog.text


def test_without_a_short_folder_the_variable_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / ("x" * 60)))
    monkeypatch.setattr(cluster, "SHORT_TEMPORARY", ("/proc/none",))
    with pytest.raises(UserError, match="set the variable RAY_TMPDIR to a folder whose path has at most 38 bytes"):
        cluster._shorten_paths()


def test_a_short_path_is_left_alone(monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", "/var/tmp")
    cluster._shorten_paths()
    assert os.environ["RAY_TMPDIR"] == "/var/tmp"
