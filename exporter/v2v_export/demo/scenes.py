"""Moving pictures with known motion: photographs under a virtual camera, with a ball drifting in front.

The photographs ship inside scikit-image's wheel (all public domain or CC0), so nothing is downloaded. A
:class:`Shot` is a pure function of time: frame ``t`` can be drawn alone, at any ``t``, so a training pair
with a given gap costs two frames and not a clip. Photographs in :data:`HELD_OUT` are never trained on; the
demo's video and the measured quality come from them only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt
from skimage import data

from v2v_export.demo.look import Picture

TRAINED = (
    "astronaut",
    "rocket",
    "stereo_motorcycle",
    "hubble_deep_field",
    "immunohistochemistry",
    "retina",
    "camera",
    "coins",
    "gravel",
    "brick",
)
"""Photographs that the demo's weights have seen; names of functions in ``skimage.data``."""
HELD_OUT = ("coffee", "chelsea")
"""Photographs that they have not: the demo's clips and its measured quality."""


@cache
def photograph(name: str) -> Picture:
    """One of scikit-image's own photographs, H x W x 3 uint8 RGB; of a stereo pair the left one."""
    loaded = getattr(data, name)()
    picture = np.asarray(loaded[0] if isinstance(loaded, tuple) else loaded)
    if picture.ndim == 2:
        picture = np.repeat(picture[:, :, None], 3, axis=2)
    return np.ascontiguousarray(picture[:, :, :3], dtype=np.uint8)


@dataclass(frozen=True)
class Drift:
    """A smooth wander: a sum of three slow sines, scaled so that it never moves faster than ``speed``.

    Attributes:
        amplitude: of each sine, in the unit that the caller gives it.
        frequency: of each sine, radians per frame.
        phase: of each sine, radians.
    """

    amplitude: tuple[float, ...]
    frequency: tuple[float, ...]
    phase: tuple[float, ...]

    @staticmethod
    def draw(rng: np.random.Generator, speed: float, reach: float) -> Drift:
        """A random wander of at most ``speed`` units per frame that stays within ``reach`` of its centre."""
        share = rng.dirichlet(np.ones(3))
        frequency = rng.uniform(0.02, 0.09, 3)
        amplitude = np.minimum(share * speed / frequency, share * reach)
        phase = rng.uniform(0, 2 * np.pi, 3)
        return Drift(tuple(amplitude), tuple(frequency), tuple(phase))

    def at(self, t: float) -> float:
        """The position at frame ``t``."""
        parts = zip(self.amplitude, self.frequency, self.phase, strict=True)
        return float(sum(a * np.sin(f * t + p) for a, f, p in parts))


@dataclass(frozen=True)
class Ball:
    """A striped beach ball in front of the photograph: it moves by itself, so it covers and uncovers things.

    Attributes:
        radius: pixels.
        centre: pixels from the picture's top left, (x, y), where its wander is centred.
        colours: the stripes, RGB 0..255, shape [S, 3].
    """

    radius: float
    centre: tuple[float, float]
    x: Drift
    y: Drift
    spin: Drift
    colours: npt.NDArray[np.float32]

    def over(self, picture: npt.NDArray[np.float32], t: float) -> None:
        """Paint the ball into ``picture`` (H x W x 3 float32 RGB 0..255), in place, with a soft outline."""
        cx, cy = self.centre[0] + self.x.at(t), self.centre[1] + self.y.at(t)
        height, width = picture.shape[:2]
        x0, x1 = max(0, int(cx - self.radius) - 2), min(width, int(cx + self.radius) + 3)
        y0, y1 = max(0, int(cy - self.radius) - 2), min(height, int(cy + self.radius) + 3)
        if x0 >= x1 or y0 >= y1:
            return
        dx = (np.arange(x0, x1, dtype=np.float32)[None, :] - cx) / self.radius
        dy = (np.arange(y0, y1, dtype=np.float32)[:, None] - cy) / self.radius
        distance = np.sqrt(dx * dx + dy * dy)
        cover = np.clip((1 - distance) * self.radius + 0.5, 0, 1)[:, :, None]
        count = len(self.colours)
        turn = (np.arctan2(dy + 0.25, dx - 0.2) + self.spin.at(t)) * count / (2 * np.pi)
        stripe = np.floor(turn)
        # The last tenth of a stripe fades into the next one: no aliased edge to shimmer.
        blend = np.clip((turn - stripe - 0.9) * 10, 0, 1)[:, :, None]
        here, there = stripe.astype(int) % count, (stripe.astype(int) + 1) % count
        colour = self.colours[here] * (1 - blend) + self.colours[there] * blend
        light = np.clip(1.15 - 0.55 * np.hypot(dx + 0.35, dy + 0.4), 0.35, 1.1)[:, :, None]
        spot = picture[y0:y1, x0:x1]
        spot += (np.clip(colour * light, 0, 255) - spot) * cover


@dataclass(frozen=True)
class Shot:
    """A camera that pans, zooms and turns over one picture, with a ball in front (or none).

    Attributes:
        picture: the still, float32 RGB 0..255, already at about the scale it is shown at.
        height, width: of a frame, pixels.
        centre: the point of ``picture`` (x, y) that the wander is centred on.
        zoom, angle: wander of the log of the scale, and of the turn in radians.
    """

    picture: npt.NDArray[np.float32]
    height: int
    width: int
    centre: tuple[float, float]
    x: Drift
    y: Drift
    zoom: Drift
    angle: Drift
    ball: Ball | None

    def frame(self, t: float) -> Picture:
        """The frame at time ``t`` (in frames, any real number): height x width x 3, uint8 RGB."""
        scale = float(np.exp(self.zoom.at(t)))
        cos, sin = scale * np.cos(self.angle.at(t)), scale * np.sin(self.angle.at(t))
        px, py = self.centre[0] + self.x.at(t), self.centre[1] + self.y.at(t)
        mx, my = (self.width - 1) / 2, (self.height - 1) / 2
        to_picture = np.array([[cos, -sin, px - cos * mx + sin * my], [sin, cos, py - sin * mx - cos * my]])
        seen = cv2.warpAffine(
            self.picture,
            to_picture,
            (self.width, self.height),
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        seen = np.clip(seen, 0, 255)
        if self.ball is not None:
            self.ball.over(seen, t)
        return np.asarray(np.rint(seen), np.uint8)


def draw_shot(
    picture: Picture,
    height: int,
    width: int,
    rng: np.random.Generator,
    *,
    speed: float = 1.0,
    cover: float = 1.3,
    ball: bool = True,
) -> Shot:
    """A random shot of ``picture``.

    Args:
        picture: H x W x 3 uint8 RGB.
        height, width: of the frames, pixels.
        rng: source of the motion; equal generators give equal shots.
        speed: the fastest pan along one axis, pixels per frame; zoom and turn each add at most a sixth of it
            at the frame's corners, and the ball moves as fast again.
        cover: how many frames the picture spans along its tighter axis; larger shows a smaller part of it.
        ball: whether a ball drifts in front.
    """
    scale = cover * max(height / picture.shape[0], width / picture.shape[1])
    kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    still = np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=kind), np.float32)
    corner = float(np.hypot(height, width)) / 2
    turn = speed / 6 / corner
    # Half of the free room is for where the camera looks, half for its wander around that.
    room_x, room_y = max(0, still.shape[1] - width) / 4, max(0, still.shape[0] - height) / 4
    centre = (
        (still.shape[1] - 1) / 2 + float(rng.uniform(-room_x, room_x)),
        (still.shape[0] - 1) / 2 + float(rng.uniform(-room_y, room_y)),
    )
    return Shot(
        picture=still,
        height=height,
        width=width,
        centre=centre,
        x=Drift.draw(rng, speed, room_x),
        y=Drift.draw(rng, speed, room_y),
        zoom=Drift.draw(rng, turn, 0.12),
        angle=Drift.draw(rng, turn, 0.08),
        ball=_draw_ball(height, width, rng, speed) if ball else None,
    )


def _draw_ball(height: int, width: int, rng: np.random.Generator, speed: float) -> Ball:
    short = min(height, width)
    hues = (rng.uniform(0, 1) + np.array([0.0, 0.33, 0.6])) % 1.0
    hsv = np.stack([hues * 360, np.full(3, 0.75), np.full(3, 1.0)], axis=1).astype(np.float32)[None]
    bright = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0] * np.float32(255)
    white = np.full((3, 3), 248, np.float32)
    stripes = np.stack([bright, white], axis=1).reshape(6, 3)
    centre = (float(rng.uniform(0.25, 0.75)) * width, float(rng.uniform(0.3, 0.75)) * height)
    return Ball(
        float(rng.uniform(0.09, 0.14)) * short,
        centre,
        Drift.draw(rng, speed, 0.3 * width),
        Drift.draw(rng, speed, 0.2 * height),
        Drift.draw(rng, 0.03, 1.5),
        stripes.astype(np.float32),
    )


def demo_clip(frames: int, height: int, width: int, seed: int = 0) -> Iterator[Picture]:
    """The demo's video: ``frames`` frames, height x width x 3 uint8 RGB, of a photograph never trained on.

    ``seed`` picks the photograph (``HELD_OUT[seed % len(HELD_OUT)]``) and its motion.
    """
    shot = draw_shot(photograph(HELD_OUT[seed % len(HELD_OUT)]), height, width, np.random.default_rng(seed))
    return (shot.frame(t) for t in range(frames))
