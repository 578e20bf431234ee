"""The errors that a user is meant to read: commands print them in one line and exit with status 2."""

import re


class UserError(Exception):
    """Something outside the program has to change: the message says what was wrong, what was found and what to do."""


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
    masked = re.sub(r"(://[^:/@]*):[^@/]*@", r"\1:***@", uri)
    return re.sub(r"([?&](?:password|passwd|pwd)=)[^&]*", r"\1***", masked)
