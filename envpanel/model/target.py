"""The target of a lock: a minor version of Python on the platform of this machine."""

from __future__ import annotations

import platform as host
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import cast

from packaging import tags
from packaging.markers import default_environment
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from envpanel.model.nouns import PYTHONS


@lru_cache(maxsize=1)
def this_platform() -> str:
    """Operating system and machine, as records name them: `linux-x86_64`, `linux-musl-x86_64`, `macos-arm64`."""
    system = {"darwin": "macos", "windows": "windows"}.get(host.system().lower(), host.system().lower())
    machine = host.machine().lower()
    musl = system == "linux" and any("musllinux" in tag for tag in tags.platform_tags())
    return f"{system}-musl-{machine}" if musl else f"{system}-{machine}"


def default_python() -> str:
    """The minor version that runs envpanel where it is supported, else the oldest supported one."""
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    return running if running in PYTHONS else PYTHONS[0]


@dataclass(frozen=True, kw_only=True)
class Target:
    """CPython `python` (minor version) on this machine; needs no such interpreter to be installed."""

    python: str

    @property
    def platform(self) -> str:
        """The platform of this machine."""
        return this_platform()

    @cached_property
    def environment(self) -> dict[str, str]:
        """The PEP 508 variables there. Markers of patch versions are read as the first of the minor version."""
        variables = dict(cast("dict[str, str]", default_environment()))
        variables |= {
            "python_version": self.python,
            "python_full_version": f"{self.python}.0",
            "implementation_version": f"{self.python}.0",
            "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
        }
        return variables

    @cached_property
    def _ranks(self) -> dict[tags.Tag, int]:
        version = [int(part) for part in self.python.split(".")]
        platforms = list(tags.platform_tags())
        interpreter = f"cp{version[0]}{version[1]}"
        abis = [interpreter]
        supported = [
            *tags.cpython_tags(version, abis=abis, platforms=platforms),
            *tags.compatible_tags(version, interpreter=interpreter, platforms=platforms),
        ]
        return {tag: rank for rank, tag in reversed(list(enumerate(supported)))}

    def best_wheel(self, names: Iterable[str]) -> str | None:
        """Which of these wheel files an installer takes here: the one with the most specific tag, or None."""
        ranked = []
        for name in names:
            try:
                _, _, build, wheel_tags = parse_wheel_filename(name)
            except InvalidWheelFilename:
                continue
            ranks = [self._ranks[tag] for tag in wheel_tags if tag in self._ranks]
            if ranks:
                ranked.append((-min(ranks), build or (-1, ""), name))
        return max(ranked)[2] if ranked else None
