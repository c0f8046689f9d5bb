"""YAML from people, read without surprises: no aliases, no doubled keys, no objects, and not too much of it."""

from __future__ import annotations

from typing import Any

import yaml

LONGEST = 1 << 20
"""Longer files (in characters) are refused: nobody has written them by hand."""
DEEPEST = 20
"""Deeper nesting is refused."""


class _Refused(yaml.MarkedYAMLError):
    """YAML, and not what we take."""


class _Loader(yaml.SafeLoader):
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise _Refused(problem="has an alias (*name) in it", problem_mark=mark)
        self.depth += 1
        if self.depth > DEEPEST:
            raise _Refused(problem="is nested too deeply")
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            value = getattr(key, "value", None)
            if isinstance(value, str):
                if value in seen:
                    # Without what stands behind "://": there may be a password in it.
                    shown = value.split("://")[0][:40]
                    raise _Refused(problem=f"has {shown!r} twice", problem_mark=key.start_mark)
                seen.add(value)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def load(text: str) -> Any:
    """What the YAML says: mappings, lists, text, numbers, dates, true and false, nothing.

    Raises:
        ValueError: why not, as the end of a sentence that begins with the file's name; with the line where it is known.
    """
    if len(text) > LONGEST:
        raise ValueError(f"is longer than {LONGEST} characters")
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark is not None else ""
        problem = str(getattr(error, "problem", None) or "")
        said = problem if isinstance(error, _Refused) else ": ".join(filter(None, ["is not YAML", problem]))
        raise ValueError(said + where) from error
    except (ValueError, KeyError, AttributeError, TypeError, OverflowError, RecursionError) as error:
        # PyYAML's own constructors, on values that only look like a date or a number.
        raise ValueError("is not YAML: a value in it cannot be read") from error
