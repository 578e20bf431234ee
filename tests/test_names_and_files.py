"""Names that are made safe stay distinct; what the operating system refuses is said with the file it is about."""

import errno
import os
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmt_ray.files import sqlite_url, system_error
from dmt_ray.results import names

PROFILE = settings(derandomize=True, database=None, deadline=None, max_examples=50)


@given(st.lists(st.text(max_size=300), max_size=6))
@PROFILE
def test_distinct_names_stay_distinct_and_mlflow_takes_them(given_names):
    from mlflow.utils.validation import _validate_metric_name

    forms = names.distinct(given_names, names.metric)
    assert set(forms) == set(given_names)
    assert len({form.casefold() for form in forms.values()}) == len(forms)
    for form in forms.values():
        _validate_metric_name(f"per_class/labels_coverage.{form}")
        _validate_metric_name(f"per_class/iou_selection.{form}")


def test_names_that_mlflow_takes_stay_as_they_are():
    assert names.distinct(["traffic light", "Straße", "道路"], names.metric) == {
        "traffic light": "traffic light",
        "Straße": "Straße",
        "道路": "道路",
    }


def test_names_that_differ_in_a_sign_alone_stay_apart():
    assert names.distinct(["tree (dead)", "tree [dead]"], names.metric) == {
        "tree (dead)": "tree _dead_",
        "tree [dead]": "tree _dead__",
    }


@pytest.mark.parametrize("name", [".", "..", ""])
def test_a_folder_is_no_name(name):
    assert names.metric(name) == "_" + name


@pytest.mark.parametrize(
    ("name", "expected"), [("components-voc-1/8", "components-voc-1-8"), ("labelled ratio", "labelled-ratio")]
)
def test_usual_names_of_files(name, expected):
    assert names.file(name) == expected


def test_odd_names_of_files_stay_apart():
    assert len({names.file(name) for name in ("it's", "it&s", "it s", "道路", "建物")}) == 5


@given(st.text(max_size=300))
@PROFILE
def test_every_name_is_a_file(name):
    safe = names.file(name)
    assert len(os.fsencode(safe)) < 200
    assert safe.strip(".")
    assert set(safe) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


def test_the_url_of_a_database_leads_to_its_file(tmp_path):
    for name in ("a%20b", "x?y", "z#1", "plain name", "ü"):
        file = tmp_path / name / "study.db"
        file.parent.mkdir()
        from sqlalchemy import create_engine, text

        engine = create_engine(sqlite_url(file))
        with engine.connect() as connection:
            connection.execute(text("CREATE TABLE t (x)"))
        engine.dispose()
        assert file.is_file()


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, "the disk is full, or a limit on file sizes was reached (/x/y). Free space"),
        (errno.EROFS, "Read-only file system (/x/y). Allow writing there"),
        (errno.EACCES, "Permission denied (/x/y). Allow writing there"),
        (errno.ENAMETOOLONG, "File name too long (/x/y). Use a shorter name"),
        (errno.ENOENT, "No such file or directory (/x/y). Create it, or name another one."),
        (errno.EIO, "Input/output error (/x/y)."),
    ],
)
def test_what_the_system_refuses_names_the_file_and_what_to_do(number, expected):
    said = system_error(OSError(number, os.strerror(number), "/x/y"))
    assert said is not None
    assert said.startswith(expected)


def test_a_full_disk_is_seen_through_other_libraries():
    for error in (
        RuntimeError("I/O error: No space left (os error 28)"),
        sqlite3.OperationalError("database or disk is full"),
    ):
        assert "the disk is full" in (system_error(error) or "")


def test_other_errors_are_not_of_the_system():
    assert system_error(ValueError("x")) is None


def test_a_command_ends_in_one_line_where_the_system_refuses(capsys):
    from dmt_ray.cli.options import guarded

    assert guarded(lambda: Path("/proc/none/at/all").mkdir()) == 2
    assert capsys.readouterr().err.startswith("error: No such file or directory (/proc/none/at/all)")
