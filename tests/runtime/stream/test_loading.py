"""Sessions while an engine, or another session, is being loaded: who wants something else goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.machines import Toy, Values, picture
from v2v_runtime.backends.base import Engine, EngineSpec
from v2v_runtime.errors import BackendError
from v2v_runtime.manifest.model import Call, Emit, Phase
from v2v_runtime.session import Session, shared_session

PATIENCE = 20.0
"""Seconds after which a load that should not be alone gives up, so that a stall fails instead of hanging."""


def draw(given: Values) -> Values:
    return {"y": picture(given["x"].flat[0])}


class Loading:
    """A session of the graphs ``slow``, whose loading takes until ``finish``, and ``quick``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.released = threading.Event(), threading.Event()
        self.fails = False
        self.in_time: list[bool] = []
        graphs = ("slow", "quick")
        self.toy = Toy(
            dict.fromkeys(graphs, ("x:frame", "y:frame", draw)),
            [
                Phase(
                    f"play_{name}", steps, (Call("c", name, {"x": "video"}, {"y": "out"}),), emit=Emit("out")
                )
                for name, steps in zip(graphs, (2, "forever"), strict=True)
            ],
            resident_phase=frozenset(graphs),
        )
        load = self.toy.backend.load

        def slowly(spec: EngineSpec) -> Engine:
            if spec.graph == "slow":
                self.begun.set()
                self.in_time.append(self.released.wait(PATIENCE))
                if self.fails:
                    raise BackendError("V2V-E4005", "no")
            return load(spec)

        monkeypatch.setattr(self.toy.backend, "load", slowly)
        self.session = self.new_session()

    def new_session(self) -> Session:
        return Session(self.toy.bundle, next(iter(self.toy.bundle.manifest.variants)), self.toy.backend)


@pytest.fixture
def loading(monkeypatch: pytest.MonkeyPatch) -> Loading:
    return Loading(monkeypatch)


def test_a_stream_goes_on_while_another_loads(loading: Loading) -> None:
    session = loading.session
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(session.hold, ["slow"])
        assert loading.begun.wait(PATIENCE)
        second = pool.submit(session.hold, ["slow"])
        session.hold(["quick"])
        assert session.engine("quick") is not None
        session.release(["quick"])
        loading.released.set()
        first.result(), second.result()
    assert loading.in_time == [True]  # and loaded once for both
    assert session.loaded() == {"slow"}
    session.release(["slow"])
    assert session.loaded() == {"slow"}
    session.release(["slow"])
    assert session.loaded() == set()


def test_who_waits_for_a_load_that_fails_tries_again(loading: Loading) -> None:
    session, loading.fails = loading.session, True
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(session.hold, ["quick", "slow"]) for _ in range(2)]
        assert loading.begun.wait(PATIENCE)
        loading.released.set()
        for each in both:
            with pytest.raises(BackendError, match="V2V-E4005"):
                each.result()
    assert loading.in_time == [True, True]
    assert session.loaded() == set()


def test_a_session_opens_while_another_is_made(loading: Loading) -> None:
    made = []

    def make(wait: bool) -> Callable[[], Session]:
        def session() -> Session:
            made.append(wait)
            if wait:
                loading.begun.set()
                loading.in_time.append(loading.released.wait(PATIENCE))
            return loading.new_session()

        return session

    bundle = loading.toy.bundle
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(shared_session, bundle, "slow", make(True))
        assert loading.begun.wait(PATIENCE)
        second = pool.submit(shared_session, bundle, "slow", make(True))
        other = shared_session(bundle, "quick", make(False))
        other.detach()
        loading.released.set()
        one, two = first.result(), second.result()
    assert loading.in_time == [True]
    assert made == [True, False]
    assert one is two
    one.detach()
    assert not one.closed
    two.detach()
    assert one.closed
    assert other.closed
