"""Damages valid files at random: what a disk, a download, an editor or an attacker may make of them."""

import json
import re
import struct
import zlib
from collections.abc import Callable, Sequence
from random import Random

LARGEST = 4 * 2**20  # bytes of a made file
NUMBERS = (b"0", b"-1", b"1e999", b"NaN", b"1" * 5000, b"4294967296", b"18446744073709551616", b"-0", b"0.5", b"true")
WORDS = (
    *(b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\n", b"\t", b"..", b"../", b"/", b"\\", b"~", b"%s", b"{}", b"[]"),
    *(b"null", b"NaN", b"Infinity", b'"', b"'", b",", b":", b"=", b"*a", b"&a ", b"!!python/name:os.system ", b"<<: "),
    *(b"!!int ", b"!!timestamp ", b"!!binary ", b"!!set ", b"? ", b"- ", b"| ", b"\xe2\x80\xae", b"\xe2\x80\xa8"),
    *(b"\xed\xa0\x80", b"\\ud800", b"{id}", b"{class}", b"*", b"__metadata__", b"data_offsets", b"shape", b"recipe"),
)
NESTING = (b"[", b'{"a":', b"(", b"- ", b'[{"a":[')


def damaged(random: Random, seeds: Sequence[bytes], repair: Callable[[bytes], bytes] | None = None) -> bytes:
    """One of some valid files, damaged in one or more places.

    Args:
        random: Where all choices come from.
        seeds: The valid files.
        repair: Corrects checksums and lengths, so that what stands behind them is read; done to every second file.
    """
    content = random.choice(seeds)
    for _ in range(1 + min(8, int(random.expovariate(0.7)))):
        content = random.choice(_WAYS)(random, content, seeds)[:LARGEST]
    return repair(content) if repair is not None and random.random() < 0.5 else content


def _place(random: Random, content: bytes) -> tuple[int, int]:
    """Begin and end of a piece, most often a short one."""
    begin = random.randrange(len(content) + 1)
    return begin, min(len(content), begin + int(random.expovariate(0.1)) + 1)


def _flip(random: Random, content: bytes, seeds: Sequence[bytes]) -> bytes:
    if not content:
        return b"\x01"
    place = random.randrange(len(content))
    return content[:place] + bytes([content[place] ^ (1 << random.randrange(8))]) + content[place + 1 :]


def _byte(random: Random, content: bytes, seeds: Sequence[bytes]) -> bytes:
    begin, _ = _place(random, content)
    return content[:begin] + bytes([random.choice((0, 1, 127, 128, 255, random.randrange(256)))]) + content[begin + 1 :]


def _cut(random: Random, content: bytes, seeds: Sequence[bytes]) -> bytes:
    begin, end = _place(random, content)
    return content[:begin] + content[end:]


def _end(random: Random, content: bytes, seeds: Sequence[bytes]) -> bytes:
    return content[: random.randrange(len(content) + 1)]


def _again(random: Random, content: bytes, seeds: Sequence[bytes]) -> bytes:
    begin, end = _place(random, content)
    times = random.choice((2, 2, 3, 10, 1000))
    return content[:begin] + content[begin:end] * times + content[end:]


def _word(random: Random, content: bytes, seeds: Sequence[bytes]) -> bytes:
    begin, end = _place(random, content)
    return content[:begin] + random.choice((*WORDS, *NUMBERS)) + content[random.choice((begin, end)) :]


def _number(random: Random, content: bytes, seeds: Sequence[bytes]) -> bytes:
    found = list(re.finditer(rb"\d+", content[:100_000]))
    if not found:
        return _word(random, content, seeds)
    match = random.choice(found)
    return content[: match.start()] + random.choice(NUMBERS) + content[match.end() :]


def _value(random: Random, content: bytes, seeds: Sequence[bytes]) -> bytes:
    """Another kind of value behind a colon or comma."""
    found = list(re.finditer(rb"(?<=[:,\[])\s*(\"[^\"]*\"|[^\s,\[\]{}]+)", content[:100_000]))
    if not found:
        return _word(random, content, seeds)
    match = random.choice(found)
    kinds = (*NUMBERS, b"null", b"[]", b"{}", b'""', b'"x"', b"[[1]]", b'{"a": 1}', b"[1, 2, 3]", b'"../../x"')
    return content[: match.start(1)] + random.choice(kinds) + content[match.end(1) :]


def _nested(random: Random, content: bytes, seeds: Sequence[bytes]) -> bytes:
    begin, _ = _place(random, content)
    return content[:begin] + random.choice(NESTING) * random.choice((2, 50, 2000, 200_000)) + content[begin:]


def _spliced(random: Random, content: bytes, seeds: Sequence[bytes]) -> bytes:
    other = random.choice(seeds)
    begin, end = _place(random, other)
    place, _ = _place(random, content)
    return content[:place] + other[begin : random.choice((end, len(other)))] + content[place:]


def _swapped(random: Random, content: bytes, seeds: Sequence[bytes]) -> bytes:
    (a, b), (c, d) = sorted((_place(random, content), _place(random, content)))
    return content if b > c else content[:a] + content[c:d] + content[b:c] + content[a:b] + content[d:]


_WAYS: tuple[Callable[[Random, bytes, Sequence[bytes]], bytes], ...] = (
    *(_flip, _flip, _byte, _byte, _cut, _cut, _end, _again, _word, _word, _number, _number, _value, _value),
    *(_nested, _spliced, _swapped),
)


def png(content: bytes) -> bytes:
    """Correct the checksums of a PNG file's chunks."""
    place, out = 8, content[:8]
    while place + 12 <= len(content):
        (length,) = struct.unpack(">I", content[place : place + 4])
        end = min(place + 8 + length, len(content) - 4)
        out += content[place:end] + struct.pack(">I", zlib.crc32(content[place + 4 : end]))
        place = end + 4
    return out + content[place:]


def safetensors(content: bytes) -> bytes:
    """Correct the length of a safetensors file's header: up to the last brace before its tensors."""
    end = content.rfind(b"}}", 8, 100_000) + 2
    while content[end : end + 1] == b" ":
        end += 1
    return struct.pack("<Q", end - 8) + content[8:] if end > 10 else content


def parquet(content: bytes) -> bytes:
    """Put the mark of a Parquet file at both ends."""
    return b"PAR1" + content[4:-4] + b"PAR1"


def as_text(content: bytes) -> bytes:
    """Make it UTF-8."""
    return content.decode("utf-8", "replace").encode()


def closed(content: bytes) -> bytes:
    """Make it UTF-8, with the braces at its end that JSON needs, where these alone are wrong."""
    text = content.decode("utf-8", "replace")
    for end in ("", "}", '"}', "]}", "}}", '"]}', "null}"):
        try:
            json.loads(text + end)
            return (text + end).encode()
        except (ValueError, RecursionError):
            pass
    return text.encode()
