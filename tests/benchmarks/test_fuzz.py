"""The fuzzing itself is tested: it finds what is planted, and what it has found once is refused."""

import json
import os
import sqlite3
import subprocess
import sys
import time
import zlib
from base64 import b64decode
from pathlib import Path

import pytest

from benchmarks.fuzz import __main__ as fuzz
from benchmarks.fuzz import damage
from benchmarks.fuzz.reader import Reader
from dmt_ray.errors import DataError
from tests.helpers.paths import ROOT

KNOWN = fuzz.readers()
NO_SIZE = zlib.decompress(
    b64decode(
        b"eNrz9NRi4GBgYBBgYGBkYWAEstiBmBHKZgViJkZmMFsBiJmhbJAONigbhPkYmRiEgPQ5IBaE6hUAEqJIasSQzBSHsuuBWIqRFcz+"
        b"AMTSUPYPINZA0msINJ+HAcKxhYozA3EwhH3VwrI4I7EgVclKIdpUR8E8tpYBHTCi4ZLMtLS0zJxUvYJKsHzFnM3Jf44f+TB/Y922"
        b"H8WuCw+3XnLImvRZnSP1+/zGiY2NF7ekHBY13t+iGm/WkvO5egHXwjcNQv8l/1tL/jQ4mxFVdOLEcs8mz6cGLZvSfxw+9GH+w/5J"
        b"p267Sj8/oql7MjZFo1je6aYhU+7v8wKb395d1sYxuTLtfY9E3owz7QEMBmCvgEC1EgC7bVNA"
    )
)
COLOURS = b'[{"name": "dark", "colour": [0, 0]}, {"name": "bright", "colour": [255, 255, 255]}]'
LEASE = {"operation": "x", "step": 0, "steps": 0, "host": "n", "pid": 1, "started": 1.5e15}
FOUND: list[tuple[str, bytes]] = [
    ("recipe", b"recipe: shapes\nfinetun: {epochs: 3}\n"),
    ("recipe", b"recipe: shapes\npercentiles: [true.0, 1]\n"),
    ("override", b"data.classes=[trueish, b]"),
    ("override", b"finetune.epochs=" + b"1" * 5000),
    ("mask values", b"{true 0 0: a, 0 0 0: b}"),
    ("list of images", b"/" * 200_000),
    ("list of labelled images", b'n 1\n/{"a":' * 30_000),
    ("table of groups", b"image,patient\na," + b"x" * 200_000),
    ("pattern of files", b"{id}{" + b"x" * 400_000 + b"}"),
    ("tracking URI", b"x" * 100_000),
    ("lease", json.dumps(LEASE).encode()),
    ("lease", b"[" * 100_000),
    ("journal's faults.jsonl", b'5\n[]\n"\xff"\n' + b"[" * 100_000),
    ("experiment.json", b"[]"),
    ("experiment.json", b"[" * 100_000),
    ("failed.json", b"[1]"),
    ("failed.json", b"\xff"),
    ("failed.json", b'{"a": [1]}'),
    ("notes on networks", b"[" * 100_000),
    ("image", NO_SIZE),
    ("mask plain", NO_SIZE),
    ("exported model_info.json", b"[" * 100_000),
    ("exported classes.json", COLOURS),
    ("exported preprocessor_config.json", b'{"size": "\xff"}'),
    ("MLmodel", b"flavors: [1"),
    ("MLmodel", b"flavors: {python_function: x}"),
    ("MLmodel", b"\xff"),
    ("served pictures", bytes([0, 4, 0, 9, 9, 3])),
    ("served pictures", bytes([0, 2, 9, 9])),
]


@pytest.mark.parametrize(("name", "content"), FOUND, ids=[f"{place}-{name}" for place, (name, _) in enumerate(FOUND)])
def test_what_was_found_once_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    assert KNOWN[name].attempt(content, tmp_path) in ("value", "refusal")


def test_a_record_with_nan_is_refused(tmp_path: Path) -> None:
    reader = KNOWN["record"]
    (_, text) = reader.seeds(tmp_path)
    assert reader.attempt(text.replace(b"2.5", b"NaN"), tmp_path) == "refusal"


@pytest.mark.parametrize("word", [b"index_columns", b"pandas_type", b"numpy_type", b"float64"])
def test_records_with_other_metadata_are_refused(tmp_path: Path, word: bytes) -> None:
    reader = KNOWN["records"]
    (content,) = reader.seeds(tmp_path)
    assert word in content
    assert reader.attempt(content.replace(word, b"x" * len(word)), tmp_path) in ("value", "refusal")


@pytest.mark.parametrize(
    "change",
    [
        "DROP TABLE trials",
        "DELETE FROM studies",
        "UPDATE trials SET state = 'LOST'",
        "UPDATE trial_params SET distribution_json = '{'",
        "UPDATE trial_user_attributes SET value_json = '{'",
        "UPDATE version_info SET schema_version = 'x'",
    ],
)
def test_a_study_with_something_else_in_it_is_refused(tmp_path: Path, change: str) -> None:
    reader = KNOWN["study.db"]
    (content,) = reader.seeds(tmp_path)
    file = tmp_path / "changed.db"
    file.write_bytes(content)
    with sqlite3.connect(file) as database:
        database.execute(change)
    database.close()
    assert reader.attempt(file.read_bytes(), tmp_path) in ("value", "refusal")


@pytest.mark.parametrize("name", KNOWN)
def test_the_first_damaged_files_of_every_reader_are_refused(tmp_path: Path, name: str) -> None:
    reader = KNOWN[name]
    (tmp_path / "valid").mkdir()
    seeds = reader.seeds(tmp_path / "valid")
    for number in range(4):
        reader.attempt(reader.content(0, number, seeds), tmp_path)


# ---- the fuzzing itself -------------------------------------------------------------------------------------------


def planted(read) -> Reader:
    """A reader with a fault."""
    return Reader(
        "file.txt", lambda folder: read((folder / "file.txt").read_bytes()), lambda _: [b"1234"], (DataError,)
    )


def refuse(text: str):
    def read(content: bytes) -> None:
        raise DataError(text)

    return read


def test_the_same_number_is_the_same_file() -> None:
    reader = planted(len)
    contents = [reader.content(7, number, [b"1234"]) for number in range(200)]
    assert contents == [reader.content(7, number, [b"1234"]) for number in range(200)]
    assert contents != [reader.content(8, number, [b"1234"]) for number in range(200)]
    assert len(set(contents)) > 150


@pytest.mark.parametrize(
    ("read", "outcome", "end"),
    [
        pytest.param(len, "value", "", id="a value"),
        pytest.param(refuse("file.txt is empty"), "refusal", "", id="a refusal"),
        pytest.param(refuse("it is empty"), "finding", "does not hold 'file.txt': it is empty", id="no name"),
        pytest.param(lambda content: {}["x"], "finding", "KeyError: 'x'", id="another error"),
        pytest.param(lambda content: bytearray(2**62), "finding", "MemoryError", id="memory"),
    ],
)
def test_what_comes_of_a_file_is_told_apart(tmp_path, read, outcome, end) -> None:
    found, text = fuzz.attempt(planted(read), b"1234", tmp_path)
    assert found == outcome
    assert text.strip().endswith(end)


def test_a_reader_that_hangs_is_found(tmp_path, monkeypatch) -> None:
    import signal

    def hang(content: bytes) -> None:
        while True:
            try:
                time.process_time()
            except Exception:
                continue

    monkeypatch.setattr(fuzz, "CPU_SECONDS", 0.1)
    before = signal.signal(signal.SIGPROF, fuzz.too_slow)
    try:
        found, text = fuzz.attempt(planted(hang), b"", tmp_path)
    finally:
        signal.signal(signal.SIGPROF, before)
    assert found == "finding"
    assert "TooSlow" in text


def test_repaired_files_are_read_again(tmp_path) -> None:
    for name in ("image", "weights", "records"):
        reader = KNOWN[name]
        (tmp_path / name).mkdir()
        for seed in reader.seeds(tmp_path / name):
            assert reader.repair is not None
            assert reader.repair(seed) == seed
    assert damage.closed(b'{"a": [1') == b'{"a": [1]}'


@pytest.mark.slow
def test_a_minute_of_it_finds_nothing(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "benchmarks.fuzz", "--minutes", "1", "--seed", "77", "--out", str(tmp_path / "out")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 findings" in done.stdout
