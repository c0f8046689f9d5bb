"""JSON: the canonical form that digests are made of, and values to and from it."""

from __future__ import annotations

import hashlib
import json
import re
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

    The digest is that of the stored bytes without the digest itself, for they are the canonical ones: nothing need be
    written again to check them.

    Raises:
        RecordDamaged: a single other bit anywhere is found.
        FormatTooNew: a newer envpanel wrote something that this one cannot read.
    """
    if not data.endswith(b"}\n"):
        raise RecordDamaged("its end is missing")
    # What people asked for may hold such a pair, too.
    if not any(_is_digest(data, match) for match in _DIGEST.finditer(data)):
        raise RecordDamaged("its digest does not fit what it holds")
    try:
        head = msgspec.json.decode(data, type=_Head)
    except (ValueError, RecursionError) as error:
        raise RecordDamaged(f"it cannot be read ({error})") from error
    try:
        # A newer one may have more keys: what we know is enough to read most.
        return msgspec.json.decode(data, type=Record)
    except (ValueError, RecursionError) as error:
        if head.format <= FORMAT:
            raise RecordDamaged(f"it cannot be read ({error})") from error
        raise FormatTooNew(
            f"Revision {head.number} of {head.environment} was written by a newer envpanel, "
            f"and this one cannot read it ({error}).",
            hint="Upgrade envpanel here.",
        ) from error


class _Head(msgspec.Struct):
    """What has to be in every record, of whatever format."""

    format: int
    number: Any = None
    environment: Any = None


_DIGEST = re.compile(rb'"digest":"([0-9a-f]{64})",')


def _is_digest(data: bytes, match: re.Match[bytes]) -> bool:
    return sha256(data[: match.start()] + data[match.end() : -1]).encode() == match[1]


def _line(content: dict[str, Any]) -> bytes:
    return canonical(content) + b"\n"
