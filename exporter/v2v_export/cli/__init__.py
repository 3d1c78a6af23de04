"""``v2v-export``: one file per command, imported when it is asked for. ``main`` is the entry point.

A file here whose name has no underscore is a command of that name (``import_`` would be ``import``): its
``command`` function is the command, with the help text in the docstring, and ``PANEL`` says where ``--help``
lists it. Nothing heavy is imported at the top of such a file, so that ``--help`` stays quick.
"""

from __future__ import annotations

from v2v_export.cli._main import main

__all__ = ["main"]
