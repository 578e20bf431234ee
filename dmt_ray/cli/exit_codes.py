"""What the exit status of a command means."""

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit statuses of all commands."""

    DONE = 0, "success"
    FAILED = 1, "the command finished, but something failed, differs, or is not published yet"
    USER_ERROR = 2, "an error that you can fix: an option, a setting, data, a folder; finished work is kept"
    DAMAGED = (
        3,
        "something in the store was damaged; it counts as missing now, and commands that need it compute it again",
    )
    INTERRUPTED = 130, "stopped by Ctrl-C; run the same command again to resume"
    TERMINATED = 143, "stopped by SIGTERM, which batch systems send; run the same command again to resume"

    meaning: str

    def __new__(cls, code: int, meaning: str) -> "ExitCode":
        """A status with its meaning, for the help."""
        made = int.__new__(cls, code)
        made._value_, made.meaning = code, meaning
        return made


def described() -> str:
    """All of them, for the help: a line each."""
    return "\n".join(["exit status:", *(f"  {code.value:<5}{code.meaning}" for code in ExitCode)])
