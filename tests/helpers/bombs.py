"""Files of a few bytes that stand for very much more."""

import struct
import zlib
from functools import cache

from tests.helpers.png_files import SIGNATURE, chunk

MANY = 200 * 2**20  # bytes


@cache
def packed(count: int = MANY) -> bytes:
    """Zeros, packed by zlib without ever being held."""
    packer = zlib.compressobj(9)
    parts = [packer.compress(bytes(2**20)) for _ in range(count // 2**20)]
    return b"".join([*parts, packer.flush()])


def png(width: int = 4, height: int = 4, *more: bytes, pixels: bytes | None = None) -> bytes:
    """A grey PNG file; `more` are further chunks, `pixels` its packed lines."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    lines = zlib.compress((b"\0" + bytes(4)) * 4) if pixels is None else pixels
    return SIGNATURE + chunk(b"IHDR", head) + b"".join(more) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")


def tiff(strip: bytes, compression: int, width: int = 4, height: int = 4, bits: int = 8, next_page: int = 0) -> bytes:
    """A grey TIFF file of one strip."""
    tags = [(256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, compression), (262, 3, 1), (273, 4, 8)]
    tags += [(277, 3, 1), (278, 4, height), (279, 4, len(strip))]
    entries = b"".join(
        struct.pack("<HHI", tag, kind, 1) + (struct.pack("<I", value) if kind == 4 else struct.pack("<HH", value, 0))
        for tag, kind, value in tags
    )
    begin = 8 + len(strip)
    head = b"II*\0" + struct.pack("<I", begin) + strip
    return head + struct.pack("<H", len(tags)) + entries + struct.pack("<I", next_page)


def laughs(levels: int, times: int = 9) -> str:
    """YAML whose last line stands for times ** levels words."""
    lines = ["a0: &a0 [lol]"]
    for level in range(1, levels):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * times)}]")
    return "\n".join(lines)
