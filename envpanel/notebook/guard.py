"""`%pip`, `%uv`, `%conda` and `%mamba` do what the stand-ins of these programs do: they say how, and change nothing."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

# As envpanel.kernels.tools writes it into their folder.
_MARK = ".envpanel-shims"
_MAGICS = {"pip": "pip", "uv": "uv", "conda": "conda", "mamba": "mamba", "micromamba": "mamba"}


def install(shell: Any) -> None:
    """Replace those magics that IPython has. Nothing is done in a kernel that envpanel has not started."""
    folder = _shims()
    if folder is None:
        return
    for name, program in _MAGICS.items():
        if shell.find_line_magic(name) is not None:
            magic = _magic(shell, name, str(Path(folder, program)))
            shell.register_magic_function(magic, "line", name)


def _shims() -> str | None:
    # Another Python may be started from a kernel, with the variables of that one.
    if os.environ.get("ENVPANEL_PREFIX") != sys.prefix:
        return None
    folders = os.environ.get("PATH", "").split(os.pathsep)
    return next((folder for folder in folders if folder and Path(folder, _MARK).exists()), None)


def _magic(shell: Any, name: str, program: str) -> Callable[[str], None]:
    def magic(line: str) -> None:
        shell.system(f"{shlex.quote(program)} {line}")

    magic.__name__ = name
    magic.__doc__ = f"%{name} list and the like look at this environment; it is changed by envpanel: %envinstall."
    return magic
