"""Files of CIFAR-10, written opcode by opcode."""

import struct

import numpy as np

FOLDER = "cifar-10-batches-py"
TRAIN = [f"data_batch_{number}" for number in range(1, 6)]


def text(value: str) -> bytes:
    return b"U" + bytes([len(value)]) + value.encode()


def batch(pixels: np.ndarray, labels: list[int]) -> bytes:
    """A file as Python 2 wrote it: protocol 2, and the pixels in one string of bytes."""
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85U\x01b\x87R"
        + (b"(K\x01M" + struct.pack("<H", len(pixels)) + b"M" + struct.pack("<H", 3072) + b"\x86")
        + b"cnumpy\ndtype\nq\x0eU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        + (b"\x89T" + struct.pack("<i", pixels.size) + pixels.tobytes() + b"tb")
    )
    classes = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    names = b"](" + b"".join(text(f"{number}.png") for number in range(len(labels))) + b"e"
    entries = text("batch_label") + text("batch 1 of 5") + text("labels") + b"q\x04" + classes
    return b"\x80\x02}q\x01(" + entries + text("data") + array + text("filenames") + names + b"u."


def pixels(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3072), dtype=np.uint8)
