"""What the shell completes, asked as a shell asks."""

import os
import subprocess
import sys

import pytest

from dmt_ray.methods import METHODS
from tests.helpers.scripts import names


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_has_a_script(shell, dmt):
    said = dmt("completion", shell)
    assert "dmt" in said
    assert "_ARGCOMPLETE" in said


def completed(line: str, folder) -> set[str]:
    """What may stand at the end of a line."""
    environment = {"_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE_IFS": "\n"}
    file = folder / "completions"
    code = "import sys; from dmt_ray.cli.main import main; sys.argv[0] = 'dmt'; main()"
    environment |= {"_ARGCOMPLETE_STDOUT_FILENAME": str(file)}
    subprocess.run([sys.executable, "-c", code], env=os.environ | environment, cwd=folder, check=True)
    return {word.strip() for word in file.read_text().split("\n")}


def test_commands_questions_options_recipes_and_methods_are_completed(tmp_path):
    assert {"sweep", "status", "store"} <= completed("dmt s", tmp_path)
    assert completed("dmt sweep ", tmp_path) >= set(names("searches"))
    assert "--trials" in completed("dmt sweep gamma_sweep --tr", tmp_path)
    assert completed("dmt run --recipe voc-a", tmp_path) == {
        "voc-animals",
        "voc-animals-lite0",
        "voc-animals-lite0-lite1",
    }
    assert completed("dmt run --method ", tmp_path) >= METHODS.keys()
