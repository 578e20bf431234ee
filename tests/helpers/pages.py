"""The pages of the documentation, the commands in their code blocks, and which of these no test runs."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.helpers.paths import ROOT

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
_BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_SETS_A_VARIABLE = re.compile(r"[A-Z_]+=.*")

NOT_RUN = {
    **dict.fromkeys(("cd", "chmod", "export", "mkdir", "scp", "source"), "of the shell and the system"),
    "pip install": "installs packages: takes the network",
    "ray start": "starts a cluster on several machines: the page says where it was run",
    "ray stop": "ends every Ray on this machine",
    "ray get-auth-token": "writes into the home folder",
    "ray job status": "needs a cluster",
    "ray job stop": "needs a cluster",
    "mlflow models serve": "a server: tests/tracking/test_best_model.py asks one",
    "mlflow server": "a server on PostgreSQL: the page says where it was run",
    "docker": "no Docker here: the page says that it was not run",
    "kubectl": "no Kubernetes here: the page says that it was not run",
    "python benchmarks/gpu_checks.py": "needs a GPU",
    "python benchmarks/step.py --device cuda": "needs a GPU",
    "python benchmarks/label.py --device cuda": "needs a GPU",
    "dmt compare components:CBST components:DMT --predict": "loads weights: tests/report/test_comparing.py does it",
    "dmt compare finetune-0123abcd": "names stages of the reader's: tests/report/test_comparing.py does it",
    "dmt data download": "takes the network: tests/data/test_download.py does it from a server of its own",
    "dmt run --recipe voc-1/106 --data path/to/voc --set split.rule=list": "needs published lists, which are "
    "downloaded: tests/data/test_splits.py reads lists of its own",
    "dmt run --recipe voc-animals-lite0 --method dmt --set model.architecture=LinearHead": "downloads weights: "
    "tests/models/test_networks_page.py builds the network with random ones",
    "dmt suggest --count 20 --model dmt-pets": "needs a run on the reader's data: tests/api/test_suggesting.py has one",
    "dmt run --recipe pets.yaml --data path/to/the/folder --set split.rule=list": "needs a list that `dmt suggest` has "
    "written: tests/api/test_suggesting.py follows it",
    **dict.fromkeys(
        (
            "dmt run --recipe pets.yaml --data path/to/the/folder --set external.masks=drafts/class",
            "dmt plan --recipe pets.yaml --data path/to/the/folder --set external.masks=drafts/class",
        ),
        "needs masks from elsewhere: tests/execution/test_external_check.py has some",
    ),
    "python benchmarks/simulate.py --planted": "takes minutes: tests/store/test_simulation.py plants the same bugs",
    "python benchmarks/kills.py": "takes ten minutes: tests/benchmarks/test_kills.py runs it for one",
    **dict.fromkeys(
        (
            "dmt table components --recipe voc-animals-lite0",
            "dmt figures components --predict --rows Baseline CBST",
            "dmt table components --recipe camvid-lite0",
            "dmt figures components --only iterations --metric pixel_accuracy",
        ),
        "needs a table that takes hours of one core: tests/report draw and print others",
    ),
    "python benchmarks/suggest.py": "trains on CamVid for a quarter of an hour",
    **dict.fromkeys(
        (
            "dmt data init",
            "dmt data show",
            *(f"dmt run --recipe {kind}.yaml" for kind in ("nuclei", "street", "microscopy", "scenes", "flowers")),
            *(f"dmt predict path/to/{kind}" for kind in ("nuclei", "street", "microscopy", "scenes", "flowers")),
        ),
        "a test of the page on own images performs it on generated files",
    ),
    **dict.fromkeys(
        ("dmt audit components --hours 2", "dmt audit components.tar.xz"),
        "computes stages again: tests/experiments/test_audit.py and test_bundle.py do it",
    ),
    "dmt publish --tracking-uri": "needs a second machine: tests/tracking publish to servers of their own",
    "dmt ui": "serves a browser until it is stopped: tests/tracking/test_browser.py looks at it",
}
"""How a command begins that no test runs -> why. All others are run by `test_every_command_runs.py`."""
# Names of searches that are ablations today -> the ablation.
ALIASES = {"label_fraction": "label_fraction", "reversal_sweep": "reversal"}


class Line(NamedTuple):
    """A command on a page."""

    page: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}: {shlex.join(self.words)}"

    def begins(self, words: str) -> bool:
        """Whether the command begins with these words."""
        return self.words[: len(words.split())] == tuple(words.split())

    @property
    def why_not_run(self) -> str | None:
        """Why no test runs it; None: one does."""
        return next((reason for begin, reason in NOT_RUN.items() if self.begins(begin)), None)


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a language on a page."""
    found = _BLOCK.findall(page.read_text(encoding="utf-8"))
    return [
        "".join(line.removeprefix(indent) for line in text.splitlines(True))
        for indent, kind, text in found
        if kind == language
    ]


def lines() -> Iterator[Line]:
    """Every command of every ```sh block, without comments, variables and what joins commands."""
    for page in PAGES:
        name = str(page.relative_to(ROOT))
        for block in blocks(page, "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                for part in line.split(" && "):
                    words = shlex.split(part, comments=True)
                    while words and _SETS_A_VARIABLE.fullmatch(words[0]):
                        words = words[1:]
                    if words:
                        yield Line(name, tuple(words))


def as_dmt(words: tuple[str, ...]) -> tuple[str, ...] | None:
    """A script's command line as that of `dmt`, which is the same code; None: it is another program.

    Slurm, `ray job submit` and the shell's `eval` are given one.
    """
    if "docs/cluster/slurm.sh" in words:
        return ("dmt", "sweep", "gamma_sweep", *words[words.index("docs/cluster/slurm.sh") + 1 :])
    if words[0] == "eval":
        return tuple(shlex.split(words[1].removeprefix("$(").removesuffix(")")))
    if words[:3] == ("ray", "job", "submit"):
        return as_dmt(words[words.index("--") + 1 :])
    if words[:2] == ("python", "-m") and words[2].startswith("ablations."):
        return ("dmt", "ablate", words[2].removeprefix("ablations."), *words[3:])
    if words[0] == "python" and words[1].startswith("searches/"):
        name = Path(words[1]).stem
        return ("dmt", *(("ablate", ALIASES[name]) if name in ALIASES else ("sweep", name)), *words[2:])
    return words if words[0] == "dmt" else None
