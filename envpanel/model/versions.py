"""The order of versions and the identity of names.

Sources: PEP 440 (versions), PEP 503 (names), conda's VersionOrder for what PEP 440 does not parse.
"""

from __future__ import annotations

import re
from functools import lru_cache

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

__all__ = ["canonicalize_name", "compare", "is_prerelease"]


@lru_cache(maxsize=8192)
def _parse(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None


def _natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Conda's reading: runs of digits as numbers, above letters; missing parts count as 0."""
    parts = [
        (1, int(part), "") if part.isdecimal() else (0, 0, part) for part in re.findall(r"\d+|[a-z]+", text.lower())
    ]
    while parts and parts[-1] == (1, 0, ""):
        parts.pop()
    # The end of a version stands above letters (1.0 after 1.0rc1) and below numbers (1.0 before 1.0.1).
    return (*parts, (0, 1, ""))


def compare(old: str, new: str) -> int:
    """-1 where `new` is lower than `old`, 0 where they are equal, 1 where it is higher.

    By PEP 440 where both parse, else by conda's order.
    """
    if old == new:
        return 0
    parsed_old, parsed_new = _parse(old), _parse(new)
    if parsed_old is not None and parsed_new is not None:
        return (parsed_new > parsed_old) - (parsed_new < parsed_old)
    natural_old, natural_new = _natural(old), _natural(new)
    return (natural_new > natural_old) - (natural_new < natural_old)


def is_prerelease(version: str) -> bool:
    """Whether PEP 440 calls it a pre-release or a development release."""
    parsed = _parse(version)
    return parsed is not None and parsed.is_prerelease
