"""Commands for people: as records keep them, and as they run where the user stands."""

import functools
import os
import re
import shlex
import shutil
import sys
import sysconfig
from pathlib import Path

from dmt_ray.errors import without_password


def command_line(*words: str) -> str:
    """A command as it can be typed again, for records and pages: without the password of a URI."""
    return shlex.join(without_password(word) for word in words)


def runnable(text: str) -> str:
    """A command, or a message with commands in backticks, as it runs from where the user stands.

    Records keep the portable spelling, which begins with `dmt` (or `python`, of a script of one's own); only what is
    printed goes through here.
    """
    text = re.sub(r"(^|`|; do )dmt (?=[a-z-])", lambda match: f"{match[1]}{_own_dmt(Path.cwd())} ", text)
    return re.sub(r"(^|`)python (?=\S)", lambda match: f"{match[1]}{_own_python()} ", text)


@functools.cache
def _own_dmt(folder: Path) -> str:
    """What starts this installation's `dmt` from a folder."""
    script = Path(sysconfig.get_path("scripts")) / "dmt"
    on_path = shutil.which("dmt")
    if on_path is not None and script.exists() and os.path.samefile(on_path, script):
        return "dmt"
    if script.exists():
        relative = os.path.relpath(script, folder)
        return shlex.quote(min(relative if "/" in relative else f"./{relative}", str(script), key=len))
    return shlex.join([sys.executable, "-m", "dmt_ray.cli"])


def _own_python() -> str:
    on_path = shutil.which("python")
    return "python" if on_path == sys.executable else shlex.quote(sys.executable)
