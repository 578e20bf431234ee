"""What the chunks of a PNG file say that Pillow does not: whether a bit of its pixels changed, and their depth."""

import struct
import zlib
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PIXELS = (b"IHDR", b"PLTE", b"IDAT")


def chunks(content: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Name, content and checksum of each whole chunk of a PNG file, up to its end if it has one."""
    place = len(SIGNATURE)
    while place + 8 <= len(content):
        length, name = struct.unpack(">I4s", content[place : place + 8])
        end = place + 8 + length
        yield name, content[place + 8 : end], content[end : end + 4]
        if name == b"IEND":
            return
        place = end + 4


def check_sums(content: bytes) -> None:
    """Check what Pillow does not: that no bit of a PNG file's pixels has changed.

    Raises:
        ValueError: If one has, or the file has no end.
    """
    name = b""
    for name, chunk, checksum in chunks(content):
        if name in _PIXELS and checksum != zlib.crc32(name + chunk).to_bytes(4, "big"):
            raise ValueError(f"a wrong checksum of {name.decode()}")
    if name != b"IEND":
        raise ValueError("no end of the PNG file")


def low_depth(content: bytes) -> str:
    """ ":2" or ":4" for a grey PNG file of 2 or 4 bits, "" for any other file.

    Version 0.2 and earlier read other numbers from such a mask; this tells data sets with them from what they were.
    """
    if content[:8] == SIGNATURE and content[25:26] == b"\0" and content[24:25] in (b"\2", b"\4"):
        return f":{content[24]}"
    return ""
