"""The object store that machines share, given by a URL.

Below the URL lies, for every stage, its record, and beside it the files in a folder named by the digest of them all::

    stages/pretrain/<key>/record.json
    stages/pretrain/<key>/<digest>/model.safetensors

The record is written last: without it a stage does not exist, so that an upload that is killed half-way does no harm.
Object stores cannot refuse a second writer. But two machines whose results of the same work differ (as on GPUs) write
into different folders, and the last record names only files of its own machine. Nothing is ever removed.
"""

import re
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import pyarrow  # type: ignore[import-untyped]
from pyarrow import fs

from dmt_ray.errors import StoreError
from dmt_ray.plan.key import KEY_LENGTH
from dmt_ray.store import files
from dmt_ray.store.record import RECORD, Record
from dmt_ray.store.stage_dirs import StagePath

FRESH = 10.0  # seconds for which a list of an operation's stages is good
# Seconds before a request is repeated; the libraries for S3 and GCS have by then tried several times.
PAUSES = (2.0, 8.0)
_SHARE = 20  # a list that took a second is good for at least that many: listing never takes more than 5 % of the time
_AT_ONCE = 4  # files of a stage that are on their way at the same time
_CHUNK = 8 * 2**20  # bytes
_LONGEST_RECORD = 2**20  # bytes
_TRIES = 2  # downloads of a file that does not come out as its record says
_FLAT = {"s3", "gcs", "abfs"}  # have no folders that must be made, and show an object only when it is whole
_OPTIONS = {
    "s3": "allow_delayed_open=true",  # a small file goes in one request instead of three
    "gs": "retry_limit_seconds=10",  # instead of a quarter of an hour
}

Answer = TypeVar("Answer")


class Shared:
    """Stages in an object store, found by operation and key.

    Stages are never removed, so that a process looks each up once until it exists. A stage that does not exist yet is
    looked up in a list of all stages of its operation (one request for 1000 objects), which is good for ten seconds.

    Args:
        url: Whatever `pyarrow.fs.FileSystem.from_uri` understands: s3://bucket/prefix, gs://bucket/prefix,
            file:///folder. Of another server than Amazon's, ``?endpoint_override=host:port&scheme=http``. Credentials
            come from the environment.

    Raises:
        StoreError: If it is no URL, or holds a password. No request is made yet.
    """

    def __init__(self, url: str) -> None:
        # A secret key may hold slashes, so that a parser would take a part of it for the path.
        if re.match(r"[^?]*://[^?]*:[^?]*@", url):
            raise StoreError(
                "the URL of a shared store must not hold a password. Pass credentials by the environment, "
                "for example AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
            )
        self.name = url.split("?")[0].rstrip("/")  # without options: this one is shown
        if not re.fullmatch(r"[a-z][a-z0-9+.-]*://.*[^/].*", self.name):
            raise StoreError(
                f"a shared store is given by a URL, for example s3://bucket/prefix or file:///folder, "
                f"but got {self.name!r}"
            )
        self._url = url
        self._known: set[str] = set()
        self._good_until: dict[str, float] = {}  # monotonic seconds, of the list of each operation

    # ---- looking up -------------------------------------------------------------------------------------------------

    def has(self, stage_path: StagePath, *, afresh: bool = False) -> bool:
        """Whether a stage exists.

        Args:
            stage_path: The stage.
            afresh: Whether to request this stage now, instead of trusting a list of the last seconds.

        Raises:
            StoreError: If the server does not answer.
        """
        if stage_path.name in self._known:
            return True
        if afresh:
            (info,) = self._request(lambda: self._files.get_file_info([self._path(stage_path, RECORD)]))
            if info.is_file:
                self._known.add(stage_path.name)
        elif time.monotonic() >= self._good_until.get(stage_path.operation, 0.0):
            self._list(stage_path.operation)
        return stage_path.name in self._known

    def stages(self) -> list[tuple[str, str]]:
        """Operation and key of all stages, sorted.

        Raises:
            StoreError: If the server does not answer.
        """
        paths = [info.path.split("/")[-3:] for info in self._objects("stages") if info.is_file]
        # Whatever else lies there is no stage.
        name_of_stage = re.compile(rf"[a-z][a-z_]{{0,31}}/[0-9a-f]{{{KEY_LENGTH}}}")
        stages = {(operation, key) for operation, key, name in paths if name == RECORD}
        return sorted(stage for stage in stages if name_of_stage.fullmatch("/".join(stage)))

    def _objects(self, folder: str) -> Any:
        options = {"recursive": True, "allow_not_found": True}
        return self._request(lambda: self._files.get_file_info(fs.FileSelector(f"{self._root}/{folder}", **options)))

    def _list(self, operation: str) -> None:
        begun = time.monotonic()
        objects = self._objects(f"stages/{operation}")
        for info in objects:
            key, name = info.path.split("/")[-2:]
            if name == RECORD and info.is_file:
                self._known.add(f"{operation}-{key}")
        if not objects and self._files.type_name == "s3":  # which lists a bucket that does not exist as an empty one
            bucket = self._root.split("/")[0]
            if self._request(lambda: self._files.get_file_info([bucket]))[0].type == fs.FileType.NotFound:
                raise self._unusable(f"there is no bucket {bucket!r}")
        ended = time.monotonic()
        self._good_until[operation] = ended + max(FRESH, _SHARE * (ended - begun))

    # ---- downloading -------------------------------------------------------------------------------------------------

    def record(self, stage_path: StagePath) -> Record | None:
        """The record of a stage, checked to belong to it; None if the stage does not exist.

        Raises:
            ValueError: If it is broken or belongs to another stage; the message is half a sentence.
            StoreError: If the server does not answer.
        """

        def read() -> Any:
            with self._files.open_input_stream(self._path(stage_path, RECORD), compression=None) as source:
                return source.read(_LONGEST_RECORD + 1)

        try:
            text = self._request(read)
        except FileNotFoundError:
            self._known.discard(stage_path.name)
            return None
        if len(text) > _LONGEST_RECORD:
            raise ValueError(f"{RECORD} has more than {_LONGEST_RECORD} bytes")
        record = Record.from_json(text)
        record.check_identity(stage_path.operation, stage_path.key)
        if record.evicted or RECORD in record.files:
            raise ValueError(f"{RECORD} is not that of a whole stage")
        return record

    def get(self, stage_path: StagePath, record: Record, names: list[str], folder: Path) -> None:
        """Download files of a stage, and check them against its record: the size first, then the bytes.

        Raises:
            ValueError: If a file is missing or not what the record says; the message is half a sentence.
            StoreError: If the server does not answer.
        """
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lambda name: self._get(stage_path, record, name, folder / name), names))

    def _get(self, stage_path: StagePath, record: Record, name: str, target: Path) -> None:
        for _ in range(_TRIES):
            path = self._path(stage_path, record.digest, name)
            try:
                source = self._request(partial(self._files.open_input_file, path))
            except FileNotFoundError:
                raise ValueError(f"{name} is missing") from None
            with source, target.open("wb") as file:
                if source.size() != record.sizes[name]:
                    raise ValueError(f"{name} has {source.size()} bytes instead of {record.sizes[name]}")
                while chunk := self._request(partial(source.read, _CHUNK)):
                    file.write(chunk)
            if files.digest(target) == record.files[name]:
                files.sync(target)
                return
        raise ValueError(f"{name} is altered (its digest does not agree)")

    # ---- uploading -------------------------------------------------------------------------------------------------

    def put(self, stage_path: StagePath, record: Record, folder: Path) -> None:
        """Upload a stage: its files, then its record.

        Raises:
            StoreError: If the server refuses it. What was uploaded so far does no harm.
        """

        def put(name: str) -> None:
            with (folder / name).open("rb") as content:
                self._request(lambda: self._write(content, self._path(stage_path, record.digest, name)))

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(put, record.files))
        text = BytesIO(record.to_json().encode())
        self._request(lambda: self._write(text, self._path(stage_path, RECORD)))
        self._known.add(stage_path.name)

    def _write(self, content: BinaryIO, path: str) -> None:
        content.seek(0)
        draft = path
        if self._files.type_name not in _FLAT:
            draft = files.staging_name(path)
            self._files.create_dir(path.rpartition("/")[0])
        with self._files.open_output_stream(draft, compression=None) as target:
            shutil.copyfileobj(content, target, _CHUNK)
        if draft != path:
            self._files.move(draft, path)

    # ---- the server ---------------------------------------------------------------------------------------------

    @cached_property
    def _connection(self) -> tuple[Any, str]:
        url, option = self._url, _OPTIONS.get(self._url.split(":")[0], "")
        if option and option.split("=")[0] + "=" not in url:
            url += f"{'&' if '?' in url else '?'}{option}"
        files, root = fs.FileSystem.from_uri(url)
        return files, root.rstrip("/")

    @property
    def _files(self) -> Any:
        return self._connection[0]

    @property
    def _root(self) -> str:
        return self._connection[1]

    def _path(self, stage_path: StagePath, *below: str) -> str:
        return "/".join((self._root, "stages", stage_path.operation, stage_path.key, *below))

    def _request(self, request: Callable[[], Answer]) -> Answer:
        for pause in (*PAUSES, None):
            try:
                return request()
            except FileNotFoundError:  # an answer, too
                raise
            except (OSError, pyarrow.ArrowException) as error:
                if pause is None or isinstance(error, ValueError | PermissionError):
                    raise self._unusable(str(error)) from error
                time.sleep(pause)
        raise AssertionError  # the last pause is None

    def _unusable(self, reason: str) -> StoreError:
        reason = " ".join(reason.replace(self._url, self.name).split()).rstrip(".")
        return StoreError(
            f"cannot use the shared store {self.name}: {reason}. "
            f"Check the URL, the network and the credentials in the environment."
        )
