"""DESIGN.md as tests: who may import whom, where files lie, and which names are gone."""

import ast
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

from tests.helpers.paths import ROOT

PACKAGE = ROOT / "dmt_ray"
PARSED = {
    path: ast.parse(path.read_text(encoding="utf-8"))
    for folder in ("dmt_ray", "searches", "ablations")
    for path in sorted((ROOT / folder).rglob("*.py"))
}

# From the top down. A room may import the rooms in the lines below its own; everybody may import what lies at the root
# of the package: commands, errors, files, IGNORE.
SPINE = (
    "searches ablations",
    "cli testing",
    "api",
    "report",
    "tracking",
    "search",
    "results",
    "experiments",
    "execution deploy",
    "engine",
    "data models store methods",
    "plan recipes",
    "config",
    "losses",
)
# What a room does not know, although it lies below.
UNKNOWN = {
    "tracking": "search experiments execution",  # it receives results and knows no driver
    "results": "execution engine data models",  # it reads records
    "engine": "store methods recipes",  # folders in, a folder out
    "store": "recipes config losses",  # its content is not its business
    "methods": "recipes losses",  # a function from any settings to a plan
    "config": "losses",  # settings are values
} | dict.fromkeys(("plan", "recipes"), "losses")
# The only rooms that import a library.
LIBRARIES = {
    "ray": "execution search testing",  # testing takes its cloudpickle alone
    "mlflow": "tracking",
    "torch": "losses models engine deploy execution tracking report api",
    "optuna": "search experiments report execution",  # experiments reads studies; execution has it in ray_private alone
}


def table() -> dict[str | None, set[str]]:
    """Room -> what it may import, of ours and of the libraries that are named above."""
    # What `import dmt_ray` offers; the other files at the root import nothing of ours.
    allowed: dict[str | None, set[str]] = {"__init__": {"api", "methods", "plan", "recipes", "config", "errors"}}
    for level, rooms in enumerate(SPINE):
        below = {other for line in SPINE[level + 1 :] for other in line.split()}
        for room in rooms.split():
            libraries = {name for name, users in LIBRARIES.items() if room in users.split()}
            allowed[room] = below - set(UNKNOWN.get(room, "").split()) | libraries | {room}
    return allowed


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and full name of every import, also of those inside functions and under TYPE_CHECKING."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{'.' * node.level}{node.module}.{name.name}") for name in node.names)


def room_of(path: Path) -> str | None:
    """The room that a file lies in; "__init__" for the package's face, None for the other files at its root."""
    folder, *rest = path.relative_to(ROOT).parts
    if rest == ["__init__.py"] and folder == "dmt_ray":
        return "__init__"
    return folder if folder != "dmt_ray" else rest[0] if len(rest) > 1 else None


def test_imports_only_go_down_the_spine() -> None:
    allowed = table()
    libraries_and_scripts = {*LIBRARIES, "searches", "ablations"}
    faults = []
    for path, tree in PARSED.items():
        room = room_of(path)
        for line, name in imports(tree):
            top, *rest = name.split(".")
            target = rest[0] if top == "dmt_ray" else top
            known = target in allowed if top == "dmt_ray" else target in libraries_and_scripts
            if known and target not in allowed.get(room, {room}):
                faults.append(f"{path.relative_to(ROOT)}:{line}: {room or 'the root'} -> {target}")
    assert not faults, "imports that go up the spine:\n" + "\n".join(sorted(set(faults)))


def test_every_room_is_on_the_spine() -> None:
    assert {path.parent.name for path in PACKAGE.glob("*/__init__.py")} | {
        "searches",
        "ablations",
    } == table().keys() - {"__init__"}


def test_rooms_without_torch_do_not_load_it_by_a_detour() -> None:
    without = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in PARSED
        if room_of(path) in ("config", "plan", "recipes", "methods", "store", "results")
    ]
    code = f"import sys, {', '.join(without)}; print(*{{'torch', 'ray', 'mlflow', 'optuna'}} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_few_files_lie_at_the_root_of_the_package() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 3


def test_private_names_of_ray_and_optuna_stand_in_one_file() -> None:
    own = {"_replace", "_asdict", "_fields", "_exit"}  # of ours, and what Python documents
    for node in (node for tree in PARSED.values() for node in ast.walk(tree)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            own.add(node.name)
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            own.add(node.id if isinstance(node, ast.Name) else node.attr)
    faults = []
    for path, tree in PARSED.items():
        libraries = {name.split(".")[0] for _, name in imports(tree)} & {"ray", "optuna"}
        if not libraries or path == PACKAGE / "execution" / "ray_private.py":
            continue
        names = [(line, name) for line, name in imports(tree) if name.split(".")[0] in libraries]
        names += [(node.lineno, node.attr) for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
        for line, name in names:
            private = {part for part in name.split(".") if re.match(r"_[A-Za-z]", part)} - own
            faults += [f"{path.relative_to(ROOT)}:{line}: {part}" for part in private]
    assert not faults, "move these to dmt_ray/execution/ray_private.py:\n" + "\n".join(faults)


def test_tests_mirror_the_package() -> None:
    others = {"ablations", "analysis", "benchmarks", "docs", "golden", "helpers", "searches", "security"}
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir()}
    folders = {path.parent.relative_to(ROOT / "tests").parts for path in (ROOT / "tests").rglob("test_*.py")}
    assert {parts[0] for parts in folders if parts} <= rooms | others
    assert all(len(parts) <= 1 for parts in folders)


def test_no_test_imports_from_another_test_file() -> None:
    faults = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in (ROOT / "tests").rglob("*.py")
        for line, name in imports(ast.parse(path.read_text(encoding="utf-8")))
        if re.match(r"tests\.(.*\.)?(test_\w+|conftest)(\.|$)", name)
    ]
    assert not faults, "move what is shared to the folder's conftest.py or to tests/helpers:\n" + "\n".join(faults)


# ---- names -----------------------------------------------------------------------------------------------------

# The left column of "Names" in DESIGN.md: no function, class, parameter, attribute or module is called so, ...
GONE = set(
    """
    asked told said found one wanted there kept who engage hire deal half why replay claim claims ticket heir orphans
    averaging weighing pace effort sharing outcomes own_point aside outbox refused
    Asked About Crew Shelf Place Feed Ahead Stream Lesson Taught Learner Whole MAKES
    """.split()  # noqa: SIM905
)
# ... and these words are in no name and in no text for people.
WORDS = re.compile(
    r"(?<![a-z-])(crews?|hire[sd]?|outbox|shel(f|ves)|heirs?|orphans?|lesson|learner|surest share|embedded data"
    r"|images that select|reported images|is no number|(set|lies|written) aside)(?![a-z])",
    re.IGNORECASE,
)


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of all that is written for people in a Python file: comments, and strings of several words."""
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string
    for node in ast.walk(PARSED[path]):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            for number, line in enumerate(node.value.splitlines()):
                yield node.lineno + number, line


def definitions(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of functions, classes, their parameters and attributes, and the values of a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr
        if isinstance(node, ast.Module | ast.ClassDef):
            for child in node.body:
                for target in getattr(child, "targets", None) or [getattr(child, "target", None)]:
                    if isinstance(target, ast.Name):
                        yield child.lineno, target.id


def identifiers(tree: ast.AST) -> Iterator[tuple[int, str]]:
    yield from definitions(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            yield node.lineno, node.id if isinstance(node, ast.Name) else node.attr


def test_old_names_are_gone_from_the_code() -> None:
    faults = set()
    for path, tree in PARSED.items():
        names = [(1, path.stem), *identifiers(tree)]
        found = [(line, name) for line, name in definitions(tree) if name.strip("_") in GONE]
        found += [(1, path.stem)] if path.stem in GONE else []
        found += [(line, name) for line, name in names if WORDS.search(re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", name))]
        found += [(line, text.strip()) for line, text in texts(path) if WORDS.search(text)]
        faults |= {f"{path.relative_to(ROOT)}:{line}: {what}" for line, what in found}
    assert not faults, "names and words that DESIGN.md has replaced:\n" + "\n".join(sorted(faults))


def test_old_words_are_gone_from_the_docs() -> None:
    faults = [
        f"{path.relative_to(ROOT)}:{number}: {line}"
        for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if WORDS.search(line)
    ]
    assert not faults, "words that DESIGN.md has replaced:\n" + "\n".join(faults)
