"""Slots: start-of-step reads, one commit, views, rings, in place, resets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.machines import BLOBS, Toy, flat, picture, pixel, shown, spec, values
from v2v_runtime.errors import ManifestError, StreamError
from v2v_runtime.manifest.model import BlobRef, Call, CallOverride, Emit, Every, Phase, Ring, Slot, View

SUM = (
    "x:frame a:f",
    "y:frame next:f",
    lambda g: {"y": picture(g["a"]), "next": flat(g["a"] + g["x"].flat[0])},
)


def forever(*calls: Call, **more: Any) -> Phase:
    return Phase("play", "forever", calls, emit=Emit("out"), **more)


def test_a_slot_reads_as_it_was_when_the_step_began() -> None:
    """Two calls read the sum: one before and one after the call that writes it. Both see the old one."""
    show = ("a:f", "v:f", lambda g: {"v": g["a"].copy()})
    pack = (
        "a:f b:f",
        "y:frame",
        lambda g: {"y": np.array([g["a"][0], g["b"][0], 0], np.uint8).reshape(1, 1, 1, 3)},
    )
    toy = Toy(
        {"sum": SUM, "show": show, "pack": pack},
        [
            forever(
                Call("before", "show", {"a": "total"}, {"v": "b"}),
                Call("sum", "sum", {"x": "video", "a": "total"}, {"y": None, "next": "total"}),
                Call("after", "show", {"a": "total"}, {"v": "a"}),
                Call("pack", "pack", {"a": "a", "b": "b"}, {"y": "out"}),
            )
        ],
        slots={"total": Slot("float", (1,))},
    )
    with toy.stream() as stream:
        seen = [tuple(stream.push(pixel(v))[0].rgb8.flat[:2]) for v in (3, 4, 5)]
    assert seen == [(0, 0), (3, 3), (7, 7)]


def test_views_that_fill_a_slot_need_no_copy_and_others_one_each() -> None:
    """Rows 0 and 1 are written in even steps, row 1 alone in odd ones."""
    row = ("x:frame", "r:f[1,2]", lambda g: {"r": np.full((1, 2), g["x"].flat[0], np.float32)})
    twice = ("x:frame", "r:f[1,2]", lambda g: {"r": np.full((1, 2), 2.0 * g["x"].flat[0], np.float32)})
    read = ("s:f[2,2]", "y:frame", lambda g: {"y": picture(10 * g["s"][0, 0] + g["s"][1, 1])})
    toy = Toy(
        {"row": row, "twice": twice, "read": read},
        [
            forever(
                Call("read", "read", {"s": "pair"}, {"y": "out"}),
                Call("top", "row", {"x": "video"}, {"r": View("pair", 0, 1)}, when=Every(2, (0,))),
                Call("low", "twice", {"x": "video"}, {"r": View("pair", 1, 1)}),
            )
        ],
        slots={"pair": Slot("float", (2, 2))},
    )
    with toy.stream() as stream:
        at_start = stream.counters.allocations
        out, copies = [], []
        for value in (1, 2, 3, 4):
            before = stream.counters
            out += shown(stream, value)
            copies.append((stream.counters - before).copies)
        np.testing.assert_array_equal(stream.slots()["pair"], [[3, 3], [8, 8]])
        # The odd steps' staging, too, was made before the first step.
        assert stream.counters.allocations == at_start
    assert out == [0, 12, 14, 36]
    assert copies == [0, 1, 0, 1]


def ring_toy(**more: Any) -> Toy:
    """Writes the frame's value; shows 100 * count + the oldest entry of three, modulo 256."""

    def push(g: dict) -> dict:
        count = int(g["count"][0])
        ring = np.where(np.arange(3)[:, None] == count % 3, -1, g["ring"])
        kept = [int(v) for v in ring[:, 0]]
        return {"new": np.full((1, 2), g["x"].flat[0], np.float32), "y": picture(100 * count + sum(kept))}

    write = Call(
        "push",
        "push",
        {"x": "video", "ring": "memory", "count": "memory.count"},
        {"new": "memory", "y": "out"},
        in_place=more.pop("in_place", ()),
    )
    return Toy(
        {"push": ("x:frame ring:f[3,2] count:i64", "new:f[1,2] y:frame", push)},
        [forever(write)],
        slots={"memory": Slot("float", (3, 2), init=BlobRef(BLOBS, "start"), ring=Ring(3))},
        blobs={"start": np.array([[1, 1], [2, 2], [4, 4]], np.float32)},
        **more,
    )


RING_OUT = [
    (0 - 1 + 2 + 4) % 256,
    (100 + 10 - 1 + 4) % 256,
    (200 + 10 + 20 - 1) % 256,
    (300 - 1 + 20 + 30) % 256,
    (400 + 40 - 1 + 30) % 256,
]


@pytest.mark.parametrize(
    ("more", "copies"),
    [
        ({}, 5),
        ({"in_place": ("new",)}, 0),
        ({"overrides": {"play/push": CallOverride(in_place=("new",))}}, 0),
        ({"in_place": ("new",), "overrides": {"play/push": CallOverride(in_place=())}}, 5),
    ],
    ids=["staged", "in-place", "in-place by the variant", "staged by the variant"],
)
def test_a_ring_takes_one_entry_per_step(more: dict, copies: int) -> None:
    with ring_toy(**more).stream() as stream:
        assert shown(stream, 10, 20, 30, 40, 50) == RING_OUT
        assert stream.counters.copies == copies
        np.testing.assert_array_equal(stream.slots()["memory"][:, 0], [40, 50, 30])
        stream.reset()
        np.testing.assert_array_equal(stream.slots()["memory"][:, 0], [1, 2, 4])
        assert shown(stream, 10, 20) == RING_OUT[:2]


def test_poison_goes_where_the_next_step_writes_in_place() -> None:
    with ring_toy(in_place=("new",)).stream() as stream:
        shown(stream, 10)
        assert stream.poison_in_place() == ("push",)
        assert np.isnan(stream.slots()["memory"][:, 0]).tolist() == [False, True, False]
        assert shown(stream, 20) == RING_OUT[1:2]


def test_poison_leaves_what_is_staged_alone() -> None:
    with ring_toy().stream() as stream:
        assert stream.poison_in_place() == ()
        assert np.isfinite(stream.slots()["memory"]).all()


def test_a_view_in_place_is_written_at_once_and_others_stay() -> None:
    """Row ``step % 2`` would be the graph's business; here row 1 alone is overwritten in place."""
    fill = ("x:frame s:f[2,2]", "r:f[1,2] y:frame", lambda g: {
        "r": np.full((1, 2), g["x"].flat[0], np.float32),
        "y": picture(g["s"][0, 0]),
    })  # fmt: skip
    call = Call(
        "fill", "fill", {"x": "video", "s": "pair"}, {"r": View("pair", 1, 1), "y": "out"}, in_place=("r",)
    )
    toy = Toy({"fill": fill}, [forever(call)], slots={"pair": Slot("float", (2, 2))})
    with toy.stream() as stream:
        shown(stream, 5, 6)
        np.testing.assert_array_equal(stream.slots()["pair"], [[0, 0], [6, 6]])
        assert stream.counters.copies == 0


def updating(graph: tuple[str, str, object]) -> Toy:
    """Three rows that one graph takes and gives by the same view, at its own index ``step % 3``."""
    rows = View("rows", 0, 3)
    call = Call(
        "keep",
        "keep",
        {"x": "video", "step": "step", "s": rows},
        {"kept": rows, "y": "out", "ok": None},
        check=("ok",),
        in_place=("kept",),
    )
    return Toy({"keep": graph}, [forever(call)], slots={"rows": Slot("float", (3, 2))})  # type: ignore[dict-item]


def keep(given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Row ``step % 3`` becomes the pixel; shown is the sum of all rows; 99 is refused."""
    kept, value = given["s"].copy(), float(given["x"].flat[0])
    kept[given["step"][0] % 3] = value
    return {"kept": kept, "y": picture(kept[:, 0].sum()), "ok": np.array([value != 99])}


KEEP = ("x:frame step:i64 s:f[3,2]", "kept:f[3,2] y:frame ok:b", keep)


def test_a_view_on_both_sides_is_updated_in_its_own_memory() -> None:
    with updating(KEEP).stream() as stream:
        assert shown(stream, 1, 2, 3, 4) == [1, 3, 6, 9]
        np.testing.assert_array_equal(stream.slots()["rows"][:, 0], [4, 2, 3])
        assert stream.counters.copies == 0


def test_a_failed_update_is_tried_again_over_what_it_left() -> None:
    with updating(KEEP).stream() as stream:
        shown(stream, 1, 2, 3)
        with pytest.raises(StreamError, match="V2V-E3020"):
            shown(stream, 99)
        # The row of the step that failed is spoilt, and the next try writes it anew.
        np.testing.assert_array_equal(stream.slots()["rows"][:, 0], [99, 2, 3])
        assert shown(stream, 4) == [9]


def test_poison_leaves_what_a_graph_updates_alone() -> None:
    """Which rows a graph rewrites is the graph's business."""
    with updating(KEEP).stream() as stream:
        shown(stream, 1, 2)
        assert stream.poison_in_place() == ("keep",)
        assert np.isfinite(stream.slots()["rows"]).all()


def test_a_phase_resets_its_slots_when_it_is_entered() -> None:
    """Two steps of ``fill`` write a ring and a sum; ``play`` resets the ring only."""
    push = ("x:frame a:f", "new:f[1,1] next:f", lambda g: {
        "new": np.full((1, 1), g["x"].flat[0], np.float32),
        "next": flat(g["a"] + g["x"].flat[0]),
    })  # fmt: skip
    show = ("count:i64 ring:f[4,1] a:f", "y:frame", lambda g: {
        "y": picture(100 * g["count"][0] + 10 * g["ring"].sum() + g["a"][0])
    })  # fmt: skip
    write = Call("push", "push", {"x": "video", "a": "total"}, {"new": "memory", "next": "total"})
    read = Call("show", "show", {"count": "memory.count", "ring": "memory", "a": "total"}, {"y": "out"})
    toy = Toy(
        {"push": push, "show": show},
        [
            Phase("fill", 2, (write, read), emit=Emit("out")),
            forever(write, read, resets=("memory",)),
        ],
        slots={"memory": Slot("float", (4, 1), ring=Ring(4)), "total": Slot("float", (1,))},
    )
    with toy.stream() as stream:
        # Before each step: count, sum over the ring, total.
        assert shown(stream, 1, 2, 3, 4) == [0, 100 + 10 + 1, 3, 100 + 30 + 6]


def test_slots_in_the_variants_float() -> None:
    """Blobs for float slots, params and consts are stored as float32 and cast once."""
    seen = {}

    def look(g: dict) -> dict:
        seen.update({name: (array.dtype, array.copy()) for name, array in g.items()})
        return {"y": picture(0), "next": g["a"] + g["k"]}

    call = Call("look", "look", {"x": "video", "a": "a", "k": "k", "p": "p"}, {"y": "out", "next": "a"})
    toy = Toy(
        {"look": ("x:frame a:f k:f p:f", "y:frame next:f", look)},
        [forever(call)],
        slots={"a": Slot("float", (1,), init=BlobRef(BLOBS, "start"))},
        consts={"k": ("f", np.array([0.1], np.float32))},
        params={"p": ("f", np.array([2.5], np.float32))},
        blobs={"start": np.array([1.0], np.float32)},
        float="float16",
    )
    with toy.stream() as stream:
        shown(stream, 0, 0)
    assert {dtype for name, (dtype, _) in seen.items() if name != "x"} == {np.dtype(np.float16)}
    assert seen["k"][1][0] == np.float16(0.1)
    assert seen["a"][1][0] == np.float16(1) + np.float16(0.1)


def test_set_slots_takes_all_or_none() -> None:
    with ring_toy().stream() as stream:
        with pytest.raises(StreamError, match="V2V-E3050"):
            stream.set_slots({"memory": np.zeros((3, 2), np.float32), "memori": np.zeros(1, np.float32)})
        with pytest.raises(StreamError, match="V2V-E3051"):
            stream.set_slots({"memory": np.zeros((3, 2), np.float64)})
        np.testing.assert_array_equal(stream.slots()["memory"][:, 0], [1, 2, 4])
        stream.set_slots({"memory": np.full((3, 2), 7, np.float32)})
        assert shown(stream, 1) == [-1 + 7 + 7]


def test_peek_shows_temporaries_of_the_last_step() -> None:
    """Also when the step was its phase's last, and the next phase shares its memory."""
    first = ("x:frame", "t:f y:frame", lambda g: {"t": flat(g["x"].flat[0]), "y": g["x"].copy()})
    keep = ("t:f", "k:f", lambda g: {"k": g["t"].copy()})
    calls = (
        Call("first", "first", {"x": "video"}, {"t": "t", "y": "out"}),
        Call("keep", "keep", {"t": "t"}, {"k": "kept"}),
    )
    again = Call("again", "first", {"x": "video"}, {"t": "u", "y": "out"})
    toy = Toy(
        {"first": first, "keep": keep},
        [Phase("one", 1, calls, emit=Emit("out")), forever(again)],
        slots={"kept": Slot("float", (1,))},
    )
    with toy.stream() as stream:
        shown(stream, 9)
        assert stream.peek("t").tolist() == [9]
        assert stream.peek("kept").tolist() == [9]
        shown(stream, 8)
        assert stream.peek("u").tolist() == [8]
        with pytest.raises(StreamError, match="V2V-E3050"):
            stream.peek("nothing")


def test_what_the_validator_refuses_is_not_played() -> None:
    """The machine guards its own memory even where nobody validated the manifest."""
    late_read = ("ring:f[3,2]", "y:frame", lambda g: {"y": picture(0)})
    push = ("x:frame", "new:f[1,2]", lambda g: {"new": np.zeros((1, 2), np.float32)})
    calls = (
        Call("push", "push", {"x": "video"}, {"new": "memory"}, in_place=("new",)),
        Call("read", "read", {"ring": "memory"}, {"y": "out"}),
    )
    slots = {"memory": Slot("float", (3, 2), ring=Ring(3))}
    graphs = {"push": push, "read": late_read}
    with pytest.raises(ManifestError, match="V2V-E2075"):
        Toy(graphs, [forever(*calls)], slots=slots)
    with pytest.raises(StreamError, match="V2V-E3070"):
        Toy(graphs, [forever(*calls)], slots=slots, valid=False).stream()


def test_spec_reads_what_these_tests_write() -> None:
    assert spec("f[2,3]").shape == (2, 3)
    assert spec("frames4").shape == (4, 1, 1, 3)
    assert values([]) == []
