"""Nothing that is read runs code, and nothing listens to other machines."""

import ast
import pickle
import re
import struct
from pathlib import Path

import pytest

from dmt_ray.data import pickles
from dmt_ray.errors import ConfigError, ModelError
from dmt_ray.models import weights
from dmt_ray.recipes import load
from dmt_ray.tracking.registry import data_folder
from tests.helpers.paths import ROOT

SOURCES = [path for folder in ("dmt_ray", "searches", "ablations") for path in sorted((ROOT / folder).rglob("*.py"))]


class Evil:
    """What an attacker pickles."""

    def __init__(self, file: str) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return Path.touch, (Path(self.file),)  # type: ignore[return-value]


@pytest.mark.attack("code in a file", "pickle of CIFAR-10", "refused by the name of the function; it is not called")
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickled_function_is_not_called(tmp_path, protocol):
    file = tmp_path / "touched"
    with pytest.raises(ValueError, match="a pickle"):
        pickles.read(pickle.dumps({"data": Evil(str(file)), "labels": [0]}, protocol))
    assert not file.exists()


@pytest.mark.attack("code in a file", "opcodes of a pickle that plain data do without", "refused by their names")
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"cos\nsystem\n(S'true'\ntR.", id="GLOBAL"),
        pytest.param(b"(S'true'\nios\nsystem\n.", id="INST"),
        pytest.param(b"(cos\nsystem\nS'true'\no.", id="OBJ"),
        pytest.param(b"\x80\x02cnumpy\nndarray\n)\x81.", id="NEWOBJ"),
        pytest.param(b"\x80\x02\x82\x01.", id="EXT1"),
        pytest.param(b"P1\n.", id="PERSID"),
        pytest.param(b"\x80\x04\x8c\x02os\x8c\x06system\x93.", id="STACK_GLOBAL"),
        pytest.param(b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93.", id="attribute of an array"),
    ],
)
def test_opcodes_that_can_run_code_are_refused(content):
    with pytest.raises(ValueError, match=r"a pickle that names|a pickle with the opcode|a damaged pickle"):
        pickles.read(content)


@pytest.mark.attack("code in a file", "weights as .pth, .pt, .bin, .pkl", "refused by the ending, never opened")
@pytest.mark.parametrize("ending", [".pth", ".pt", ".bin", ".pkl", ".ckpt", ".safetensors.pt", ""])
def test_weights_in_a_pickle_are_never_opened(tmp_path, ending):
    with pytest.raises(ModelError, match="cannot run code when they are read"):
        weights.read(tmp_path / f"not-there{ending}")


@pytest.mark.attack("code in a file", "pickle under the name of weights (safetensors)", "refused, not unpickled")
def test_a_pickle_called_safetensors_is_not_unpickled(tmp_path):
    file = tmp_path / "w.safetensors"
    file.write_bytes(pickle.dumps(Evil(str(tmp_path / "touched"))) + struct.pack("<Q", 0) * 20)
    with pytest.raises(ModelError, match="cannot read the weights file"):
        weights.read(file)
    assert not (tmp_path / "touched").exists()


@pytest.mark.attack("code in a file", "tags of a recipe and of --set", "refused, with the line and the tag")
@pytest.mark.parametrize(
    "value",
    [
        "!!python/object/apply:os.system ['true']",
        "!!python/name:os.system",
        "!!python/object/new:os.system [x]",
        "!!python/module:os",
        "!!timestamp x",
        "!!int x",
        "!!float x",
        "!!bool x",
        "!!binary x",
        "!!set {a, b}",
        "!!omap [a: 1]",
        "!mine x",
    ],
)
def test_a_tag_is_not_read(tmp_path, value):
    (tmp_path / "mine.yaml").write_text(f"recipe: shapes\npercentiles: {value}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"mine\.yaml: line 2: the tag .* is not read"):
        load(str(tmp_path / "mine.yaml"))
    with pytest.raises(ConfigError, match=r"the tag .* is not read"):
        load("shapes", [f"percentiles={value}"])


@pytest.mark.attack("code in a file", "module that MLflow's file MLmodel names", "refused, not imported")
@pytest.mark.parametrize("module", ["os", "evil.module", "dmt_ray.deploy.served2", "''", "[os]"])
def test_a_loader_of_another_program_is_not_imported(tmp_path, module):
    flavour = f"flavors:\n  python_function: {{loader_module: {module}, data: data}}\n"
    (tmp_path / "MLmodel").write_text(flavour, encoding="utf-8")
    with pytest.raises(ModelError, match="was logged by another program"):
        data_folder(tmp_path, "models:/toy/1")


RISKY = re.compile(
    r"pickle|marshal|shelve|dill|joblib|eval\(|exec\(|compile\(|system\(|popen|getoutput|\bload\(|shell="
)
# Between the driver of a run and its own workers, and between a check and the process that it starts.
OWN_PICKLES = ("dmt_ray/execution/plugins.py", "dmt_ray/testing/child.py")


def fault_of(call: ast.Call, file: str) -> bool:
    """Whether a call unpickles, evaluates text or starts a shell."""
    name, options = ast.unparse(call.func), {one.arg: ast.unparse(one.value) for one in call.keywords}
    if name in ("eval", "exec", "os.system", "os.popen", "subprocess.getoutput", "pd.read_pickle"):
        return True
    if name == "torch.load":
        return options.get("weights_only") != "True"
    if name == "np.load":
        return options.get("allow_pickle", "False") != "False"
    if name in ("yaml.load", "yaml.unsafe_load", "yaml.full_load"):
        return options.get("Loader") != "_Loader"
    unpickles = name.endswith("pickle.loads") or name.split(".")[0] in ("pickle", "marshal", "shelve", "dill", "joblib")
    return options.get("shell") == "True" or (unpickles and file not in OWN_PICKLES)


@pytest.mark.attack("code in a file", "every call in the sources", "none unpickles, evaluates text or starts a shell")
def test_no_call_runs_what_it_reads():
    texts = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in SOURCES}
    faults = [
        f"{file}:{node.lineno}"
        for file, text in texts.items()
        if RISKY.search(text)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and fault_of(node, file)
    ]
    assert faults == []


@pytest.mark.parametrize(
    "text",
    [
        "pickle.load(file)",
        "cloudpickle.loads(x)",
        "torch.load(x)",
        "np.load(x, allow_pickle=True)",
        "yaml.load(x, Loader=yaml.Loader)",
        "run(x, shell=True)",
        "eval(x)",
    ],
)
def test_such_calls_would_be_found(text):
    assert RISKY.search(text)
    (call,) = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call))
    assert fault_of(call, "dmt_ray/data/x.py")


@pytest.mark.attack("other machines", "every server that is started", "listens on 127.0.0.1 unless told otherwise")
def test_no_server_listens_to_other_machines():
    assert [path for path in SOURCES if "0.0.0.0" in path.read_text(encoding="utf-8")] == []
    from dmt_ray.cli.main import parser

    assert parser(["ui"]).parse_args(["ui"]).host == "127.0.0.1"
