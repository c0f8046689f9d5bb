"""What lives in users' kernels: envpanel's side of a notebook.

A copy of this folder, with `envpanel/__init__.py` beside it, is the last entry of `sys.path` in each kernel of an
environment: nothing of it is in the environment. So it is written for Python 3.9 and later, imports the standard
library and IPython only (the panel ipywidgets, where that is there), and nothing else of envpanel.
"""

from __future__ import annotations

import sys
from typing import Any


def load_ipython_extension(shell: Any) -> None:
    """Set the notebook side up; kernels of environments do it at their start. No failure of it is one of the kernel."""
    try:
        from envpanel.notebook import completer, guard, magics

        guard.install(shell)
        completer.install(shell, magics.install(shell))
    except Exception as error:
        print(f"envpanel: the notebook side is not there: {error}", file=sys.stderr)
