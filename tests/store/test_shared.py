"""Stages that machines share through an object store: whole or not at all there too, checked, and fetched once."""

import logging
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dmt_ray import recipes
from dmt_ray.errors import MissingStages, StoreError
from dmt_ray.plan import Stage, operations
from dmt_ray.store import DamagedStage, Store, shared
from tests.helpers.stage_records import rewrite

CONFIG = recipes.named("shapes")
A, OTHER = (operations.pretrain(CONFIG, seed=seed) for seed in (0, 1))
LABELS = operations.label(CONFIG, teacher=A, share=0.2)
TUNED = operations.finetune(CONFIG, start=A, labels=LABELS, seed=0)
SCORE = operations.evaluate(CONFIG, model=TUNED)

CONTENT = {"model.safetensors": b"weights", "history.csv": b"step,loss\n0,1.5\n", "empty.txt": b""}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists are good for no time, and nothing is asked again after a pause."""
    monkeypatch.setattr(shared, "FRESH", 0.0)
    monkeypatch.setattr(shared, "_SHARE", 0.0)
    monkeypatch.setattr(shared, "PAUSES", ())


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    """The folder behind a file:// URL."""
    return tmp_path / "bucket" / "ours"


@pytest.fixture
def machine(tmp_path: Path, bucket: Path) -> Callable[[str], Store]:
    """Stores with folders of their own that share one object store."""
    return lambda name: Store(tmp_path / name, shared=bucket.as_uri())


def put(store: Store, stage: Stage, content: dict[str, bytes] | None = None) -> Path:
    with store.write(stage, {"host": "node1"}) as folder:
        for name, text in (content or CONTENT).items():
            (folder / name).write_bytes(text)
    return store.path(stage)


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# ---- sharing ---------------------------------------------------------------------------------------------------


def test_what_one_machine_writes_the_other_one_has_with_the_same_bytes(machine: Callable[[str], Store]) -> None:
    one, other = machine("one"), machine("other")
    assert not other.has(A)
    written = put(one, A)
    assert other.has(A)
    assert other.has(A, files=True)
    assert not other.path(A).exists()
    fetched = other.open(A, files=True)
    assert fetched == other.path(A)
    assert content_of(fetched) == content_of(written)
    assert other.record(A) == one.record(A)
    assert other.verify().damaged == []
    assert list((other.folder / "staging").iterdir()) == []


def test_only_what_is_small_is_fetched_until_all_files_are_needed(machine: Callable[[str], Store]) -> None:
    one, other = machine("one"), machine("other")
    put(one, A)
    assert other.record(A).evicted == ("model.safetensors",)
    assert sorted(content_of(other.open(A))) == ["empty.txt", "history.csv", "record.json"]
    assert other.ls()[0].evicted == ("model.safetensors",)
    assert other.missing([LABELS]) == [LABELS]
    assert content_of(other.open(A, files=True)) == content_of(one.path(A))


def test_what_is_missing_is_what_no_machine_has(machine: Callable[[str], Store]) -> None:
    one, other = machine("one"), machine("other")
    put(one, A)
    assert other.missing([SCORE]) == [LABELS, TUNED, SCORE]
    for stage in (LABELS, TUNED, SCORE):
        put(one, stage)
    assert other.missing([SCORE]) == []


def test_what_is_nowhere_is_missing(machine: Callable[[str], Store]) -> None:
    for use in (machine("one").open, machine("one").record):
        with pytest.raises(MissingStages, match=A.name):
            use(A)


def test_an_upload_that_ended_half_way_counts_for_nothing(machine: Callable[[str], Store], bucket: Path) -> None:
    put(machine("one"), A)
    (bucket / "stages" / "pretrain" / A.key / "record.json").unlink()
    other = machine("other")
    assert not other.has(A)
    assert other.missing([A]) == [A]
    put(other, A)
    assert machine("third").open(A, files=True)


def test_the_first_upload_stays_and_both_machines_keep_their_own(machine: Callable[[str], Store]) -> None:
    one, other = machine("one"), machine("other")
    put(one, A, CONTENT | {"model.safetensors": b"of one!"})
    put(other, A, CONTENT | {"model.safetensors": b"another"})
    assert (machine("third").open(A, files=True) / "model.safetensors").read_bytes() == b"of one!"
    assert (other.open(A, files=True) / "model.safetensors").read_bytes() == b"another"


def test_uploads_at_the_same_time_do_not_mix(machine: Callable[[str], Store], monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = machine("one"), machine("other")
    put(one, A, CONTENT | {"model.safetensors": b"of one!"})
    monkeypatch.setattr(shared.Shared, "has", lambda *_, **__: False)  # both had looked before either was done
    write = shared.Shared._write
    monkeypatch.setattr(shared.Shared, "_write", lambda *given: given[2].endswith("record.json") or write(*given))
    put(other, A, CONTENT | {"model.safetensors": b"another"})
    assert (machine("third").open(A, files=True) / "model.safetensors").read_bytes() == b"of one!"
    monkeypatch.setattr(shared.Shared, "_write", write)
    shutil.rmtree(other.path(A))
    put(other, A, CONTENT | {"model.safetensors": b"another"})
    assert (machine("fourth").open(A, files=True) / "model.safetensors").read_bytes() == b"another"


def test_evicted_files_are_fetched_again(machine: Callable[[str], Store]) -> None:
    store = machine("one")
    path = put(store, A)
    before = content_of(path)
    assert store.gc(0).evicted == (f"{A.name}/model.safetensors",)
    assert not (path / "model.safetensors").exists()
    assert store.missing([LABELS]) == [LABELS]
    assert content_of(store.open(A, files=True)) == before


def test_work_that_another_machine_has_finished_meanwhile_is_not_begun(
    machine: Callable[[str], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "FRESH", 3600.0)
    one, other = machine("one"), machine("other")
    assert not other.has(A)
    put(one, A)
    assert not other.has(A)  # as the list of this hour tells
    with other.lease(A) as lease:
        assert not lease.held
    assert other.open(A, files=True)
    with other.lease(LABELS) as lease:
        assert lease.held


def test_no_lease_is_left_behind_when_the_server_does_not_answer(
    machine: Callable[[str], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(self: shared.Shared, stage_path: object, *, afresh: bool = False) -> bool:
        if afresh:
            raise StoreError("no answer")
        return False

    monkeypatch.setattr(shared.Shared, "has", answer)
    store = machine("one")
    with pytest.raises(StoreError, match="no answer"), store.lease(A):
        pytest.fail("the lease was held")
    assert store.running() == []


def test_of_several_threads_that_need_a_stage_one_fetches_it(
    machine: Callable[[str], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dmt_ray.store.exchange.POLL", 0.01)
    put(machine("one"), A)
    stores = [machine("other") for _ in range(4)]
    fetched, found, get = [], [], shared.Shared.get
    monkeypatch.setattr(shared.Shared, "get", lambda *given: (fetched.append(1), get(*given)))
    threads = [threading.Thread(target=lambda store=store: found.append(store.open(A, files=True))) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(found), len(fetched)) == (4, 1)
    assert list((stores[0].folder / "leases").iterdir()) == []


def test_evicting_and_fetching_at_once_damages_nothing(machine: Callable[[str], Store], bucket: Path) -> None:
    put(machine("one"), A)
    script = """
import sys, time
from pathlib import Path
from dmt_ray.plan import operations
from dmt_ray import recipes
from dmt_ray.errors import MissingStages
from dmt_ray.store import Store
store = Store(Path(sys.argv[1]), shared=sys.argv[2])
stage = operations.pretrain(recipes.named("shapes"), seed=0)
end, count = time.monotonic() + 1.5, 0
while time.monotonic() < end:
    if sys.argv[3] == "evicts":
        store.gc(0)
        continue
    try:
        content = (store.open(stage, files=True) / "model.safetensors").read_bytes()
        assert content == b"weights", content
        count += 1
    except (MissingStages, FileNotFoundError):  # evicted between two looks
        pass
assert sys.argv[3] == "evicts" or count
"""
    other = machine("other")
    children = [
        subprocess.Popen([sys.executable, "-c", script, other.folder, bucket.as_uri(), role], stderr=subprocess.PIPE)
        for role in ("evicts", "fetches", "fetches")
    ]
    assert [child.communicate()[1] for child in children] == [b"", b"", b""]
    for name in ("damaged", "rejected"):
        assert not (other.folder / name).exists()


# ---- damage ----------------------------------------------------------------------------------------------------


DAMAGE: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "altered": (lambda record, model: model.write_bytes(b"Weights"), "model.safetensors is altered"),
    "longer than a disk": (lambda record, model: os.truncate(model, 10**12), "has 1000000000000 bytes instead of 7"),
    "gone": (lambda record, model: model.unlink(), "model.safetensors is missing"),
    "half a record": (lambda record, model: os.truncate(record, 50), "record.json is damaged"),
    "endless record": (lambda record, model: os.truncate(record, 2**21), "more than 1048576 bytes"),
    "record of something else": (lambda record, model: rewrite(record, key="0" * 20), "belongs to pretrain-000"),
    "altered settings": (lambda record, model: rewrite(record, seed=1), "do not give its key"),
    "path as a file name": (lambda record, model: rewrite(record, files={"../../x": "0" * 32}), "damaged .files"),
    "record as a file": (
        lambda record, model: rewrite(record, files={"record.json": "0" * 32}, sizes={"record.json": 1}),
        "not that of a whole stage",
    ),
    "evicted": (lambda record, model: rewrite(record, evicted=["model.safetensors"]), "not that of a whole stage"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_rejected_logged_and_repaired(
    machine: Callable[[str], Store], bucket: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    damage, says = DAMAGE[kind]
    one, other = machine("one"), machine("other")
    put(one, A)
    record = bucket / "stages" / "pretrain" / A.key / "record.json"
    damage(record, record.parent / one.record(A).digest / "model.safetensors")
    with caplog.at_level(logging.WARNING), pytest.raises(DamagedStage, match=says):
        other.open(A, files=True)
    assert len(caplog.messages) == 1
    assert bucket.as_uri() in caplog.text
    assert not other.path(A).exists()
    assert list((other.folder / "staging").iterdir()) == []
    for store in (other, machine("other")):  # in other processes too
        assert store.missing([A]) == [A]
        with pytest.raises(MissingStages):
            store.open(A)
    put(other, A)
    assert content_of(machine("third").open(A, files=True))["model.safetensors"] == b"weights"


def test_a_download_that_went_wrong_once_is_done_again(
    machine: Callable[[str], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(machine("one"), A)
    digests = iter(["0" * 32])
    digest = shared.files.digest
    monkeypatch.setattr(shared.files, "digest", lambda path: next(digests, None) or digest(path))
    assert machine("other").open(A, files=True)
    assert next(digests, None) is None


def test_a_stage_that_the_disk_has_no_room_for_is_not_fetched(machine: Callable[[str], Store], bucket: Path) -> None:
    put(machine("one"), A)
    sizes = {name: 10**18 for name in CONTENT}
    rewrite(bucket / "stages" / "pretrain" / A.key / "record.json", sizes=sizes)
    with pytest.raises(StoreError, match=r"has 3000000000000000000 bytes, but .* room for \d+. Free space"):
        machine("other").open(A, files=True)


def test_a_damaged_stage_of_this_machine_is_fetched_again(machine: Callable[[str], Store]) -> None:
    store = machine("one")
    (put(store, A) / "history.csv").unlink()
    with pytest.raises(DamagedStage, match="is missing"):
        store.open(A)
    assert store.missing([A]) == []
    assert (store.open(A) / "history.csv").exists()


def test_objects_of_other_names_are_passed_over(machine: Callable[[str], Store], bucket: Path) -> None:
    for name in ("record.json", "not-a-key/record.json", f"{A.key}/deeper/record.json", f"{A.key}/record.json/x"):
        path = bucket / "stages" / "pretrain" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert machine("one").missing([A]) == [A]


# ---- outages ---------------------------------------------------------------------------------------------------


@pytest.fixture
def outage(bucket: Path) -> Callable[[bool], None]:
    """Makes the folder behind the URL unusable, and usable again."""
    hidden = bucket.with_name("hidden")
    bucket.mkdir(parents=True)

    def switch(down: bool) -> None:
        if down:
            bucket.rename(hidden)
            bucket.touch()
        else:
            bucket.unlink()
            hidden.rename(bucket)

    return switch


def test_an_upload_that_failed_is_made_up_for_when_the_next_store_is_opened(
    machine: Callable[[str], Store], outage: Callable[[bool], None]
) -> None:
    store = machine("one")
    outage(True)
    put(store, A)
    assert store.upload() == [A.name]
    assert store.gc(0).evicted == ()  # nobody else has it
    outage(False)
    assert not machine("other").has(A)
    again = machine("one")
    assert again.upload() == []
    assert machine("other").open(A, files=True)
    assert again.gc(0).evicted == (f"{A.name}/model.safetensors",)


def test_an_upload_that_failed_is_made_up_for_after_the_next_one(
    machine: Callable[[str], Store], outage: Callable[[bool], None]
) -> None:
    store = machine("one")
    outage(True)
    put(store, A)
    outage(False)
    put(store, OTHER)
    assert machine("other").missing([A, OTHER]) == []


@pytest.mark.parametrize("at", ["model.safetensors", "record.json"])
def test_an_upload_of_a_killed_process_is_made_up_for(machine: Callable[[str], Store], bucket: Path, at: str) -> None:
    store = machine("one")
    script = """
import sys, time
from pathlib import Path
from dmt_ray.plan import operations
from dmt_ray import recipes
from dmt_ray.store import Store, shared
stage = operations.pretrain(recipes.named("shapes"), seed=0)
store = Store(Path(sys.argv[1]), shared=sys.argv[2])
write = shared.Shared._write
def stop(self, content, path):
    if path.endswith(sys.argv[3]):
        print("now", flush=True)
        time.sleep(60)
    write(self, content, path)
shared.Shared._write = stop
with store.write(stage) as folder:
    (folder / "model.safetensors").write_bytes(b"weights")
"""
    command = [sys.executable, "-c", script, store.folder, bucket.as_uri(), at]
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"now\n"
    with store.lease(A, wait=False) as lease:
        assert not lease.held  # it is in the folder, if not yet in the object store
    child.kill()
    child.communicate()
    assert not machine("other").has(A)
    machine("one")
    assert machine("other").open(A, files=True)


def test_what_a_living_process_uploads_is_left_to_it(
    machine: Callable[[str], Store], outage: Callable[[bool], None]
) -> None:
    store = machine("one")
    with store.lease(A):
        outage(True)
        put(store, A)
        outage(False)
        assert machine("one").upload() == [A.name]
    assert machine("one").upload() == []


# ---- URLs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["s3://me:pa55word@bucket/x", "s3://me:pa55/word@bucket/x", "s3://:pa55word@bucket"])
def test_a_password_in_the_url_is_refused_and_not_repeated(tmp_path: Path, url: str) -> None:
    with pytest.raises(StoreError, match=r"must not hold a password.*AWS_ACCESS_KEY_ID") as raised:
        Store(tmp_path, shared=url)
    assert "pa55" not in str(raised.value)


@pytest.mark.parametrize("url", ["bucket/prefix", "s3:/bucket", "s3://", "", "/folder"])
def test_what_is_no_url_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(StoreError, match="is given by a URL, for example s3://bucket/prefix"):
        Store(tmp_path, shared=url)


def test_a_url_that_nobody_understands_is_said_without_its_options(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot use the shared store carrier\+pigeon://roof") as raised:
        Store(tmp_path, shared="carrier+pigeon://roof?token=pa55").has(A)
    assert "pa55" not in str(raised.value)


# ---- a server --------------------------------------------------------------------------------------------------


class Server:
    """An S3 server on this machine, with its log."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._log = folder / "server.log"
        self._seen = 0
        self.url = f"s3://bucket/ours?endpoint_override=127.0.0.1:{self.port}&scheme=http"
        self.start()

    def start(self) -> None:
        from pyarrow import fs

        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        files, _ = fs.FileSystem.from_uri(f"{self.url}&allow_bucket_creation=true")
        files.create_dir("bucket")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()

    def requests(self) -> list[str]:
        """Those since the last call, for example "GET /bucket?list-type=2"."""
        time.sleep(0.1)  # they are logged after they are answered
        text = self._log.read_text()
        new, self._seen = text[self._seen :], len(text)
        return re.findall(r"(?:GET|PUT|POST|HEAD|DELETE) /\S*", new)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    pytest.importorskip("moto", reason="an S3 server for tests: pip install 'moto[s3]'")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "somebody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "pa55word")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        server = Server(tmp_path_factory.mktemp("server"))
        yield server
        server.stop()


def test_a_stage_comes_back_from_an_s3_server(server: Server, tmp_path: Path) -> None:
    one, other = (Store(tmp_path / name, shared=server.url) for name in ("one", "other"))
    content = CONTENT | {"model.safetensors": os.urandom(25_000_000)}  # in several parts
    put(one, A, content)
    assert other.missing([LABELS]) == [LABELS]
    assert "model.safetensors" not in content_of(other.open(A))
    assert content_of(other.open(A, files=True)) == content_of(one.path(A))
    assert repr(other) == f"Store('{tmp_path}/other', shared='s3://bucket/ours')"


def test_how_many_requests_it_takes(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "FRESH", 10.0)
    one, other = (Store(tmp_path / name, shared=server.url) for name in ("one", "other"))
    stages = [operations.pretrain(CONFIG, seed=seed) for seed in range(1000, 1300)]
    server.requests()
    put(one, stages[0])
    put_files = [f"PUT .*/{one.record(stages[0]).digest}/{name}" for name in sorted(CONTENT)]
    requests = sorted(server.requests())
    assert [request.split(" ")[0] for request in requests] == ["GET", "HEAD", "PUT", "PUT", "PUT", "PUT"]
    assert all(re.match(pattern, request) for pattern, request in zip(put_files, requests[2:5]))

    assert other.missing(stages) == stages[1:]
    assert [request.split("&")[0] for request in server.requests()] == ["GET /bucket?list-type=2"]
    assert other.missing(stages) == stages[1:]
    assert other.has(stages[0], files=True)
    assert server.requests() == []

    other.open(stages[0])
    assert len(server.requests()) == 5  # two for the record, two for the history, one for an empty file
    other.open(stages[0])
    other.record(stages[0])
    assert server.requests() == []


def test_names_that_climb_are_passed_over(server: Server, tmp_path: Path) -> None:
    from pyarrow import fs

    files, root = fs.FileSystem.from_uri(server.url)
    for name in (
        "../../x/record.json",
        f"../{A.key}/record.json",
        "record.json",
        ".../record.json",
    ):
        with files.open_output_stream(f"{root}/stages/finetune/{name}") as target:
            target.write(b"{}")
    before = sorted(tmp_path.parent.iterdir())
    store = Store(tmp_path / "one", shared=server.url)
    assert not store.has(TUNED)
    assert store.missing([TUNED])[-1] == TUNED
    with pytest.raises(MissingStages):
        store.open(TUNED)
    assert not (store.folder / "stages").exists()
    assert sorted(tmp_path.parent.iterdir()) == before


def test_a_bucket_that_does_not_exist_is_said(server: Server, tmp_path: Path) -> None:
    store = Store(tmp_path / "one", shared=server.url.replace("bucket/ours", "buckit/ours"))
    with pytest.raises(StoreError, match=r"cannot use the shared store s3://buckit/ours: there is no bucket 'buckit'"):
        store.has(A)


class Refusing(BaseHTTPRequestHandler):
    """A server that lets nobody in."""

    def _refuse(self) -> None:
        self.send_error(403)

    do_GET = do_HEAD = do_PUT = do_POST = _refuse  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


def test_what_only_the_server_can_tell_is_an_error_and_the_rest_goes_on(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    refusing = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=refusing.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        url = server.url.replace(str(server.port), str(refusing.server_port))
        store = Store(tmp_path / "one", shared=url)
        path = put(store, A)
        assert f"{A.name} is kept in {store.folder} and uploaded later" in caplog.text
        assert store.has(A, files=True)
        assert store.open(A, files=True) == path
        for use in (store.has, store.open, store.record, lambda stage: store.missing([stage])):
            with pytest.raises(
                StoreError, match=r"^cannot use the shared store s3://bucket/ours: .*credentials"
            ) as raised:
                use(OTHER)
            assert "\n" not in str(raised.value)
            assert "pa55word" not in str(raised.value) + caplog.text
    finally:
        refusing.shutdown()
        thread.join()
        refusing.server_close()


@pytest.mark.slow
def test_a_server_that_is_down_for_a_while(tmp_path: Path, server: Server, caplog: pytest.LogCaptureFixture) -> None:
    own = Server(tmp_path)
    store = Store(tmp_path / "one", shared=own.url)
    put(store, OTHER)
    own.stop()
    put(store, A)
    assert f"{A.name} is kept in {store.folder} and uploaded later: cannot use the shared store s3://bucket/ours" in (
        caplog.text
    )
    with pytest.raises(
        StoreError, match=r"^cannot use the shared store s3://bucket/ours: .*NETWORK_CONNECTION"
    ) as raised:
        store.missing([LABELS])
    assert "pa55word" not in str(raised.value) + caplog.text
    own.start()
    try:
        assert store.upload() == []
        assert Store(tmp_path / "other", shared=own.url).open(A, files=True)
    finally:
        own.stop()
