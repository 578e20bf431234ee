"""YAML without surprises: text that YAML 1.1 would read as something other than it looks like is an error.

So are texts that would take a reader more time or memory than a person's settings do: long ones, deep ones, and aliases
that stand for more and more of themselves.
"""

import math
import re
from collections.abc import Hashable
from typing import Any

import yaml

from dmt_ray.errors import ConfigError

# What YAML 1.1 makes of some plain words, and what people who write them may mean instead. Quoted, all of it is text.
_SURPRISES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"yes|no|on|off", re.IGNORECASE), "can mean a word or true and false; write true or false, or"),
    (re.compile(r"[-+]?\d+(:[0-5]?\d)+(\.\d*)?"), "YAML reads as a number to base 60; write the number itself, or"),
    (re.compile(r"[-+]?\d[\d.]*_[\d_.eE+-]*"), "has an underscore; write the number without it, or"),
    (re.compile(r"[-+]?0[xXoObB][\da-fA-F_]+"), "is not a decimal number; write it as one, or"),
    (re.compile(r"[-+]?0\d+(\.\d*)?([eE][-+]?\d+)?"), "begins with 0, which YAML reads to base 8; leave the 0 out, or"),
    (re.compile(r"[-+]?\.?(inf|nan)|[-+]?infinity", re.IGNORECASE), "is not a finite number; write one, or"),
    (re.compile(r"\d{4}-\d\d?-\d\d?([Tt \t].*)?"), "YAML reads as a date;"),
    (re.compile(r"=|<<"), "has a meaning of its own in YAML;"),
)
LONGEST = 200_000  # characters of a text
DEEPEST = 30  # levels of lists and mappings
MOST = 20_000  # values, each counted as often as aliases repeat it
_DIGITS = 400  # of a number
_NO_TEXT = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")

_FLOAT = re.compile(r"[-+]?(\d+\.\d*|\.\d+|\d+)([eE][-+]?\d+)?")


class _Loader(yaml.SafeLoader):
    """The safe loader, which refuses surprises and keys that are given twice, and reads 1e-3 as a number."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = self._values = 0
        self._sizes: dict[yaml.Node, int] = {}  # values that a node holds, itself included

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        place = f"line {event.start_mark.line + 1}"
        before, tag = self._values, getattr(event, "tag", None)
        if tag not in (None, "!", "tag:yaml.org,2002:str"):
            raise ConfigError(f"{place}: the tag {tag} is not read; leave it out")
        if isinstance(event, yaml.ScalarEvent) and (strange := _NO_TEXT.search(event.value)):
            raise ConfigError(f"{place}: the character {strange[0]!r} is in no name and no path; leave it out")
        self._depth += 1
        if self._depth > DEEPEST:
            raise ConfigError(f"{place}: settings are nested more than {DEEPEST} levels deep; they need five at most")
        node = super().compose_node(parent, index)
        assert node is not None
        self._depth -= 1
        if not isinstance(event, yaml.AliasEvent):
            self._values += 1
            self._sizes[node] = self._values - before
        elif node in self._sizes:
            self._values += self._sizes[node]
        else:
            raise ConfigError(f"{place}: the alias *{event.anchor} stands inside its own value")
        if self._values > MOST:
            raise ConfigError(f"{place}: more than {MOST} values, counting what aliases repeat; write fewer")
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: dict[Any, int] = {}
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if isinstance(name, int) and not isinstance(name, bool):  # a value in data.mask_values
                name = str(name)
            if not isinstance(name, str):
                raise ConfigError(f"line {key.start_mark.line + 1}: a setting's name is text, but got {name!r}")
            line = key.start_mark.line + 1
            if name in seen:
                raise ConfigError(f"{name!r} is set twice, in lines {seen[name]} and {line}; leave one of them out")
            seen[name] = line
        return super().construct_mapping(node, deep)


def _scalar(loader: _Loader, node: yaml.ScalarNode) -> Any:
    """The value of a plain word that looks like something other than text."""
    text = str(node.value)
    for surprise, why in _SURPRISES:
        if surprise.fullmatch(text):
            raise ConfigError(f"{text!r} {why} put quotes around it if it is text")
    if len(text) > _DIGITS:
        raise ConfigError(f"a number of {len(text)} characters; put quotes around it if it is text")
    if math.isinf(float(text)):
        raise ConfigError(f"{text!r} is too large for a number; put quotes around it if it is text")
    return float(text) if _FLOAT.fullmatch(text) and not text.lstrip("+-").isdigit() else int(text)


_PLAIN = "tag:dmt_ray,2026:plain"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag == "tag:yaml.org,2002:null"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), list("tTfF")
)
for _pattern in (_FLOAT, *(pattern for pattern, _ in _SURPRISES)):
    _Loader.add_implicit_resolver(_PLAIN, re.compile(rf"(?:{_pattern.pattern})\Z", _pattern.flags), None)
_Loader.add_constructor(_PLAIN, _scalar)


def parse(text: str) -> Any:
    """The value of a YAML text, of plain Python types.

    Raises:
        ConfigError: If a plain word is read by YAML as something else than it looks like, such as 010 or no, a key is
            given twice, or the text is longer or deeper than settings are.
        yaml.YAMLError: If it is not YAML.
    """
    if len(text) > LONGEST:
        raise ConfigError(f"a text of {len(text)} characters; settings have {LONGEST} at most")
    return yaml.load(text, Loader=_Loader)
