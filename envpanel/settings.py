"""settings.yaml of the home: the project's settings, shared by all members."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from envpanel.errors import InvalidSettings

KEY = "settings.yaml"

_MOST = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Index:
    """A package index with a name. Its credentials are never here: `UV_INDEX_<NAME>_USERNAME` and `_PASSWORD`."""

    name: str
    url: str
    default: bool = False


@dataclass(frozen=True, kw_only=True)
class Limits:
    """`build_minutes`: a resolve or build that takes longer is ended. `log_mib`: a log is cut beyond this size."""

    build_minutes: float = 60.0
    log_mib: float = 16.0


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What settings.yaml says, or the defaults.

    `python_search_path`: folders with interpreters, looked at before those that are found without.
    """

    indexes: tuple[Index, ...] = ()
    limits: Limits = field(default_factory=Limits)
    python_search_path: tuple[str, ...] = ()


def parse(text: str) -> Settings:
    """The settings that this YAML holds.

    Raises:
        InvalidSettings: with the key that is wrong, and what it may be.
    """
    # Imported here, as most homes have no settings.
    from envpanel.model import safe_yaml

    try:
        document = safe_yaml.load(text)
    except ValueError as error:
        raise InvalidSettings(f"settings.yaml {error}.") from error
    if document is None:
        return Settings()
    table = _table(document, "settings.yaml", Settings)
    indexes = table.get("indexes", [])
    if not isinstance(indexes, list):
        raise InvalidSettings("'indexes' in settings.yaml must be a list of {name, url}.")
    parsed = tuple(_index(entry, f"indexes[{position}]") for position, entry in enumerate(indexes))
    if sum(index.default for index in parsed) > 1:
        raise InvalidSettings("Two indexes in settings.yaml are marked as the default one.")
    names = [index.name.lower() for index in parsed]
    if len(names) != len(set(names)):
        raise InvalidSettings("Two indexes in settings.yaml have the same name.")
    limits = _table(table.get("limits", {}), "limits", Limits)
    for key, value in limits.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _MOST:
            raise InvalidSettings(f"'limits.{key}' in settings.yaml must be a number above 0, at most {_MOST}.")
    search_path = table.get("python_search_path", [])
    if not isinstance(search_path, list) or not all(isinstance(entry, str) for entry in search_path):
        raise InvalidSettings("'python_search_path' in settings.yaml must be a list of folders.")
    return Settings(
        indexes=parsed,
        limits=Limits(**{key: float(value) for key, value in limits.items()}),
        python_search_path=tuple(search_path),
    )


def _table(value: Any, where: str, kind: type) -> Mapping[str, Any]:
    allowed = [item.name for item in fields(kind)]
    if not isinstance(value, dict):
        raise InvalidSettings(f"{where} must hold keys and values, not {type(value).__name__}.")
    for key in value:
        if key not in allowed:
            # Without what stands behind "://": an address in the wrong place may have a password in it.
            shown = repr(key.split("://")[0][:40]) if isinstance(key, str) else f"{key}"[:40]
            raise InvalidSettings(f"{shown} in {where} is not a setting; there are {', '.join(allowed)}.")
    return value


def _index(entry: Any, where: str) -> Index:
    table = _table(entry, where, Index)
    name, url, default = table.get("name"), table.get("url"), table.get("default", False)
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise InvalidSettings(f"'{where}.name' in settings.yaml must be a name of letters, digits, '-' and '_'.")
    if not isinstance(url, str) or not re.match(r"(https?|file)://", url):
        raise InvalidSettings(f"'{where}.url' in settings.yaml must begin with https://, http:// or file://.")
    if re.search(r"[@?#]", url):
        raise InvalidSettings(
            f"'{where}.url' in settings.yaml must be the bare address: credentials could be read by all members.",
            hint=f"Set UV_INDEX_{name.upper().replace('-', '_')}_USERNAME and _PASSWORD, or use a .netrc file.",
        )
    if not re.fullmatch(r"\S+", url) or not url.isprintable():
        raise InvalidSettings(f"'{where}.url' in settings.yaml must be one address, without spaces.")
    if not isinstance(default, bool):
        raise InvalidSettings(f"'{where}.default' in settings.yaml must be true or false.")
    return Index(name=name, url=url, default=default)
