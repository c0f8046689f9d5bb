"""What the panel's `types.ts` says of the wire is what the server says of itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from envpanel.server.openapi import document

TYPES = Path(__file__).parents[2] / "labextension" / "src" / "types.ts"

NAMES = {"Record": "Record_"}
"""Where TypeScript has another word."""

UNUSED = {"VerifyBody"}
"""What the panel does not ask for yet."""

SCHEMAS: dict[str, Any] = document()["components"]["schemas"]
OBJECTS = {name: schema for name, schema in SCHEMAS.items() if "properties" in schema and name not in UNUSED}
WORDS = {name: schema["enum"] for name, schema in SCHEMAS.items() if "enum" in schema}
ASKED = ("Body", "Intent")
"""Types of what is sent: what has a default need not be in it. All that comes has all its fields."""


def _interfaces() -> dict[str, dict[str, tuple[bool, str]]]:
    """Whether it may be missing, and its type, by interface and field."""
    found = re.findall(r"^export interface (\w+) \{\n(.*?)^\}", TYPES.read_text(), re.DOTALL | re.MULTILINE)
    return {
        name: {
            field: (mark == "?", kind) for field, mark, kind in re.findall(r"^  (\w+)(\??): (.*);$", body, re.MULTILINE)
        }
        for name, body in found
    }


def _kind(schema: dict[str, Any]) -> str:
    """A type as TypeScript writes it."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return NAMES.get(name, name)
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(_kind(each) for each in schema["anyOf"]))
    if "enum" in schema:
        return " | ".join(f"'{each}'" for each in schema["enum"])
    match schema.get("type"):
        case "array":
            return f"{_kind(schema['items'])}[]"
        case "integer" | "number":
            return "number"
        case "object":
            values = schema.get("additionalProperties")
            return f"Record<string, {_kind(values) if isinstance(values, dict) and values else 'unknown'}>"
        case "string" | "boolean" | "null" as plain:
            return str(plain)
        case _:
            return "unknown"


@pytest.mark.parametrize("name", sorted(OBJECTS))
def test_an_object_has_the_fields_that_the_server_gives_it(name: str) -> None:
    fields = _interfaces().get(NAMES.get(name, name))
    assert fields is not None, f"types.ts lacks {name}"
    schema = OBJECTS[name]
    required = set(schema.get("required", ()))
    # The union of intents has a name of its own there.
    wanted = {
        field: (
            name.endswith(ASKED) and field not in required,
            "Intent | null" if "Intent" in _kind(each) else _kind(each),
        )
        for field, each in schema["properties"].items()
    }
    assert fields == wanted


@pytest.mark.parametrize("name", sorted(WORDS))
def test_a_word_is_one_of_those_that_the_server_has(name: str) -> None:
    match = re.search(rf"^export type {name} = (.*);$", TYPES.read_text(), re.MULTILINE)
    assert match is not None, f"types.ts lacks {name}"
    assert sorted(re.findall(r"'([^']+)'", match[1])) == sorted(WORDS[name])


def test_the_union_of_intents_has_all_of_them() -> None:
    match = re.search(r"^export type Intent =\n(.*?);$", TYPES.read_text(), re.DOTALL | re.MULTILINE)
    assert match is not None
    assert set(re.findall(r"\w+", match[1])) == {name for name in OBJECTS if name.endswith("Intent")}
