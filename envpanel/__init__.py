"""envpanel: shared Python environments with a history, inside Jupyter.

Importing this costs nothing: a copy of it is also loaded inside users' kernels (Python 3.9 and later).
"""

__version__ = "0.1.0"


def _jupyter_server_extension_points():  # type: ignore[no-untyped-def]
    """Where Jupyter finds the extension; what that needs is imported in a server only."""
    import importlib

    app = importlib.import_module("envpanel.server.app").EnvPanel
    return [{"module": "envpanel.server.app", "app": app}]


def __getattr__(name):  # type: ignore[no-untyped-def]
    """`from envpanel import EnvPanel`: the panel in a notebook, which is imported by nothing else."""
    if name != "EnvPanel":
        raise AttributeError(f"module 'envpanel' has no attribute {name!r}")
    from envpanel.notebook import widget

    return widget.EnvPanel


def load_ipython_extension(shell):  # type: ignore[no-untyped-def]
    """`%load_ext envpanel`: the notebook side, which kernels of environments have from their start."""
    from envpanel import notebook

    notebook.load_ipython_extension(shell)


def _jupyter_labextension_paths():  # type: ignore[no-untyped-def]
    """Where `jupyter-builder develop` finds the screens that were built."""
    return [{"src": "labextension", "dest": "envpanel"}]
