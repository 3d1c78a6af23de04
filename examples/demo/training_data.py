"""Pictures to train on: shots of the photographs that are not held out, with their colours varied.

Ten photographs are few. Each is shown in its own colours half of the time; otherwise its channels are
swapped, its tones bent, and grey ones are painted between two random colours, so that the teacher learns
the look and not the photographs.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import torch
from torch import Tensor
from v2v_export.demo.look import Picture, comic
from v2v_export.demo.scenes import TRAINED, Shot, draw_shot, photograph

# Grey textures and medical pictures are seen less often than pictures of things.
_SHARE = {
    "astronaut": 4.0,
    "stereo_motorcycle": 4.0,
    "rocket": 2.0,
    "immunohistochemistry": 1.5,
    "camera": 1.5,
}


def random_shot(rng: np.random.Generator, height: int, width: int, reference: tuple[int, int]) -> Shot:
    """A shot of a random photograph, at about the scale at which a frame of size ``reference`` sees it."""
    weights = np.array([_SHARE.get(name, 1.0) for name in TRAINED])
    picture = vary_colours(_still(str(rng.choice(TRAINED, p=weights / weights.sum()))), rng)
    if rng.random() < 0.5:
        picture = np.ascontiguousarray(picture[:, ::-1])
    scale = max(reference[0] / picture.shape[0], reference[1] / picture.shape[1])
    own = max(height / picture.shape[0], width / picture.shape[1])
    cover = scale / own * float(np.exp(rng.uniform(np.log(0.8), np.log(1.8))))
    return draw_shot(
        picture,
        height,
        width,
        rng,
        speed=float(rng.uniform(0.2, 1.6)),
        cover=max(1.1, cover),
        ball=bool(rng.random() < 0.6),
    )


@cache
def _still(name: str) -> Picture:
    """A photograph of at most 700 pixels: more would only cost time, no frame shows it."""
    picture = photograph(name)
    shrink = 700 / max(picture.shape)
    return (
        picture
        if shrink >= 1
        else cv2.resize(picture, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    )


def vary_colours(picture: Picture, rng: np.random.Generator) -> Picture:
    """The picture in other colours, H x W x 3 uint8 RGB; every second one unchanged unless it is grey."""
    ramp = np.repeat(np.linspace(0, 1, 256)[:, None], 3, axis=1)
    if np.array_equal(picture[:, :, 0], picture[:, :, 2]):
        dark, light = rng.uniform(0, 0.35, 3), rng.uniform(0.55, 1.0, 3)
        ramp = dark + (light - dark) * ramp
    elif rng.random() < 0.5:
        return picture
    else:
        picture = np.ascontiguousarray(picture[:, :, rng.permutation(3)])
    ramp = ramp ** np.exp(rng.uniform(-0.35, 0.35, 3))
    table = np.rint(ramp * 255).astype(np.uint8)
    return np.stack([table[picture[:, :, channel], channel] for channel in range(3)], axis=2)


def look_clips(
    rng: np.random.Generator, gaps: list[int], height: int, width: int, reference: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """For each gap two frames that far apart, and the look of both: two uint8 [n, 2, 3, height, width]."""
    frames: list[Picture] = []
    for gap in gaps:
        shot, start = random_shot(rng, height, width, reference), float(rng.uniform(0, 400))
        blur = float(rng.uniform(0.4, 1.2)) if rng.random() < 0.3 else 0.0
        for moment in (start, start + gap):
            frame = shot.frame(moment)
            frames.append(cv2.GaussianBlur(frame, (0, 0), blur) if blur else frame)
    source, look = (to_planes(np.stack(part)) for part in (frames, [comic(frame) for frame in frames]))
    shape = (len(gaps), 2, *source.shape[1:])
    return source.view(shape), look.view(shape)


def clips(
    rng: np.random.Generator, count: int, length: int, height: int, width: int, reference: tuple[int, int]
) -> Tensor:
    """``count`` clips of ``length`` consecutive frames: uint8 [count, length, 3, height, width]."""
    taken = []
    for _ in range(count):
        shot, start = random_shot(rng, height, width, reference), float(rng.uniform(0, 400))
        taken.append(to_planes(np.stack([shot.frame(start + step) for step in range(length)])))
    return torch.stack(taken)


def to_planes(frames: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Tensor:
    """uint8 [..., H, W, 3] -> uint8 [..., 3, H, W]."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(frames, -1, -3)))


def to_unit(frames: Tensor) -> Tensor:
    """uint8 -> float32 in [-1, 1], the teacher's range."""
    return frames.float() / 127.5 - 1
