"""Pictures on the screen, through OpenCV where it has windows."""

from __future__ import annotations

import os
import re
import sys
from types import ModuleType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from v2v_runtime.errors import MediaError

_ESCAPE = 27


class Window:
    """Shows pictures as they come; Esc, q or closing it asks for the end.

    Attributes:
        closed: somebody asked for the end.

    Raises:
        MediaError: V2V-E9010: no OpenCV, one without windows, or no screen.
    """

    def __init__(self, title: str) -> None:
        self._cv2 = _opencv()
        self._title = title
        self.closed = False
        self._cv2.namedWindow(title, self._cv2.WINDOW_NORMAL | self._cv2.WINDOW_KEEPRATIO)

    def write(self, rgb: NDArray[np.uint8], pts: int) -> None:
        """Shows a picture [H, W, 3] at once; a stream sets its own pace."""
        self._cv2.imshow(self._title, rgb[..., ::-1])
        key = self._cv2.waitKey(1) & 0xFF
        shown = self._cv2.getWindowProperty(self._title, self._cv2.WND_PROP_VISIBLE)
        self.closed |= key in (_ESCAPE, ord("q")) or shown < 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._cv2.destroyAllWindows()


def window_kind(cv2: ModuleType) -> str | None:
    """The toolkit that an OpenCV build draws windows with; None for a headless build."""
    found = re.search(r"GUI:\s*(\w+)", cv2.getBuildInformation())
    return found.group(1) if found and found.group(1) != "NONE" else None


def _opencv() -> ModuleType:
    try:
        import cv2
    except ImportError as error:
        raise MediaError(
            "V2V-E9010", f"a window needs OpenCV: {error}", "", "pip install opencv-python, or write a file"
        ) from error
    module: ModuleType = cv2
    if window_kind(module) is None:
        raise MediaError(
            "V2V-E9010",
            "this OpenCV was built without windows",
            "opencv-python instead of opencv-python-headless",
            "install it, or write a file",
        )
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise MediaError(
            "V2V-E9010", "no screen: DISPLAY is not set", "a desktop session", "write a file instead"
        )
    return module
