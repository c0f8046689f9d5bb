"""Requirements: what people ask for, as PEP 508 lines that mean one thing only.

What reaches the resolver is written from the parsed form, never from what was typed, so a line cannot smuggle an
option (`--index-url ...`), a second line or a path into it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from packaging.markers import Marker, UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from envpanel.errors import InvalidRequirement

_LONGEST = 2000


# The same lines are read again with every revision of an environment.
@lru_cache(maxsize=4096)
def parse(spec: str) -> Requirement:
    """A requirement with a PEP 503 name; not to be written to.

    Raises:
        InvalidRequirement: an option, a path, an address, more than a line, or not PEP 508.
    """
    text = spec.strip()
    shown = _shown(text)
    if not text:
        raise InvalidRequirement("An empty package specification was given; name a package, such as 'pandas>=2'.")
    if len(text) > _LONGEST or not text.isprintable():
        raise InvalidRequirement(f"{shown} is not one line of printable text, so it cannot name a package.")
    if text.startswith("-"):
        raise InvalidRequirement(
            f"{shown} is an option, not a package.",
            hint="Indexes are set by UV_DEFAULT_INDEX, UV_INDEX or settings.yaml.",
        )
    # The address of `name @ https://user:secret@host/...` must not reach a record, so it is told apart first.
    if re.search(r"://.*@", text):
        raise InvalidRequirement(
            f"{shown} carries credentials; they would be kept in the history for all to read.",
            hint="Use an index of settings.yaml with its password in UV_INDEX_<NAME>_PASSWORD, or a .netrc file.",
        )
    try:
        requirement = Requirement(text)
        requirement.name = canonicalize_name(requirement.name)
        requirement.extras = {canonicalize_name(extra) for extra in requirement.extras}
        if requirement.marker is not None:
            # What has the form of a marker, and no answer, is none: `os_name ~= 'x'`.
            requirement.marker.evaluate({"extra": ""})
        # A name such as `six-` or a quote written as an escape changes when it is written out.
        written = str(requirement)
        plain = written.isprintable() and Requirement(written) == requirement
    except (ValueError, UndefinedComparison, UndefinedEnvironmentName) as error:
        raise InvalidRequirement(
            f"{shown} is not a package specification.",
            hint=_hint(text) or f"{str(error).splitlines()[0].rstrip('.')}. Write it as in 'pandas>=2,<3'.",
        ) from error
    if not plain:
        raise InvalidRequirement(f"{shown} cannot be written as one line.", hint="Write it as in 'pandas>=2,<3'.")
    if requirement.url is not None:
        raise InvalidRequirement(f"{shown} names an address.", hint=_hint(text))
    if re.search(r"\.(whl|zip|egg|gz|bz2|txt|toml|ya?ml)$", text):
        raise InvalidRequirement(f"{shown} is a file, not a package.", hint=_hint(text))
    return requirement


def normalise(spec: str) -> str:
    """The one way in which envpanel writes this requirement: `Rapid_Fuzz >= 3` becomes `rapid-fuzz>=3`."""
    return str(parse(spec))


def merge(current: Sequence[str], asked: Iterable[str]) -> tuple[str, ...]:
    """`current` with `asked` in it; a requirement of the same name and marker is replaced. Sorted."""
    merged = {_key(line): line for line in current}
    for spec in asked:
        line = normalise(spec)
        merged[_key(line)] = line
    return tuple(sorted(merged.values()))


def without(current: Sequence[str], names: Iterable[str]) -> tuple[str, ...]:
    """`current` without the requirements of these names, whatever their markers."""
    dropped = {canonicalize_name(name) for name in names}
    return tuple(line for line in current if parse(line).name not in dropped)


def requested_names(requirements: Iterable[str], environment: dict[str, str] | None = None) -> frozenset[str]:
    """The names that are asked for where the markers hold in `environment` (PEP 508 variables), or at all."""
    return frozenset(
        parsed.name
        for parsed in map(parse, requirements)
        if environment is None or parsed.marker is None or _holds(parsed.marker, environment)
    )


def _holds(marker: Marker, environment: dict[str, str]) -> bool:
    return marker.evaluate({"extra": "", **environment})


def _key(line: str) -> tuple[str, str]:
    requirement = parse(line)
    return requirement.name, str(requirement.marker or "")


def _hint(text: str) -> str | None:
    if re.fullmatch(r"[\w.-]+=[\w.*-]+", text):
        return f"Did you mean {text.replace('=', '==')!r}?"
    if re.match(r"(\w+\s*@\s*)?(git|hg|svn|bzr)\+", text):
        return "Packages come from package indexes; Git addresses are not taken."
    if "://" in text or re.match(r"\w[\w.-]*(\[.*\])?\s*@", text):
        return "Packages come from package indexes; name the package and its version, such as 'pandas==2.2.3'."
    if "/" in text or text.startswith((".", "~")) or re.search(r"\.\w+$", text):
        return "Packages come from package indexes; a path is not taken."
    return None


def _shown(text: str) -> str:
    """For sentences: short, and nothing of an address, for secrets stand in many places of those."""
    told = re.sub(r"://.*", "://…", text, flags=re.DOTALL)
    return repr(told if len(told) <= 120 else f"{told[:117]}...")
