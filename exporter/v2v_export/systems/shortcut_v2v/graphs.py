"""What is exported: three graphs that play the stream, and the teacher's own.

Frames are uint8 HWC at both edges; everything between them is in the graph. Graphs of one variant share the
teacher's and the block's weights on disk.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from v2v_export.export.finite import all_finite
from v2v_export.export.precision import to_precision
from v2v_export.system import FrameSize, GraphOptions, GraphSpec
from v2v_export.systems.shortcut_v2v.block import ShortcutBlock
from v2v_export.systems.shortcut_v2v.ends import rewrite_ends
from v2v_export.systems.shortcut_v2v.model import ResnetGenerator, Split
from v2v_export.systems.shortcut_v2v.options import ShortcutOptions
from v2v_export.systems.shortcut_v2v.program import frame_spec, reference_specs
from v2v_export.systems.shortcut_v2v.rewrites import RewrittenBlock
from v2v_plugins.ada_bd.torch_op import ada_bd
from v2v_plugins.sampling import bilinear_sample
from v2v_runtime.manifest.model import TensorSpec


class Picture(nn.Module):
    """uint8 [1, H, W, 3] -> [1, 3, H, W] in [-1, 1]; cast first: engines take uint8 only at an edge."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, frame: Tensor) -> Tensor:
        return (frame.float().permute(0, 3, 1, 2) / 127.5 - 1.0).to(self.dtype)


class Levels(nn.Module):
    """[1, 3, H, W] in [-1, 1] -> (uint8 [1, H, W, 3], float32 [1, 3, H, W]).

    ``(y + 1) / 2 * 255`` truncated, as the published script saves pictures. The cast comes last.
    """

    def forward(self, y: Tensor) -> tuple[Tensor, Tensor]:
        picture = y.float()
        return ((picture + 1.0) * 127.5).permute(0, 2, 3, 1).to(torch.uint8), picture


class Full(nn.Module):
    """frame -> out, z_r, z_f, p_ref, ok | out_float: the teacher, whose features become the reference."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self.picture, self.levels = Picture(parts.dtype), Levels()
        self.encoder, self.middle, self.decoder = parts.encoder, parts.middle, parts.decoder
        self.block: RewrittenBlock = parts.block

    def forward(self, frame: Tensor) -> tuple[Tensor, ...]:
        a = self.encoder(self.picture(frame))
        f = self.middle(a)
        out, picture = self.levels(self.decoder(f))
        z_r, z_f, p_ref = self.block.reference_state(a, f)
        return out, z_r, z_f, p_ref, all_finite(picture, z_r, z_f, p_ref), picture


class Shortcut(nn.Module):
    """frame, z_r, z_f, p_ref -> out, ok[, a] | out_float: encoder, block, decoder."""

    def __init__(self, parts: Parts, hand_out_a: bool) -> None:
        super().__init__()
        self.picture, self.levels = Picture(parts.dtype), Levels()
        self.encoder, self.block, self.decoder = parts.encoder, parts.block, parts.decoder
        self.hand_out_a = hand_out_a

    def forward(self, frame: Tensor, z_r: Tensor, z_f: Tensor, p_ref: Tensor) -> tuple[Tensor, ...]:
        a = self.encoder(self.picture(frame))
        out, picture = self.levels(self.decoder(self.block(a, z_r, z_f, p_ref)))
        ok = all_finite(picture)
        return (out, ok, a, picture) if self.hand_out_a else (out, ok, picture)


class Refresh(nn.Module):
    """a -> z_r, z_f, p_ref, ok: the teacher's middle, for a frame whose encoder feature is at hand."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self.middle = parts.middle
        self.block: RewrittenBlock = parts.block

    def forward(self, a: Tensor) -> tuple[Tensor, ...]:
        z_r, z_f, p_ref = self.block.reference_state(a, self.middle(a))
        return z_r, z_f, p_ref, all_finite(z_r, z_f, p_ref)


class Teacher(nn.Module):
    """frame -> out, ok | out_float."""

    def __init__(self, teacher: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.picture, self.levels, self.teacher = Picture(dtype), Levels(), teacher

    def forward(self, frame: Tensor) -> tuple[Tensor, ...]:
        out, picture = self.levels(self.teacher(self.picture(frame)))
        return out, all_finite(picture), picture


class Parts:
    """The modules of one variant: copies in its precision and its forms, made for each graph anew.

    They come out with the same bytes every time, so the graphs' weights are stored once all the same.
    """

    def __init__(self, split: Split, block: ShortcutBlock, options: GraphOptions) -> None:
        self.dtype = options.dtype
        deform = options.lowering.get("deform", "gridsample")
        fold = options.lowering.get("hetconv", "dense")
        encoder, middle, decoder = copy.deepcopy((split.encoder, split.middle, split.decoder))
        encoder, decoder = rewrite_ends(encoder, options.lowering), rewrite_ends(decoder, options.lowering)
        rewritten = RewrittenBlock.from_block(
            block,
            fold="split" if fold == "split" else "dense",
            ada_bd=ada_bd,
            sample=lambda x, rows, cols: bilinear_sample(x, rows, cols, deform),
        )
        self.encoder = to_precision(encoder, self.dtype).eval()
        self.middle = to_precision(middle, self.dtype).eval()
        self.decoder = to_precision(decoder, self.dtype).eval()
        self.block: RewrittenBlock = to_precision(rewritten, self.dtype).eval()


def stream_graphs(
    split: Split, block: ShortcutBlock, size: FrameSize, stream: ShortcutOptions, options: GraphOptions
) -> Sequence[GraphSpec]:
    """The graphs that the stream's program calls, in the order of its calls."""
    parts = partial(Parts, split, block, options)
    frame, refs = frame_spec(size), reference_specs(size, split.scale, block.h)
    a = TensorSpec("float", (1, split.channels, size.height // split.scale, size.width // split.scale))
    late = stream.schedule == "shortcut"
    ok, tap = {"ok": TensorSpec("bool", (1,))}, {"out_float": _tap(size)}
    graphs = [GraphSpec("full", lambda: Full(parts()), {"frame": frame}, {"out": frame, **refs, **ok}, tap)]
    if late or stream.interval > 1:
        outputs = {"out": frame, **ok, **({"a": a} if late else {})}
        inputs = {"frame": frame, **refs}
        graphs.append(GraphSpec("shortcut", lambda: Shortcut(parts(), late), inputs, outputs, tap))
    if late:
        graphs.append(GraphSpec("refresh", lambda: Refresh(parts()), {"a": a}, {**refs, **ok}))
    return graphs


def teacher_graphs(teacher: ResnetGenerator, size: FrameSize, options: GraphOptions) -> Sequence[GraphSpec]:
    """The teacher as one graph."""

    def module() -> Teacher:
        model = rewrite_ends(copy.deepcopy(teacher.model), options.lowering)
        return Teacher(to_precision(model, options.dtype).eval(), options.dtype)

    frame = frame_spec(size)
    outputs = {"out": frame, "ok": TensorSpec("bool", (1,))}
    return [GraphSpec("teacher", module, {"frame": frame}, outputs, {"out_float": _tap(size)})]


def _tap(size: FrameSize) -> TensorSpec:
    return TensorSpec("float32", (1, 3, size.height, size.width))


def stream_weight_counts(split: Split, block: ShortcutBlock, stream: ShortcutOptions) -> dict[str, int]:
    """Graph -> numbers in its weights, of the graphs that ``stream_graphs`` gives, in the default forms."""
    ends, middle = _count(split.encoder, split.decoder), _count(split.middle)
    rewritten = RewrittenBlock.from_block(block, fold="dense")
    share = rewritten.global_offsets.first.second_dense
    reference = _count(rewritten.reduce_a, rewritten.reduce_f, rewritten.global_conv, share)
    late = stream.schedule == "shortcut"
    counts = {"full": ends + middle + reference}
    if late or stream.interval > 1:
        counts["shortcut"] = ends + _count(rewritten) - reference
    if late:
        counts["refresh"] = middle + reference
    return counts


def _count(*modules: nn.Module) -> int:
    return sum(tensor.numel() for module in modules for tensor in module.parameters())
