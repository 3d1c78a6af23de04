"""A stream: frames in, frames out, over a bundle's program. See ``machine`` for what a step is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, get_args

from v2v_runtime.backends.base import Array, Backend
from v2v_runtime.bundle import Bundle
from v2v_runtime.counters import Counters
from v2v_runtime.errors import StreamError
from v2v_runtime.feed import Feed
from v2v_runtime.frames import OutputFrame, checked_frame, checked_out
from v2v_runtime.machine import LateMode, Machine, Output
from v2v_runtime.manifest.model import Target
from v2v_runtime.opening import open_session
from v2v_runtime.params import checked
from v2v_runtime.runner import CallTime
from v2v_runtime.session import BundleSource, Session
from v2v_runtime.snapshot import Snapshot, check_snapshot, put_back, take_snapshot
from v2v_runtime.trace import Trace
from v2v_runtime.turns import Turns

if TYPE_CHECKING:
    from v2v_runtime.selftest import SelfTestReport


class Stream:
    """Plays a bundle. Streams of one bundle share engines and constants; a stream belongs to one thread.

    A failed step (a check that is false, a backend's error, a row count out of range) raises, leaves all
    state as it was, and takes the frames of that step with it: they and their timestamps are dropped as if
    they had never been pushed, and the next frame starts a new step. A refused frame is never staged.

    Two threads that call one stream at the same time are refused (V2V-E3004); handing a stream on from one
    thread to another is fine. Every ``submit`` is followed by one ``collect`` before any other call but
    ``reset``, ``restore`` and ``close`` (V2V-E3007); ``push`` does both.

    If late calls of a step failed, the next call on the stream raises V2V-E3024, once, and does nothing else;
    the stream goes on with what those calls would have written left as before. ``reset``, ``restore`` and
    ``close``, which forget that anyway, do not fail for it: they log a warning. It is always counted and
    traced.
    """

    def __init__(
        self,
        bundle: BundleSource,
        target: str | Target | None = None,
        backend: str | Backend | None = None,
        *,
        variant: str | None = None,
        options: Mapping[str, Any] | None = None,
        late: LateMode = "thread",
        trace: Trace | None = None,
        timing: bool = False,
    ) -> None:
        """Opens a stream at the start of its first phase.

        Args:
            bundle: an open bundle; threads may share it.
            target: ``<profile>.<backend>``, a profile, or a target that need not lie in the bundle. None: the
                bundle's only target; ``cpu.onnxruntime`` if there are several; its ONNX files on the CPU if
                there is none.
            backend: another backend for the target's variant, by name or opened already. An opened one is
                this stream's own, and is closed with it.
            variant: another variant than the target's; the target's engines are then not used.
            options: entries that replace those of the target's options.
            late: ``thread``: late calls run on a thread of their own while the caller goes on. ``inline``:
                they run before ``collect`` returns, which is what profiling wants. The output is the same.
            trace: called with each event, see ``trace``.
            timing: measure each call, see ``times``.

        Raises:
            BundleError, BackendError: the bundle has no such target, or it cannot be played here.
            StreamError: ``late`` is neither of the two (V2V-E3009); the program cannot be played (V2V-E3070).
        """
        if late not in get_args(LateMode):
            raise StreamError(
                "V2V-E3009", f"late={late!r}", "'thread' or 'inline'", "leave it out for 'thread'"
            )
        self._session = open_session(bundle, target, backend, variant, dict(options or {}))
        self._counters = Counters()
        try:
            self._machine = Machine(self._session, self._counters, trace, late, timing)
        except BaseException:
            self._session.detach()
            raise
        program = self._session.program
        (self._input,) = program.inputs.values()
        (self._output,) = program.outputs.values()
        self._feed = Feed(self._machine)
        self._turns = Turns(self._machine.settle)
        self._handed_over = 0
        self._pending: Output | None = None

    @classmethod
    def open(cls, path: str | os.PathLike[str], target: str | None = None, **options: Any) -> Self:
        """Opens the bundle at ``path`` and a stream over it; the other arguments are the constructor's."""
        return cls(Bundle.open(path), target, **options)

    def push(self, frame: Array, timestamp: Any = None, out: Array | None = None) -> list[OutputFrame]:
        """``submit`` and ``collect``: takes one frame, hands over 0 to ``program.max_frames`` frames."""
        room = checked_out(out, self._output, self._session.program.max_frames)
        self.submit(frame, timestamp)
        return self.collect(room)

    def submit(self, frame: Array, timestamp: Any = None) -> None:
        """Takes one frame and runs the step that it completes.

        Args:
            frame: uint8 [H, W, 3], RGB; rows may be padded, pixels are packed. It is copied.
            timestamp: anything; it comes out with the frame's output. None: the number of frames accepted
                before it since the last reset.

        Raises:
            StreamError: the frame is refused (V2V-E3001 to E3003); the stream has ended (V2V-E3006); the
                step failed (V2V-E3020 to E3023).
        """
        with self._turns.take("call"):
            pixels = checked_frame(frame, self._input)
            self._turns.check_running()
            self._pending = self._feed.take(pixels, timestamp)
            self._turns.submitted = True

    def collect(self, out: Array | None = None) -> list[OutputFrame]:
        """Hands over the frames of the last ``submit``, then starts the step's late calls.

        Args:
            out: uint8 [max_frames or more, H, W, 3] ([H, W, 3] where max_frames is 1) that takes the frames;
                None: a new array for each call.

        Raises:
            StreamError: nothing was submitted (V2V-E3007); ``out`` does not fit (V2V-E3008).
        """
        with self._turns.take("collect"):
            room = checked_out(out, self._output, self._session.program.max_frames)
            frames = self._hand_over(room)
            self._turns.submitted = False
            return frames

    def flush(self) -> list[OutputFrame]:
        """Repeats the last frame until every frame that is owed has come out; then the stream has ended.

        Nothing can be pushed until ``reset``. Frames past the owed ones are dropped.

        Raises:
            StreamError: a step failed; the next ``flush`` goes on, and hands over what had come out by then.
                Or the program does not hand over what it owes (V2V-E3025).
        """
        with self._turns.take("flush"):
            left = 0 if self._turns.ended else self._feed.flush_limit()
            while len(self._feed.waiting) and left:
                left -= 1
                self._pending = self._feed.repeat()
                self._turns.held += self._hand_over(None)
                self._machine.settle()
            self._turns.ended = True
            owed = len(self._feed.waiting)
            if owed:
                self._feed.waiting.clear()
                raise StreamError(
                    "V2V-E3025",
                    f"{owed} frames did not come out however often the last frame was repeated",
                    "",
                    "the program hands over less than it takes; flush once more for the frames that did",
                )
            flushed, self._turns.held = self._turns.held, []
            return flushed

    def set_params(self, values: Mapping[str, Any] | None = None, **named: Any) -> None:
        """Sets params for the steps from now on: all that are given, or none of them.

        Raises:
            StreamError: V2V-E3010 to E3014, see ``params.checked``.
        """
        with self._turns.take("call"):
            declared = self._session.program.params
            arrays = checked(declared, values, named, self._session.float_type)
            self._machine.set_params(arrays)

    def enter(self, phase: str) -> None:
        """Enters a phase again (a new warm-up after a cut, say). ``frame_index`` goes on.

        Frames staged for an unfinished gather are the first of the new phase's. Frames still inside the
        program's pipeline do not come out any more: their timestamps are forgotten, but for as many of the
        newest as are always owed when this phase begins.

        Raises:
            StreamError: no such phase (V2V-E3030); more frames are staged than its first step takes
                (V2V-E3031); it reads what a failed step has left half written (V2V-E3032), or what an
                earlier phase writes and has not yet (V2V-E3033): push that phase's frames, and this one
                follows by itself; the stream has ended (V2V-E3006).
        """
        with self._turns.take("call"):
            self._turns.check_running()
            self._feed.enter(phase)

    def reset(self, params: bool = False) -> None:
        """Back to before the first frame: slots, counts, timestamps.

        Args:
            params: also set every param back to its default; else they keep what was set.

        Raises:
            BundleError, BackendError: a default is not what the bundle declares any more, or the engines of
                the first phase cannot be loaded; nothing has changed.
        """
        with self._turns.take("discard"):
            # Read first: that may fail, and then nothing has changed.
            defaults = self._machine.state.default_params() if params else {}
            self._machine.reset()
            for name, value in defaults.items():
                self._machine.state.write_param(name, value)
            self._feed.reset()
            self._begin(ended=False, handed_over=0)

    def snapshot(self) -> Snapshot:
        """Everything that the stream remembers. The stream goes on as if it had not been asked."""
        with self._turns.take("call"):
            return take_snapshot(
                self._session,
                self._machine,
                self._feed,
                ended=self._turns.ended,
                handed_over=self._handed_over,
            )

    def restore(self, snapshot: Snapshot) -> None:
        """Back to where ``snapshot`` was taken, on this stream or another one of the same bundle.

        Raises:
            StreamError: it is of another bundle (V2V-E3040) or another float type (V2V-E3041), or no snapshot
                at all (V2V-E3042).
        """
        with self._turns.take("discard"):
            check_snapshot(self._session, snapshot)
            put_back(snapshot, self._machine, self._feed)
            self._begin(snapshot.ended, snapshot.handed_over)

    def slots(self) -> dict[str, Array]:
        """The value of every slot, as the next step would read it; copies."""
        with self._turns.take("call"):
            return {name: slot.value.read() for name, slot in self._machine.state.slots.items()}

    def set_slots(self, values: Mapping[str, Array]) -> None:
        """Overwrites slots, all that are given or none (teacher-forced parity does). Ring counts stay.

        Raises:
            StreamError: no such slot (V2V-E3050), another type or shape (V2V-E3051), or NaN or infinity
                (V2V-E3052).
        """
        with self._turns.take("call"):
            self._machine.set_slots(values)

    def peek(self, name: str) -> Array:
        """A copy of a slot, or of a temporary as the last step left it.

        Raises:
            StreamError: V2V-E3050: the program has no such slot, nor the last step's phase such a temporary.
        """
        with self._turns.take("call"):
            slot = self._machine.state.slots.get(name)
            tensor = self._machine.temporary(name) if slot is None else slot.value
            if tensor is None:
                raise StreamError("V2V-E3050", f"{name!r} is no slot, and no temporary of the last step")
            return tensor.read()

    def poison_in_place(self) -> tuple[str, ...]:
        """Overwrites with NaN what the next step overwrites in place, and returns the calls that do so.

        A graph that selects the entry about to be overwritten away gives the same output nevertheless; that
        is what makes a failed step safe to try again, and verify proves it so. Views that a call updates
        (``Call.in_place``) are left alone: which entries of them a step rewrites, a step has to show.
        """
        with self._turns.take("call"):
            return self._machine.poison()

    def selftest(self) -> SelfTestReport:
        """Plays the frames that the bundle carries and compares; the stream is then as it was before.

        Raises:
            StreamError: the bundle carries none (V2V-E3060); a step failed.
        """
        from v2v_runtime.selftest import selftest

        return selftest(self)

    @property
    def counters(self) -> Counters:
        """A copy of the counters; late calls of the last step are in it once the next call has begun."""
        return self._counters.copy()

    @property
    def times(self) -> Mapping[str, CallTime]:
        """``phase/call`` -> its times on the host's clock; empty unless ``timing`` was asked for.

        May be asked for at any time; late calls that run are waited for.
        """
        return self._machine.times

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of the frames that it takes."""
        return self._input.height, self._input.width

    @property
    def output_size(self) -> tuple[int, int]:
        """Height and width of the frames that it hands over."""
        return self._output.height, self._output.width

    @property
    def phase(self) -> str:
        """The phase of the last step; a phase that follows it begins with the next call."""
        return self._machine.phase.name

    @property
    def owed(self) -> int:
        """Frames accepted whose output is still to come, and those that an unfinished flush holds."""
        return len(self._feed.waiting) + len(self._turns.held)

    @property
    def session(self) -> Session:
        """The engines that this stream shares."""
        return self._session

    @property
    def closed(self) -> bool:
        return self._turns.closed

    def close(self) -> None:
        """Waits for late calls and lets the engines go. Closing twice is fine."""
        with self._turns.close() as was_open:
            if was_open:
                try:
                    self._machine.close()
                finally:
                    self._session.detach()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _begin(self, ended: bool, handed_over: int) -> None:
        self._turns.begin(ended)
        self._handed_over = handed_over
        self._pending = None

    def _hand_over(self, room: Array | None) -> list[OutputFrame]:
        output = self._pending
        if output is None:
            return []
        frames: list[OutputFrame] = []
        if output.tensor is not None:
            count = output.count
            pixels = output.tensor.read(None if room is None else room[:count])
            counters = self._counters
            counters.frames_out += count
            counters.downloads += 1
            counters.downloaded_bytes += pixels.nbytes
            first = self._handed_over
            self._handed_over += count
            for index, timestamp in enumerate(self._feed.waiting.pop(count)):
                frames.append(OutputFrame(pixels[index], timestamp, first + index, output.skipped))
        self._pending = None
        self._machine.start_late()
        return frames
