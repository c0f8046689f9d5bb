"""JSON: the canonical form that digests are made of, and values to and from it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any, TypeVar

import msgspec

from envpanel.errors import FormatTooNew, RecordDamaged
from envpanel.model.nouns import FORMAT, Record

_Value = TypeVar("_Value")


def canonical(value: Any) -> bytes:
    """The one way in which a JSON value is written where its digest counts: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256(data: bytes) -> str:
    """The digest, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def plain(value: Any) -> Any:
    """Dataclasses, enumerations and tuples as JSON values."""
    return msgspec.to_builtins(value)


def read(value: Any, kind: type[_Value]) -> _Value:
    """JSON values as an instance of `kind`; keys that it does not know are left out.

    Raises:
        ValueError: with the path of what does not fit.
    """
    # Numbers such as `"duration": 3` are integers in JSON and floats here: msgspec takes those in strict mode.
    return msgspec.convert(value, kind)


def seal(draft: Record) -> tuple[Record, bytes]:
    """The record with its digest, and the bytes to store."""
    content = plain(draft)
    del content["digest"]
    digest = sha256(canonical(content))
    content["digest"] = digest
    return replace(draft, digest=digest), _line(content)


def unseal(data: bytes) -> Record:
    """The record that these bytes hold, where digest and form are right.

    Raises:
        RecordDamaged: a single other bit anywhere is found, for the stored bytes are the canonical ones.
        FormatTooNew: a newer envpanel wrote something that this one cannot read.
    """
    try:
        content = json.loads(data)
        stored = content.pop("digest")
        if sha256(canonical(content)) != stored or _line({**content, "digest": stored}) != data:
            raise RecordDamaged("its digest does not fit what it holds")
        if content["format"] > FORMAT:
            # Keys may have been added, and values that we do not know: what we do know is enough to read most.
            return _read_newer({**content, "digest": stored})
        return read({**content, "digest": stored}, Record)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RecordDamaged(f"it cannot be read ({error})") from error


def _read_newer(content: dict[str, Any]) -> Record:
    try:
        return read(content, Record)
    except ValueError as error:
        raise FormatTooNew(
            f"Revision {content.get('number')} of {content.get('environment')} was written by a newer envpanel, "
            f"and this one cannot read it ({error}).",
            hint="Upgrade envpanel here.",
        ) from error


def _line(content: dict[str, Any]) -> bytes:
    return canonical(content) + b"\n"
