"""PNG files of every depth, written and read by the book (RFC 2083) and not by Pillow."""

import struct
import zlib
from pathlib import Path

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGB_ALPHA: 4}


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def encode(numbers: np.ndarray, depth: int, colour: int = GREY, palette: np.ndarray | None = None) -> bytes:
    """A PNG file of numbers ``[height, width]`` or ``[height, width, channels]`` with `depth` bits a number."""
    height, width = numbers.shape[:2]
    rows = numbers.reshape(height, -1)
    if depth == 16:
        lines = [row.astype(">u2").tobytes() for row in rows]
    else:
        bits = (rows[:, :, None] >> np.arange(depth)[::-1] & 1).astype(np.uint8).reshape(height, -1)
        lines = [row.tobytes() for row in np.packbits(bits, axis=1)]
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    colours = b"" if palette is None else chunk(b"PLTE", palette.astype(np.uint8).tobytes())
    pixels = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + line for line in lines)))
    return SIGNATURE + chunk(b"IHDR", head) + colours + pixels + chunk(b"IEND", b"")


def decode(content: bytes) -> np.ndarray:
    """The numbers that a PNG file holds, neither scaled nor looked up; only files without interlacing."""
    place, chunks = len(SIGNATURE), dict[bytes, bytes]()
    while place < len(content):
        (length,) = struct.unpack(">I", content[place : place + 4])
        name = content[place + 4 : place + 8]
        chunks[name] = chunks.get(name, b"") + content[place + 8 : place + 8 + length]
        place += length + 12
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert not interlaced
    channels = CHANNELS[colour]
    pixel, stride = max(1, channels * depth // 8), (width * channels * depth + 7) // 8
    raw = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, stride + 1)
    before, lines = [0] * stride, []
    for kind, line in zip(raw[:, 0], raw[:, 1:].tolist(), strict=True):
        for i in range(stride):
            left, up = line[i - pixel] if i >= pixel else 0, before[i]
            corner = before[i - pixel] if i >= pixel else 0
            paeth = min((left, up, corner), key=lambda value: abs(left + up - corner - value))
            line[i] = (line[i] + (0, left, up, (left + up) // 2, paeth)[kind]) % 256
        lines.append(line)
        before = line
    rows = np.array(lines, np.uint8).reshape(height, stride)
    if depth == 16:
        numbers = rows.view(">u2").astype(np.uint16)
    else:
        bits = np.unpackbits(rows, axis=1)[:, : width * channels * depth].reshape(height, -1, depth)
        numbers = (bits << np.arange(depth)[::-1]).sum(axis=2).astype(np.uint8)
    return numbers.reshape(height, width, channels) if channels > 1 else numbers


def save(path: Path, numbers: np.ndarray, depth: int, colour: int = GREY) -> None:
    path.write_bytes(encode(numbers, depth, colour))
