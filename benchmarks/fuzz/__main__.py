"""Do the readers of files from outside refuse every damaged file?

Each reader gets damaged files, made from valid ones at random. It must give a value, or raise our own error whose
message names the file, within CPU_SECONDS and MEMORY. Anything else is a finding: its file and its traceback lie in the
folder of the findings. What was tried is added up in state.json there; started again, it goes on from where it was.

    python -m benchmarks.fuzz --minutes 60 --seed 0
    python -m benchmarks.fuzz --replay "recipe:1234" --seed 0
"""

import argparse
import hashlib
import json
import logging
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .reader import Reader

ROOT = Path(__file__).resolve().parents[2]
CPU_SECONDS = 10.0  # of one file
MEMORY = 1 << 30  # bytes, beyond what the process has before the first file
SLICE = 3.0  # seconds of one reader before the next one's turn
WALL_SECONDS = 600.0  # without a next file after which the process is ended
MOST_PIXELS = 4_000_000  # that an image may have here, in place of 179 millions


class TooSlow(BaseException):
    """A file has taken more than CPU_SECONDS; no reader can take this for an error of the file."""


def main() -> int:
    """Try the readers, in a process of its own that is started again when it dies."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--minutes", type=float, default=5.0)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--out", type=Path, default=Path("runs/fuzz"), help="folder of the findings")
    options.add_argument("--only", nargs="+", metavar="READER", help="these readers alone")
    options.add_argument("--replay", metavar="READER:NUMBER", help="one file once more, with its traceback")
    options.add_argument("--until", type=float, help=argparse.SUPPRESS)  # of the process that reads
    chosen = options.parse_args()
    if chosen.replay is not None:
        name, _, number = chosen.replay.rpartition(":")
        return replay(name, number, chosen.seed)
    if chosen.until is not None:
        attempt_all(chosen.seed, chosen.out, chosen.until, chosen.only)
        return 0
    chosen.out.mkdir(parents=True, exist_ok=True)
    until = time.time() + 60 * chosen.minutes
    words = ["--seed", str(chosen.seed), "--out", str(chosen.out.absolute()), "--until", str(until)]
    words += ["--only", *chosen.only] if chosen.only else []
    while time.time() < until:
        watch(subprocess.Popen([sys.executable, "-m", "benchmarks.fuzz", *words], cwd=ROOT), chosen.out)
    return summary(chosen.out)


def readers() -> "dict[str, Reader]":
    """All readers by name."""
    from . import bundles, pictures, stored, texts, trained

    return texts.READERS | stored.READERS | bundles.READERS | pictures.READERS | trained.READERS


def watch(process: "subprocess.Popen[bytes]", out: Path) -> None:
    """Wait for the process that reads; one that dies or stands still has found something."""
    current = out / "current.json"
    current.unlink(missing_ok=True)
    while process.poll() is None:
        time.sleep(1)
        if current.exists() and time.time() - current.stat().st_mtime > WALL_SECONDS:
            process.kill()
            process.wait()
    if process.returncode:
        if not current.exists():
            raise SystemExit(process.returncode)
        state = State(out)
        name, number = json.loads(current.read_text(encoding="utf-8"))
        state.inputs[name] = number + 1
        state.note(name, number, f"the process ended with status {process.returncode}", b"")
        state.write()


class State:
    """What was tried so far."""

    def __init__(self, out: Path) -> None:
        self._file, self._findings = out / "state.json", out / "findings"
        values = json.loads(self._file.read_text(encoding="utf-8")) if self._file.exists() else {}
        self.inputs, self.values, self.refusals, self.seconds, self.findings = (
            Counter(values.get(name, {})) for name in ("inputs", "values", "refusals", "seconds", "findings")
        )

    def write(self) -> None:
        """Keep it for the next start."""
        self._file.write_text(
            json.dumps({name: each for name, each in vars(self).items() if not name.startswith("_")}, indent=1),
            encoding="utf-8",
        )

    def note(self, name: str, number: int, text: str, content: bytes) -> None:
        """Keep a finding, once for each place in the code."""
        frames = [line.strip() for line in text.splitlines() if line.strip().startswith("File ")]
        ours = [frame for frame in frames if "/dmt_ray/" in frame]
        place = f"{name} {ours[-1:]} {frames[-1:]} {text.strip().splitlines()[-1][:60]}"
        known = hashlib.sha256(place.encode()).hexdigest()[:12]
        self.findings[known] += 1
        if self.findings[known] == 1:
            self._findings.mkdir(exist_ok=True)
            (self._findings / f"{known}.txt").write_text(f"{name}:{number}\n{text}", encoding="utf-8")
            (self._findings / f"{known}.bin").write_bytes(content)
            print(f"{name}:{number} {text.strip().splitlines()[-1][:200]}", file=sys.stderr, flush=True)


def prepare() -> None:
    """Limit the memory of this process, and silence warnings about damaged files."""
    logging.disable()
    warnings.simplefilter("ignore")
    os.environ["DMT_MAX_PIXELS"] = str(MOST_PIXELS)
    used = int((Path("/proc/self/statm")).read_text(encoding="utf-8").split()[5]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_DATA, (used + MEMORY, used + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def too_slow(number: int, frame: FrameType | None) -> None:
    """End the reading of a file."""
    raise TooSlow


def attempt(reader: "Reader", content: bytes, folder: Path) -> tuple[str, str]:
    """What comes of one file: "value", "refusal" or "finding", and the traceback of the latter."""
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    try:
        return reader.attempt(content, folder), ""
    except (Exception, TooSlow):
        return "finding", "".join(traceback.format_exc(limit=-30))
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def attempt_all(seed: int, out: Path, until: float, only: Sequence[str] | None) -> None:
    """Try the readers in turn."""
    state, known = State(out), readers()
    chosen = {name: known[name] for name in only or known}
    with TemporaryDirectory(prefix="fuzz-") as temporary:
        signal.signal(signal.SIGPROF, too_slow)
        valid: dict[str, Sequence[bytes]] = {}
        for number, (name, reader) in enumerate(chosen.items()):
            made = Path(temporary) / f"valid {number}"
            made.mkdir()
            valid[name] = reader.seeds(made)
            (Path(temporary) / str(number)).mkdir()
            # Some that one setting of a reader reads are refused under another.
            outcomes = {attempt(reader, content, Path(temporary) / str(number))[0] for content in valid[name]}
            assert "value" in outcomes, f"{name} refuses all valid files"
        prepare()
        while time.time() < until:
            for place, (name, reader) in enumerate(chosen.items()):
                begun = time.monotonic()
                while time.monotonic() - begun < SLICE:
                    number = state.inputs[name]
                    (out / "current.json").write_text(json.dumps([name, number]), encoding="utf-8")
                    content = reader.content(seed, number, valid[name])
                    outcome, text = attempt(reader, content, Path(temporary) / str(place))
                    state.inputs[name] += 1
                    if outcome == "finding":
                        state.note(name, number, text, content)
                    else:
                        (state.values if outcome == "value" else state.refusals)[name] += 1
                state.seconds[name] += time.monotonic() - begun  # type: ignore[assignment]
                state.write()
                if time.time() >= until:
                    break


def replay(name: str, number: str, seed: int) -> int:
    """Read one file once more, and show what comes of it."""
    reader = readers()[name]
    with TemporaryDirectory(prefix="fuzz-") as temporary:
        (Path(temporary) / "valid").mkdir()
        content = reader.content(seed, int(number), reader.seeds(Path(temporary) / "valid"))
        prepare()
        signal.signal(signal.SIGPROF, too_slow)
        outcome, text = attempt(reader, content, Path(temporary))
    print(f"{content[:2000]!r}\n{len(content)} bytes: {outcome}\n{text}")
    return outcome == "finding"


def summary(out: Path) -> int:
    """Print what was tried; the exit status says whether something was found."""
    state = State(out)
    print(f"{'reader':28}{'files':>10}{'read':>10}{'refused':>10}{'minutes':>9}")
    for name, inputs in state.inputs.items():
        minutes = state.seconds[name] / 60
        print(f"{name:28}{inputs:10,}{state.values[name]:10,}{state.refusals[name]:10,}{minutes:9.1f}")
    total, minutes = sum(state.inputs.values()), sum(state.seconds.values()) / 60
    print(f"{total:,} files in {minutes:.0f} minutes, {len(state.findings)} findings in {out}")
    return bool(state.findings)


if __name__ == "__main__":
    sys.exit(main())
