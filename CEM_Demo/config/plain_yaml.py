"""Read YAML that holds plain values only, without the traps of YAML."""

from __future__ import annotations

import re
from typing import Any

import yaml

# The numbers of a config. Longer ones stay text, which no numeric key accepts.
WHOLE_NUMBER = r"[+-]?(0|[1-9][0-9]{0,30})"
FRACTION = r"[+-]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][+-]?[0-9]{1,3})?|[+-]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"

DEEPEST = 10  # levels of brackets; a wrong value of this depth can still be shown


class PlainLoader(yaml.SafeLoader):
    """A YAML loader that refuses repeated keys, and reads 1e-3 as a number but 010 and dates as text.

    It also refuses tags, and aliases of lists and mappings, which could multiply without end.
    """

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        problem = None
        if isinstance(event, yaml.AliasEvent):
            if isinstance(self.anchors.get(event.anchor), yaml.CollectionNode):
                problem = f"*{event.anchor} stands for a list or a mapping; write it out"
        elif getattr(event, "tag", None):
            problem = f"the tag {event.tag} is not allowed; write a plain value"
        elif len(self.marks) > DEEPEST:
            problem = "nested too deeply; no key takes more than a list or a mapping of plain values"
        if problem:
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)  # type: ignore[arg-type]
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in lines:
                problem = f"the key {key.value} is there already, in line {lines[key.value]}; remove one of them"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            lines[key.value] = key.start_mark.line + 1
        return super().construct_mapping(node, deep)


_TAG = "tag:yaml.org,2002:"
PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in forms if tag.removeprefix(_TAG) not in ("int", "float", "timestamp")]
    for first, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
PlainLoader.add_implicit_resolver(f"{_TAG}int", re.compile(rf"^{WHOLE_NUMBER}$"), list("+-0123456789"))
PlainLoader.add_implicit_resolver(f"{_TAG}float", re.compile(rf"^({FRACTION})$"), list("+-.0123456789"))
