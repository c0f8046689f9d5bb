"""The order of versions and the identity of names.

Sources: PEP 440 (versions), PEP 503 (names), conda's VersionOrder for what PEP 440 does not parse.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import zip_longest

from packaging.utils import canonicalize_name
from packaging.version import Version

__all__ = ["canonicalize_name", "compare", "is_prerelease"]


@lru_cache(maxsize=8192)
def _parse(text: str) -> Version | None:
    try:
        return Version(text)
    except ValueError:
        # Not PEP 440, or with more digits than Python reads as a number.
        return None


_Part = tuple[int, int, str]
_ZERO: _Part = (1, 0, "")


def _natural(text: str) -> list[_Part]:
    """Conda's reading: runs of digits as numbers, above letters."""
    parts: list[_Part] = []
    for part in re.findall(r"\d+|[a-z]+", text.lower()):
        digits = part.lstrip("0")
        # By length and then by digit: a number of any length, without reading it as one.
        parts.append((1, len(digits), digits) if part[0].isdecimal() else (0, 0, part))
    return parts


def compare(old: str, new: str) -> int:
    """-1 where `new` is lower than `old`, 0 where they are equal, 1 where it is higher.

    By PEP 440 where both parse, else by conda's order.
    """
    if old == new:
        return 0
    parsed_old, parsed_new = _parse(old), _parse(new)
    if parsed_old is not None and parsed_new is not None:
        return (parsed_new > parsed_old) - (parsed_new < parsed_old)
    # Missing parts count as 0, so that 1.0 and 1.0.0 are equal and 1.0rc stands below both.
    for part_old, part_new in zip_longest(_natural(old), _natural(new), fillvalue=_ZERO):
        if part_old != part_new:
            return 1 if part_new > part_old else -1
    return 0


def is_prerelease(version: str) -> bool:
    """Whether PEP 440 calls it a pre-release or a development release."""
    parsed = _parse(version)
    return parsed is not None and parsed.is_prerelease
