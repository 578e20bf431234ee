"""What a GPU needs of a stage that a CPU does not: deterministic algorithms, and its errors in plain words."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from dmt_ray.engine.workspace import Workspace
from dmt_ray.errors import TrainingFailed

_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"
_NO_DETERMINISTIC = re.compile(r"(\S+) does not have a deterministic implementation")


@contextmanager
def deterministic(enabled: bool) -> Iterator[None]:
    """Inside, torch takes only algorithms that give the same bits each time, where it is enabled; others raise.

    That covers cuDNN's convolutions, cuBLAS and all sums with atomic operations. It changes no number on a CPU.
    """
    if not enabled:
        yield
        return
    os.environ.setdefault(_CUBLAS, ":4096:8")  # read when cuBLAS is first used; the larger of the two that it allows
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


@contextmanager
def gpu_errors(work: Workspace) -> Iterator[None]:
    """Inside, what a GPU cannot do ends in a sentence that says what would help.

    Args:
        work: What it was given to do.

    Raises:
        TrainingFailed: If its memory is full, or `deterministic` refuses an operation of the network.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        first = str(error).split(". ")[0]
        raise TrainingFailed(
            f"the GPU is out of memory ({first}). Labelling and scoring need less with a smaller --eval-batch (it is "
            f"{work.eval_batch}); training needs less with smaller crops or batches, or with "
            "precision=bfloat16, but these settings change the results"
        ) from error
    except RuntimeError as error:
        found = _NO_DETERMINISTIC.search(str(error))
        if found is None:
            raise
        raise TrainingFailed(
            f"the network uses {found[1]}, for which torch has no deterministic algorithm on a GPU. Leave out "
            "--deterministic, or use another architecture"
        ) from error
