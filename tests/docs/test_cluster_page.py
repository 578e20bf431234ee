"""What docs/how-to/cluster.md hands out: scripts, manifests and commands that must fit the code and each other."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helpers.paths import ROOT

DOCS = ROOT / "docs"
TEXT = (DOCS / "how-to" / "cluster.md").read_text(encoding="utf-8")
SLURM = DOCS / "cluster" / "slurm.sh"
DOCKERFILE = (DOCS / "cluster" / "Dockerfile").read_text(encoding="utf-8")
CLAIM, JOB = yaml.safe_load_all((DOCS / "cluster" / "rayjob.yaml").read_text(encoding="utf-8"))
CLUSTER = JOB["spec"]["rayClusterSpec"]
GROUPS = CLUSTER["workerGroupSpecs"]

# KubeRay's API (ray.io/v1): the fields that a RayJob and its parts may have, as far as they are used here.
JOB_FIELDS = {"entrypoint", "backoffLimit", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "rayClusterSpec"}
CLUSTER_FIELDS = {"rayVersion", "authOptions", "headGroupSpec", "workerGroupSpecs"}
GROUP_FIELDS = {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"}


def pinned(package: str) -> str:
    found = re.search(rf"^{package}==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None
    return found[1]


def options_of(words: list[str]) -> list[str]:
    """The search's options in a command line."""
    (script,) = (number for number, word in enumerate(words) if word.endswith("searches/gamma_sweep.py"))
    return words[script + 1 :]


def assert_understood(options: list[str]) -> None:
    """The search accepts these options: what it complains of is the one wrong value that is put behind them."""
    wrong = [sys.executable, "searches/gamma_sweep.py", *options, "--trials", "0"]
    done = subprocess.run(wrong, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr == "error: --trials must be 1 or more, but got 0\n"


def pods() -> list[dict[str, Any]]:
    return [group["template"]["spec"] for group in (CLUSTER["headGroupSpec"], *GROUPS)]


def test_the_manifest_has_the_fields_that_kuberay_knows() -> None:
    assert (JOB["apiVersion"], JOB["kind"]) == ("ray.io/v1", "RayJob")
    assert JOB["spec"].keys() == JOB_FIELDS
    assert CLUSTER.keys() == CLUSTER_FIELDS
    assert CLUSTER["headGroupSpec"].keys() == {"rayStartParams", "template"}
    for group in GROUPS:
        assert group.keys() == GROUP_FIELDS
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    for group in (CLUSTER["headGroupSpec"], *GROUPS):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
    assert {group["groupName"] for group in GROUPS} == {"gpu", "cpu"}


def test_all_pods_run_one_image_and_share_one_folder() -> None:
    containers = [container for pod in pods() for container in pod["containers"]]
    assert len({container["image"] for container in containers}) == 1
    for pod in pods():
        (volume,) = pod["volumes"]
        assert volume["persistentVolumeClaim"]["claimName"] == CLAIM["metadata"]["name"]
        assert pod["containers"][0]["volumeMounts"] == [{"name": volume["name"], "mountPath": "/shared"}]
    assert (CLAIM["apiVersion"], CLAIM["kind"]) == ("v1", "PersistentVolumeClaim")
    assert CLAIM["spec"]["accessModes"] == ["ReadWriteMany"]
    options = options_of(shlex.split(JOB["spec"]["entrypoint"]))
    for name in ("--storage", "--data"):
        assert options[options.index(name) + 1].startswith("/shared/")


def test_all_pods_ask_for_what_they_may_use() -> None:
    for pod in pods():
        (container,) = pod["containers"]
        assert container["resources"]["requests"] == container["resources"]["limits"]
    gpus = {group["groupName"]: _limits(group).get("nvidia.com/gpu") for group in GROUPS}
    assert gpus == {"gpu": "2", "cpu": None}


def _limits(group: dict[str, Any]) -> dict[str, str]:
    limits: dict[str, str] = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    return limits


def test_the_cluster_wants_a_token_and_the_manifest_holds_none() -> None:
    assert CLUSTER["authOptions"] == {"mode": "token"}
    assert "AUTH_TOKEN" not in (DOCS / "cluster" / "rayjob.yaml").read_text(encoding="utf-8")


def test_manifest_and_image_have_the_pinned_ray() -> None:
    assert CLUSTER["rayVersion"] == pinned("ray")
    assert f"FROM rayproject/ray:{pinned('ray')}-py311" in DOCKERFILE
    assert f"ray[default]=={pinned('ray')}" in DOCKERFILE


def test_the_image_gets_what_is_copied_into_it() -> None:
    for line in re.findall(r"^COPY --chown=ray (.+) \S+$", DOCKERFILE, re.MULTILINE):
        for name in line.split():
            assert (ROOT / name).exists()
    folder = re.search(r"^WORKDIR (\S+)$", DOCKERFILE, re.MULTILINE)
    assert folder is not None
    assert f"python {folder[1]}/searches/gamma_sweep.py" in JOB["spec"]["entrypoint"]


def test_the_search_understands_the_manifests_entrypoint() -> None:
    assert_understood(options_of(shlex.split(JOB["spec"]["entrypoint"])))


def test_the_search_understands_the_slurm_scripts_example() -> None:
    (example,) = re.findall(r"^#   sbatch docs/cluster/slurm.sh (.+)$", SLURM.read_text(encoding="utf-8"), re.MULTILINE)
    assert_understood(shlex.split(example))
    assert 'searches/gamma_sweep.py --address "$ip:$port" "$@"' in SLURM.read_text(encoding="utf-8")


def test_the_page_names_files_that_are_there() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", TEXT)
    assert {"../cluster/slurm.sh", "../cluster/rayjob.yaml", "../cluster/Dockerfile"} <= set(links)


def test_the_slurm_script_is_sound() -> None:
    subprocess.run(["bash", "-n", str(SLURM)], check=True)
    checker = shutil.which("shellcheck") or Path(sys.executable).with_name("shellcheck")
    if not Path(checker).exists():
        pytest.skip("shellcheck is not installed")
    done = subprocess.run([str(checker), str(SLURM)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_slurm_script_is_warned_before_its_time_is_up() -> None:
    text = SLURM.read_text(encoding="utf-8")
    assert "#SBATCH --signal=B:TERM@" in text  # B: the script itself, which passes it on
    assert 'trap \'[[ -z $sweep ]] || kill -TERM "$sweep"' in text
