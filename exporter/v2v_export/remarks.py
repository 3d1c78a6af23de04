"""What a system has to say of a recipe that it takes as it is: remarks for the user, no errors.

A remark is a Python warning, so that it shows wherever weights are loaded; a command that has a log of its
own puts it there (``told``).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Remark(UserWarning):
    """Something that a user should know, and that may be as it was meant."""


def remark(text: str) -> None:
    """Says something about a recipe: what was seen, what it means, what would change it."""
    warnings.warn(text, Remark, stacklevel=2)


@contextmanager
def told(tell: Callable[[str], None]) -> Iterator[None]:
    """Gives remarks to ``tell`` as they come, each time; other warnings go their way."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", Remark)
        shown = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if issubclass(category, Remark):
                tell(str(message))
            else:
                shown(message, category, *place, **more)

        warnings.showwarning = show
        yield
