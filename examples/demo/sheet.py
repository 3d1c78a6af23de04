"""A contact sheet to judge the demo by eye: ``python examples/demo/sheet.py --out sheet.jpg``.

One row for each chosen frame of both held-out clips: input, OpenCV look, full teacher, stream.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from v2v_export.demo import BLOCK_WEIGHTS, HEIGHT, INTERVAL, LEVEL, TEACHER_WEIGHTS, WIDTH
from v2v_export.demo.look import Picture, comic
from v2v_export.demo.scenes import HELD_OUT, demo_clip
from v2v_export.systems.shortcut_v2v.reference import ReferenceStream
from v2v_export.systems.shortcut_v2v.weights import load_block, load_teacher

_SHOWN = (14, 45)
"""An S frame at distance 2 and an R frame, the farthest from its reference."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="picture to write (.jpg or .png)")
    parser.add_argument("--weights", type=Path, help="folder with both weights instead of the installed ones")
    options = parser.parse_args()
    folder = options.weights
    teacher = load_teacher(folder / TEACHER_WEIGHTS.name if folder else TEACHER_WEIGHTS)
    block = load_block(folder / BLOCK_WEIGHTS.name if folder else BLOCK_WEIGHTS)
    stream = ReferenceStream(teacher, block, LEVEL, INTERVAL, "shortcut")
    full = ReferenceStream(teacher, block, LEVEL, 1, "teacher")
    rows: list[Picture] = []
    for seed in range(len(HELD_OUT)):
        stream.reset()
        for index, frame in enumerate(demo_clip(max(_SHOWN) + 1, HEIGHT, WIDTH, seed)):
            shown = stream.step(frame).rgb8
            if index in _SHOWN:
                rows.append(np.hstack([frame, comic(frame), full.step(frame).rgb8, shown]))
    cv2.imwrite(str(options.out), np.vstack(rows)[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])


if __name__ == "__main__":
    main()
