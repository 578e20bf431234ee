"""A disk that fails at its n-th operation, and one that loses what was not synced when the power goes.

All file operations of Python pass through `os` and `io`: that is where they are counted, so that code which a test has
forgotten is counted as well. Only files below one folder count.
"""

import builtins
import errno
import io
import os
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple
from unittest.mock import patch

Kind = Literal["error", "short", "death"]
KINDS: tuple[Kind, ...] = ("error", "short", "death")
DEAD = 4_000_001  # a process that has never been: above the largest number that a system gives


class Died(BaseException):
    """The process has ended: nothing that it would do later happens."""


class Operation(NamedTuple):
    """Something that was done to the disk.

    `target` is the new name of a rename; of a write the byte at which it starts, and of a truncation the new length.
    `data` are the bytes of a write.
    """

    what: str
    path: str
    target: str = ""
    data: bytes = b""


@dataclass
class Disk:
    """Counts the operations below a folder, keeps them, and fails at one of them.

    Attributes:
        folder: Where operations count.
        at: The operation that fails, from 1; 0: none does.
        kind: "error": it does nothing and raises; "short": a write gets half of its bytes to the disk and raises;
            "death": a write gets half of its bytes to the disk, and the process ends there.
        log: What was done.
    """

    folder: Path
    at: int = 0
    kind: Kind = "error"
    number: int = errno.EIO
    log: list[Operation] = field(default_factory=list)
    count: int = 0
    dead: bool = False
    current: ClassVar["Disk | None"] = None  # the one that is mounted

    def counts(self, path: object, descriptor: int | None = None) -> str | None:
        """The absolute path as text, if operations on it count."""
        if isinstance(path, int):
            return None
        text = os.fspath(path)  # type: ignore[call-overload]
        text = os.fsdecode(text)
        if descriptor is not None and not os.path.isabs(text):
            text = os.path.join(os.readlink(f"/proc/self/fd/{descriptor}"), text)
        text = os.path.abspath(text)
        return text if text.startswith(f"{self.folder}{os.sep}") or text == str(self.folder) else None

    def step(self, operation: Operation) -> bytes | None:
        """Count an operation. Returns what gets to the disk of a write that fails; None: it does not fail."""
        if self.dead:
            raise Died
        self.count += 1
        if self.count != self.at:
            self.log.append(operation)
            return None
        if self.kind == "error" or operation.what != "write":
            self.fail(operation.path)
        return operation.data[: len(operation.data) // 2]

    def fail(self, path: str) -> None:
        """End the process, or raise the error."""
        if self.kind == "death":
            self.dead = True
            raise Died
        raise OSError(self.number, os.strerror(self.number), path)

    @contextmanager
    def mounted(self) -> Iterator["Disk"]:
        """Put the disk below `os` and `io`, and be a process of its own, which is dead afterwards."""
        real_kill = os.kill

        def kill(pid: int, signal: int) -> None:
            if pid != DEAD:
                real_kill(pid, signal)

        with ExitStack() as stack:
            for name in ("rename", "replace", "link"):
                stack.enter_context(patch.object(os, name, self._two_paths(name, getattr(os, name))))
            for name in ("unlink", "remove", "mkdir", "rmdir", "utime"):
                stack.enter_context(patch.object(os, name, self._one_path(name, getattr(os, name))))
            stack.enter_context(patch.object(os, "fsync", self._fsync(os.fsync)))
            opened = self._open(io.open)
            stack.enter_context(patch.object(io, "open", opened))
            stack.enter_context(patch.object(builtins, "open", opened))
            stack.enter_context(patch.object(os, "getpid", lambda: DEAD))
            stack.enter_context(patch.object(os, "kill", kill))
            stack.enter_context(patch.object(Disk, "current", self))
            yield self

    def _two_paths(self, name: str, real: Callable[..., None]) -> Callable[..., None]:
        def operation(source: Any, target: Any, **further: Any) -> None:
            path = self.counts(source, further.get("src_dir_fd"))
            if path is not None:
                self.step(Operation(name, path, self.counts(target, further.get("dst_dir_fd")) or ""))
            real(source, target, **further)

        return operation

    def _one_path(self, name: str, real: Callable[..., None]) -> Callable[..., None]:
        def operation(path: Any, *arguments: Any, **further: Any) -> None:
            counted = self.counts(path, further.get("dir_fd"))
            if counted is not None:
                self.step(Operation("unlink" if name == "remove" else name, counted))
            real(path, *arguments, **further)

        return operation

    def _fsync(self, real: Callable[[int], None]) -> Callable[[int], None]:
        def fsync(descriptor: int) -> None:
            path = self.counts(os.readlink(f"/proc/self/fd/{descriptor}"))
            if path is not None:
                self.step(Operation("fsync", path))
            real(descriptor)

        return fsync

    def _open(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def opened(file: Any, mode: str = "r", *arguments: Any, **further: Any) -> Any:
            path = self.counts(file)
            if path is None:
                return real(file, mode, *arguments, **further)
            writes = any(letter in mode for letter in "wxa+")
            there = os.path.exists(path)
            what = "read" if not writes else "truncate" if there and "w" in mode else "open" if there else "create"
            if what == "create" and not os.path.isdir(os.path.dirname(path)):
                return real(file, mode, *arguments, **further)  # its error
            if there and "x" in mode:
                return real(file, mode, *arguments, **further)
            self.step(Operation(what, path))
            if not writes:
                return real(file, mode, *arguments, **further)
            raw = _Raw(self, path, mode.replace("b", "").replace("t", ""))
            if (arguments[0] if arguments else further.get("buffering", -1)) == 0:
                return raw
            buffered: Any = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
            if "b" in mode:
                return buffered
            text = {name: further[name] for name in ("encoding", "errors", "newline") if name in further}
            return io.TextIOWrapper(buffered, **text)

        return opened


class _Raw(io.FileIO):
    def __init__(self, disk: Disk, path: str, mode: str) -> None:
        super().__init__(path, mode)
        self._disk, self._path = disk, path

    def truncate(self, size: int | None = None) -> int:
        self._disk.step(Operation("truncate", self._path, str(self.tell() if size is None else size)))
        return super().truncate(size)

    def write(self, data: Any) -> int:
        content = bytes(data)
        if self._disk.dead:
            raise Died
        offset = os.lseek(self.fileno(), 0, os.SEEK_END if "a" in self.mode else os.SEEK_CUR)
        arrived = self._disk.step(Operation("write", self._path, str(offset), content))
        if arrived is not None:
            super().write(arrived)
            self._disk.fail(self._path)
        return super().write(content)

    def close(self) -> None:
        with suppress(Died):
            super().close()


def copy_of(start: Path) -> Path:
    """Where `fresh_copy` puts the copy of a folder: always the same path, since some files hold it."""
    return start.with_name(f"{start.name}-copy")


def fresh_copy(start: Path) -> Path:
    """A copy of a folder beside it, in place of the one before."""
    shutil.rmtree(copy_of(start), ignore_errors=True)
    shutil.copytree(start, copy_of(start), symlinks=True)
    return copy_of(start)


class Tally(NamedTuple):
    """How many faults were injected, and into how many operations."""

    operations: int
    faults: int


def _goes_on(
    folder: Path,
    scenario: Callable[[Path], object],
    check: Callable[[Path], None],
    settle: Callable[[Path], object],
    what: str,
) -> None:
    """Check a folder after `what` befell it, run the scenario undisturbed, and check again."""
    try:
        check(folder)
        settle(folder)
        scenario(folder)
        check(folder)
    except BaseException as error:
        error.add_note(what)
        raise


def every_fault(
    start: Path,
    scenario: Callable[[Path], object],
    check: Callable[[Path], None],
    *,
    known: type[Exception] | tuple[type[Exception], ...],
    kinds: tuple[Kind, ...] = KINDS,
    number: int = errno.EIO,
    settle: Callable[[Path], object] = lambda folder: None,
) -> Tally:
    """Run a scenario with a fault at its first operation, its second, ..., until none is hit.

    After each fault `check` looks at the folder; the scenario runs again, undisturbed, and `check` looks once more.

    Args:
        start: A folder as it is before; each attempt gets a copy beside it.
        scenario: What is done in the copy.
        check: What must be so afterwards, fault or not; it may read and write.
        known: The errors that the scenario may raise: any other one is a failure of the test.
        kinds: The faults at each operation.
        number: errno of the errors.
        settle: What time does to the folder before the scenario runs again.
    """
    faults = operations = 0
    for kind in kinds:
        at = 0
        while True:
            at += 1
            folder = fresh_copy(start)
            disk = Disk(folder, at, kind, number)
            with suppress(Died, *(known if isinstance(known, tuple) else (known,))), disk.mounted():
                scenario(folder)
            if disk.count < at:
                break
            faults += 1
            _goes_on(
                folder, scenario, check, settle, f"after a fault ({kind}) at operation {at}, behind {disk.log[-3:]}"
            )
        operations = at - 1
    return Tally(operations, faults)


# ---- the power goes ----------------------------------------------------------------------------------------------


class _File:
    def __init__(self, content: bytes = b"") -> None:
        self.content = self.durable = content

    def survives(self, choose: random.Random) -> bytes:
        if self.content == self.durable:
            return self.content
        return choose.choice([self.content, self.durable, self.content[: len(self.content) // 2]])


class _Folder:
    def __init__(self) -> None:
        self.entries: dict[str, _File | _Folder] = {}  # as the process sees them
        self.durable: dict[str, _File | _Folder] = {}

    def survives(self, target: Path, choose: random.Random) -> None:
        target.mkdir()
        for name, node in self.durable.items():
            if isinstance(node, _Folder):
                node.survives(target / name, choose)
            else:
                (target / name).write_bytes(node.survives(choose))


class _Change(NamedTuple):
    """Names that appear or go (None) at once."""

    names: tuple[tuple[_Folder, str, _File | _Folder | None], ...]

    def apply(self, attribute: Literal["entries", "durable"]) -> None:
        for folder, name, node in self.names:
            entries = getattr(folder, attribute)
            entries.pop(name, None)
            if node is not None:
                entries[name] = node


def after_power_cut(start: Path, log: Sequence[Operation], target: Path, seed: int) -> None:
    """Write what a disk may hold if the power goes right behind these operations.

    What was synced is there: a file's bytes once the file was, a name once its folder was. Of the rest each name may be
    there or not, for itself (a rename as a whole), and of a file's bytes none, half or all.

    Args:
        start: The folder before the operations, all of it synced.
        log: What was done in a copy of it, in order, as `Disk.log` has it.
        target: Where the outcome is written; replaced.
        seed: Of the choice.
    """
    choose = random.Random(seed)
    root = _read(start)
    below = str(copy_of(start))
    pending: list[_Change] = []
    for operation in log:
        path, new = (text.removeprefix(below).strip("/").split("/") for text in (operation.path, operation.target))
        if operation.what == "fsync":
            node = _find(root, path)
            if isinstance(node, _File):
                node.durable = node.content
            else:
                synced = [change for change in pending if any(folder is node for folder, _, _ in change.names)]
                for change in synced:
                    change.apply("durable")
                pending = [change for change in pending if change not in synced]
        elif operation.what in ("write", "truncate"):
            file = _find(root, path)
            assert isinstance(file, _File)
            offset = int(operation.target or 0)
            tail = file.content[offset + len(operation.data) :] if operation.what == "write" else b""
            file.content = file.content[:offset] + operation.data + tail
        elif (change := _change(root, operation.what, path, new)) is not None:
            change.apply("entries")
            pending.append(change)
    for kept in pending:
        if choose.random() < 0.5:
            kept.apply("durable")
    shutil.rmtree(target, ignore_errors=True)
    root.survives(target, choose)


def every_power_cut(
    start: Path,
    scenario: Callable[[Path], object],
    check: Callable[[Path], None],
    *,
    settle: Callable[[Path], object] = lambda folder: None,
    choices: int = 3,
) -> int:
    """Run a scenario, and let the power go before its first operation, behind it, behind the second, ...

    After each cut `check` looks at what the disk holds; then the scenario runs again, and `check` looks once more.

    Args:
        start: A folder as it is before.
        scenario: What is done in a copy of it.
        check: What must be so afterwards.
        settle: What time does to the folder before the scenario runs again.
        choices: How many of the states in which the disk may be are tried for each moment.

    Returns:
        The number of states.
    """
    folder = fresh_copy(start)
    with Disk(folder).mounted() as disk:
        scenario(folder)
    for at in range(len(disk.log) + 1):
        for seed in range(choices):
            after_power_cut(start, disk.log[:at], folder, seed)
            _goes_on(
                folder,
                scenario,
                check,
                settle,
                f"the power went behind operation {at}, {disk.log[max(0, at - 3) : at]} (choice {seed})",
            )
    return (len(disk.log) + 1) * choices


def _change(root: _Folder, what: str, path: list[str], new: list[str]) -> _Change | None:
    """What an operation does to names; None where the system refused it, or where it does nothing to them."""
    folder, node = _find(root, path[:-1]), _find(root, path)
    if not isinstance(folder, _Folder):
        return None
    if what in ("create", "mkdir") and node is None:
        return _Change(((folder, path[-1], _File() if what == "create" else _Folder()),))
    if what in ("unlink", "rmdir") and node is not None and not (isinstance(node, _Folder) and node.entries):
        return _Change(((folder, path[-1], None),))
    if what in ("rename", "replace", "link") and node is not None:
        there, beside = _find(root, new), _find(root, new[:-1])
        if not isinstance(beside, _Folder) or (isinstance(there, _Folder) and there.entries):
            return None
        gone = () if what == "link" else ((folder, path[-1], None),)
        return _Change((*gone, (beside, new[-1], node)))
    return None


def _find(root: _Folder, path: list[str]) -> _File | _Folder | None:
    node: _File | _Folder | None = root
    for name in path:
        if name:
            node = node.entries.get(name) if isinstance(node, _Folder) else None
    return node


def _read(folder: Path) -> _Folder:
    tree = _Folder()
    for path in folder.iterdir():
        tree.entries[path.name] = _read(path) if path.is_dir() else _File(path.read_bytes())
    tree.durable = dict(tree.entries)
    return tree
