"""study.db, where it lies and what else it may hold."""

import optuna
import pytest

from dmt_ray.errors import StoreError
from dmt_ray.experiments import trials


@pytest.mark.parametrize("content", [b"this is no database " * 100, b"SQLite format 3\0 and then nothing of the kind"])
def test_garbage_is_said_in_one_line_with_what_to_do(content, tmp_path):
    (tmp_path / trials.STUDY).write_bytes(content)
    with pytest.raises(StoreError) as caught:
        trials.open_storage(tmp_path)
    said = str(caught.value)
    assert said.startswith(f"{tmp_path / trials.STUDY} cannot be read as a study of Optuna (")
    assert "Move it away: the sweep then starts over" in said
    assert "\n" not in said


@pytest.mark.parametrize("name", ["a%20b", "x?y"])
def test_a_study_lies_in_its_folder_whatever_that_is_called(name, tmp_path):
    folder = tmp_path / name
    folder.mkdir()
    optuna.create_study(storage=trials.open_storage(folder), study_name="one")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (folder / trials.STUDY).is_file()
