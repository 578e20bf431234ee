"""The record of a stage: its identity, its inputs, and the digest of every file."""

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config

from dmt_ray.plan.key import canonical, key_of

RECORD = "record.json"

Key = Annotated[str, Field(pattern=r"^[0-9a-f]{20}$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
FileNames = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
FileName = Annotated[str, Field(pattern=f"^{FileNames.pattern}$")]
Size = Annotated[int, Field(ge=0)]


_CHECKSUM = re.compile(rb'\{\n "checksum": "([0-9a-f]{32})",\n')


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


# A field that this version does not know is damage. A version that adds one must raise the format of the store.
@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True)
class Record:
    """The record of one stage, written last: without it a stage does not exist.

    Attributes:
        key: Key of the stage; `operation`, `revision`, `config`, `seed` and `inputs` give it again.
        config: The settings that the key depends on.
        summary: The settings in a few words, for people.
        inputs: Name of each input, and its key.
        input_digests: `Record.digest` of each input that was in the store when the stage was begun.
        files: Name of each file, and the BLAKE2b-128 of its bytes in hex.
        sizes: Name of each file, and its size in bytes.
        evicted: Files that were removed to free space; their digests and sizes stay.
        made: When (UTC) and how it was made, as the caller describes it: not part of the identity.
    """

    key: Key
    operation: str
    revision: int
    config: dict[str, Any]
    summary: str
    seed: int
    inputs: dict[str, Key]
    input_digests: dict[str, Digest]
    files: dict[FileName, Digest]
    sizes: dict[FileName, Size]
    evicted: tuple[FileName, ...]
    made: dict[str, Any]

    @property
    def digest(self) -> str:
        """Digest of all files of the stage, evicted ones too, 32 hex digits."""
        return _digest(canonical(self.files))

    @property
    def size(self) -> int:
        """Bytes of the files that are not evicted."""
        return sum(size for name, size in self.sizes.items() if name not in self.evicted)

    def to_json(self) -> str:
        """The text of record.json. What JSON does not know in `made` becomes text: it must not cost the stage.

        Its first line is the digest of the rest, since a changed score of `made` would contradict nothing else.
        """
        rest = json.dumps(asdict(self), indent=1, ensure_ascii=False, default=str).removeprefix("{\n") + "\n"
        return f'{{\n "checksum": "{_digest(rest.encode())}",\n{rest}'

    @classmethod
    def from_json(cls, text: bytes) -> "Record":
        """Read a record.

        Raises:
            ValueError: If the text is not a record, or does not agree with itself; the message is half a sentence.
        """
        head = _CHECKSUM.match(text)  # earlier versions wrote none
        if head is not None and head[1].decode() != _digest(text[head.end() :]):
            raise ValueError(f"{RECORD} is altered (its checksum does not agree)")
        try:
            record = _RECORDS.validate_json(text if head is None else b"{" + text[head.end() :])
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"])
            raise ValueError(f"{RECORD} is damaged ({f'{field}: ' if field else ''}{first['msg']})") from None
        if record.files.keys() != record.sizes.keys() or not set(record.evicted) <= record.files.keys():
            raise ValueError(f"{RECORD} is damaged (its files, sizes and evicted do not name the same files)")
        if not record.input_digests.keys() <= record.inputs.keys():
            raise ValueError(f"{RECORD} is damaged (it has digests of inputs that it does not name)")
        return record

    def check_identity(self, operation: str, key: str) -> None:
        """Check that this is the record of a stage, and that key and settings belong together.

        Raises:
            ValueError: If not; the message is half a sentence.
        """
        if (self.operation, self.key) != (operation, key):
            raise ValueError(f"{RECORD} belongs to {self.operation}-{self.key}")
        identity = {name: getattr(self, name) for name in ("operation", "revision", "config", "seed", "inputs")}
        try:
            own = key_of(identity)
        except TypeError as error:  # of NaN, which JSON can hold here
            raise ValueError(f"{RECORD} is damaged ({error})") from None
        if own != key:
            raise ValueError(f"{RECORD} is altered (its settings do not give its key)")


_RECORDS = TypeAdapter(Record)
