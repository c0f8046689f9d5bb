"""envpanel: shared Python environments with a history, inside Jupyter.

Importing this costs nothing: a copy of it is also loaded inside users' kernels (Python 3.9 and later).
"""

__version__ = "0.1.0"
