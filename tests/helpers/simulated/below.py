"""The simulated machines below `os`, `io`, `time` and `threading`, so that the store's code runs on them as it is.

Paths below /simulated belong to the machine that is running; all others, and whatever is done while no simulated thread
runs, go to the real system.
"""

import builtins
import datetime as dates
import errno
import functools
import io
import logging
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from pyarrow import fs  # type: ignore[import-untyped]

from dmt_ray.store import files, leases, shared, stage_dirs, store
from dmt_ray.store.record import Record
from tests.helpers.simulated.bucket import Bucket
from tests.helpers.simulated.files import Mount, Node, Place, Status
from tests.helpers.simulated.machines import Event, Lock, Pool, Process, Thread, World

ROOT = Path("/simulated")
_FIRST = 1_000_000_000  # descriptors of simulated files begin here
_TEXT = str(ROOT)


@contextmanager
def simulated(world: World, bucket: Bucket | None) -> Iterator[None]:
    """Run what the world's threads do on its machines; s3://bucket/prefix is the bucket."""
    calls = _Calls(world)

    def entered(process: Process) -> None:
        files.HOST = process.machine.name
        stage_dirs._digests = process.digests

    world.entered = entered
    real_kill, real_pid = os.kill, os.getpid

    def kill(pid: int, signal: int) -> None:
        if world.current is None:
            real_kill(pid, signal)
        elif pid not in world.current.process.machine.processes:
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))

    def clock() -> float:
        assert world.current is not None
        return 1.7e9 + world.now + world.current.process.machine.ahead

    def or_real(ours: Callable[..., Any], real: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *arguments: real(*arguments) if world.current is None else ours(*arguments)

    def connect(url: str) -> tuple[Bucket, str]:
        assert bucket is not None
        return bucket, "bucket/prefix"

    class Dates(dates.datetime):
        @classmethod
        def now(cls, tz: dates.tzinfo | None = None) -> dates.datetime:  # type: ignore[override]
            return dates.datetime.fromtimestamp(clock(), tz)

    def thread(target: Callable[[], None], **_: Any) -> Thread:
        assert world.current is not None
        return Thread(world, world.current.process, target)

    threading = SimpleNamespace(Thread=thread, Event=lambda: Event(world), Lock=lambda: Lock(world))
    with ExitStack() as stack:

        def change(where: Any, name: str, value: Any) -> None:
            stack.enter_context(patch.object(where, name, value))

        for name in ("stat", "lstat", "open", "mkdir", "rmdir", "unlink", "rename", "utime", "scandir"):
            change(os, name, calls.on_path(getattr(calls, name), getattr(os, name)))
        change(os, "remove", os.unlink)
        change(os, "replace", os.rename)
        change(os, "listdir", calls.on_path(calls.listdir, os.listdir))
        change(os, "statvfs", calls.on_path(calls.statvfs, os.statvfs))
        for name in ("fstat", "close", "fsync"):
            change(os, name, calls.on_descriptor(getattr(calls, name), getattr(os, name)))
        opened = calls.on_path(calls.open_file, io.open)
        change(io, "open", opened)
        change(builtins, "open", opened)
        change(os, "getpid", lambda: real_pid() if world.current is None else world.current.process.pid)
        change(os, "kill", kill)
        change(time, "time", or_real(clock, time.time))
        change(time, "time_ns", or_real(lambda: int(clock() * 1e9), time.time_ns))
        change(time, "monotonic", or_real(lambda: world.now, time.monotonic))
        change(time, "sleep", or_real(world.wait, time.sleep))
        token = or_real(lambda size: f"{world.choose.getrandbits(8 * size):0{2 * size}x}", secrets.token_hex)
        change(secrets, "token_hex", token)
        change(store, "datetime", Dates)
        change(leases, "threading", threading)
        change(shared, "ThreadPoolExecutor", lambda workers: Pool(world))
        change(
            shared,
            "fs",
            SimpleNamespace(
                FileSystem=SimpleNamespace(from_uri=connect), FileSelector=fs.FileSelector, FileType=fs.FileType
            ),
        )
        change(files, "HOST", files.HOST)
        change(stage_dirs, "_digests", stage_dirs._digests)
        # The same bytes are the same record: a third of the time went into reading them again.
        change(Record, "from_json", _record)
        logging.disable(logging.CRITICAL)
        stack.callback(logging.disable, logging.NOTSET)
        yield


_record = functools.lru_cache(4096)(Record.from_json)


class _Calls:
    """What `os` and `open` do for a path below /simulated."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._next = _FIRST

    # ---- which calls are ours ---------------------------------------------------------------------------------------

    def on_path(self, ours: Callable[..., Any], real: Callable[..., Any]) -> Callable[..., Any]:
        """`ours` for paths below /simulated, and for those that begin at a simulated folder that is open."""
        world = self.world

        def call(path: Any, *arguments: Any, **further: Any) -> Any:
            if world.current is None:
                return real(path, *arguments, **further)
            text: Any = path if type(path) is int else os.fspath(path)
            if type(text) is int:
                if text < _FIRST:
                    return real(path, *arguments, **further)
            elif not text.startswith(_TEXT) and (further.get("dir_fd") or further.get("src_dir_fd") or 0) < _FIRST:
                return real(path, *arguments, **further)
            return ours(text, *arguments, **further)

        return call

    def on_descriptor(self, ours: Callable[..., Any], real: Callable[..., Any]) -> Callable[..., Any]:
        """`ours` for simulated files that are open."""
        return lambda number: real(number) if number < _FIRST else ours(number)

    @property
    def _process(self) -> Process:
        assert self.world.current is not None
        return self.world.current.process

    @property
    def _mount(self) -> Mount:
        return self._process.machine.mount

    def _place(self, text: Any, folder: int | None = None) -> Place:
        if type(text) is not str:
            text = os.fspath(text)
        if text.startswith("/"):
            return Place(text, text.split("/")[2:])
        assert folder is not None
        return Place(text, text.split("/"), self._process.descriptors[folder])

    def _descriptor(self, node: Node) -> int:
        self._next += 1
        self._process.descriptors[self._next] = node
        return self._next

    def change(self, what: str, text: str, effect: Callable[[], Any], lost: int = errno.EIO) -> Any:
        """Do something to the disk; if its answer is lost, the client has asked again, and got `lost`."""
        fault = self.world.step(what, text, write=True)
        done = effect()
        if fault == "die":
            self.world.die()
        if fault == "lost" and self._mount.disk.network:
            raise OSError(lost, os.strerror(lost), text)
        return done

    # ---- os ---------------------------------------------------------------------------------------------------------

    def stat(self, text: Any, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> Status:
        if type(text) is int:
            return self.fstat(text)
        self.world.step("stat", text)
        return self._mount.status(self._place(text, dir_fd))

    lstat = stat

    def fstat(self, number: int) -> Status:
        return self._mount.fetch(self._process.descriptors[number])

    def open(self, text: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        assert not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        self.world.step("open", text)
        node = self._mount.open(self._place(text, dir_fd))
        if flags & os.O_DIRECTORY and node.entries is None:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), text)
        return self._descriptor(node)

    def close(self, number: int) -> None:
        del self._process.descriptors[number]

    def fsync(self, number: int) -> None:
        node = self._process.descriptors[number]
        if not self._mount.disk.network:
            self.change("fsync", "", lambda: self._mount.sync(node))

    def mkdir(self, text: str, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        place = self._place(text, dir_fd)
        self.change("mkdir", text, lambda: self._mount.mkdir(place), errno.EEXIST)

    def rmdir(self, text: str, *, dir_fd: int | None = None) -> None:
        place = self._place(text, dir_fd)
        self.change("rmdir", text, lambda: self._mount.remove(place, folder=True), errno.ENOENT)

    def unlink(self, text: str, *, dir_fd: int | None = None) -> None:
        place = self._place(text, dir_fd)
        self.change("unlink", text, lambda: self._mount.remove(place, folder=False), errno.ENOENT)

    def rename(self, text: str, target: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
        source, goal = self._place(text, src_dir_fd), self._place(target, dst_dir_fd)
        self.change("rename", f"{text} {target}", lambda: self._mount.rename(source, goal), errno.ENOENT)

    def utime(self, text: str, times: tuple[float, float] | None = None, *, dir_fd: int | None = None) -> None:
        place = self._place(text, dir_fd)
        self.change("utime", text, lambda: self._mount.touch(place, None if times is None else times[1]))

    def scandir(self, text: Any) -> "_Entries":
        if type(text) is int:
            above, node = "", self._process.descriptors[text]
        else:
            self.world.step("scandir", text)
            above, node = text, self._mount.open(self._place(text))
        return _Entries([_Entry(self, above, node, name, below) for name, below in self._mount.names(node)])

    def listdir(self, text: str) -> list[str]:
        return [entry.name for entry in self.scandir(text)]

    def statvfs(self, text: str) -> SimpleNamespace:
        return SimpleNamespace(f_bavail=1 << 30, f_frsize=1024, f_blocks=1 << 30, f_bfree=1 << 30)

    # ---- open -------------------------------------------------------------------------------------------------------

    def open_file(
        self,
        text: str,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        opener: Callable[[str, int], int] | None = None,
    ) -> Any:
        place = self._place(text)
        if "r" in mode:
            if opener is None:
                self.world.step("read", text)
                node = self._mount.open(place)
            else:
                number = opener(text, os.O_RDONLY)
                node = self._process.descriptors[number]
                self.close(number)
            if node.entries is not None:
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), text)
            reader = _Reader(node.content)
            reader.number = self._descriptor(node)
            return (
                reader if "b" in mode else io.TextIOWrapper(reader, encoding=encoding, errors=errors, newline=newline)
            )
        assert mode in ("w", "wb", "x", "xb"), mode
        exclusive = "x" in mode
        node = self.change("create", text, lambda: self._mount.create(place, exclusive=exclusive))
        return _Writer(self, text, node, None if "b" in mode else encoding or "utf-8")


class _Reader(io.BytesIO):
    number = 0

    def fileno(self) -> int:
        return self.number


class _Writer:
    """A file that is being written: its bytes reach the disk when it is flushed or closed."""

    def __init__(self, calls: _Calls, text: str, node: Node, encoding: str | None) -> None:
        self._calls, self._text, self._node, self._encoding = calls, text, node, encoding
        self._content, self._dirty, self._mount = b"", False, calls._mount
        self._number = calls._descriptor(node)

    def write(self, data: Any) -> int:
        self._content += data.encode(self._encoding) if self._encoding else bytes(data)
        self._dirty = True
        return len(data)

    def flush(self) -> None:
        if not self._dirty:
            return
        self._dirty = False
        world, content = self._calls.world, self._content
        fault = world.step("write", self._text, write=True)
        self._mount.write(self._node, content[: len(content) // 2] if fault == "short" else content)
        if fault == "die":
            world.die()
        if fault in ("short", "lost"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._text)

    def close(self) -> None:
        self.flush()
        self._calls._process.descriptors.pop(self._number, None)

    def fileno(self) -> int:
        return self._number

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Entries(list["_Entry"]):
    def __enter__(self) -> "_Entries":
        return self

    def __exit__(self, *_: object) -> None:
        pass


class _Entry:
    """What `os.scandir` names."""

    def __init__(self, calls: _Calls, above: str, node: Node, name: str, below: Node) -> None:
        self.name, self.path = name, f"{above}/{name}"
        self._calls, self._below = calls, below

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return self._below.entries is not None

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        return self._below.entries is None

    def is_symlink(self) -> bool:
        return False

    def stat(self, *, follow_symlinks: bool = True) -> Status:
        mode = stat.S_IFDIR if self._below.entries is not None else stat.S_IFREG
        return Status(mode, self._below.number, len(self._below.content), self._below.mtime)
