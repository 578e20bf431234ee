"""The errors that a user is meant to read: commands print them in one line and exit with status 2."""

import re

LONGEST = 8000  # characters of a message; what a file holds, and a message quotes, may be of any length
_QUOTED = 100_000  # characters of a message that are looked at
# Would move a terminal's cursor, turn a text's direction, or is half a character, which cannot be printed.
_STRANGE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
# What stands between the first colon of an address and its last "@": a password may hold either. Of an HTTP address the
# name alone may be a token.
_IN_NAME = re.compile(r"(://[^:/@\s]*):.*@", re.DOTALL)
_IN_NAME_OF_TEXT = re.compile(r"(://[^:/@\s]*):\S*@")
_AS_NAME = re.compile(r"(https?://)[^:/@\s]+@")
_IN_QUERY = re.compile(
    r"([?&;][^=&\s]*(?:pass|pwd|token|secret|key|sig|credential|auth)[^=&\s]*=)[^&#\s'\"]*", re.IGNORECASE
)


class UserError(Exception):
    """Something outside the program has to change: the message says what was wrong, what was found and what to do."""

    def __str__(self) -> str:
        """The message, without passwords and control characters; of a very long one the beginning and the end."""
        text = _STRANGE.sub(lambda match: ascii(match[0])[1:-1], without_passwords(super().__str__()[:_QUOTED]))
        return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[-LONGEST // 4 :]}"


class ConfigError(UserError, ValueError):
    """A setting is unknown, of the wrong type, or outside its range."""


class DataError(UserError, ValueError):
    """Images, masks or lists are missing, unreadable, or not what the data set's layout promises."""


class ModelError(UserError, ValueError):
    """An architecture, encoder, argument or weights file cannot be used."""


class StoreError(UserError, OSError):
    """The store cannot be read or written."""


class MissingStages(UserError, LookupError):
    """A table or figure asks for stages that nobody has computed yet."""


class TrainingFailed(UserError, RuntimeError):
    """A stage cannot continue, for example because of a NaN loss."""


class Interrupted(UserError, RuntimeError):
    """A stage was asked to stop; its checkpoint is kept."""


def without_password(uri: str) -> str:
    """A URI as it may be shown in messages, records and pages."""
    return _masked(uri, _IN_NAME)


def without_passwords(text: str) -> str:
    """A text, such as the message of a library, without the passwords of the URIs in it."""
    return _masked(text, _IN_NAME_OF_TEXT)


def _masked(text: str, in_name: re.Pattern[str]) -> str:
    if "://" not in text:
        return text
    return _IN_QUERY.sub(r"\1***", _AS_NAME.sub(r"\1***@", in_name.sub(r"\1:***@", text)))
