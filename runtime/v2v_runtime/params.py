"""Checks what a user sets as params: all of them fit, or none is taken."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import numpy as np

from v2v_runtime.backends.base import Array
from v2v_runtime.dtypes import numpy_dtype
from v2v_runtime.errors import StreamError
from v2v_runtime.manifest.model import Param

#: What may be given for each kind of param, by numpy kind code: nothing that rounds or wraps silently.
_ACCEPTED = {"f": "fiu", "i": "iu", "u": "iu", "b": "b"}


def checked(
    declared: Mapping[str, Param], values: Mapping[str, Any] | None, named: Mapping[str, Any], float_type: str
) -> dict[str, Array]:
    """The values as C-contiguous arrays of the params' concrete types.

    Args:
        declared: the program's params.
        values: name -> array of the param's shape (a plain number for shape [1]). Float params take floats
            and integers, integer params take integers in their range, bool params take bools; all within
            the limits that a param declares. None: none.
        named: more of them; they take precedence.
        float_type: what ``"float"`` is.

    Raises:
        StreamError: unknown name (V2V-E3010), other shape (V2V-E3011), other kind or out of range or limits
            (V2V-E3012), NaN or infinity, also after rounding to float16 (V2V-E3013), ``values`` that are no
            mapping (V2V-E3014).
    """
    if values is not None and not isinstance(values, Mapping):
        raise StreamError(
            "V2V-E3014",
            f"params were given as a {type(values).__name__}",
            "a mapping of names to values",
            "call set_params(name=value) or set_params({'name': value})",
        )
    given = {**(values or {}), **named}
    return {name: _checked(declared, name, value, float_type) for name, value in given.items()}


def _checked(declared: Mapping[str, Param], name: object, value: Any, float_type: str) -> Array:
    param = declared.get(name) if isinstance(name, str) else None
    if param is None:
        near = get_close_matches(str(name), declared, n=1)
        raise StreamError(
            "V2V-E3010",
            f"this program has no param {name!r}",
            f"one of {', '.join(sorted(declared)) or 'none: it takes no params'}",
            f"did you mean {near[0]!r}?" if near else "give params by the names that the program declares",
        )
    try:
        given = np.asarray(value)
    except (TypeError, ValueError) as error:  # rows of several lengths, or an object that is no array
        raise StreamError(
            "V2V-E3011",
            f"param {name!r} was given what makes no array: {error}",
            f"numbers of shape {list(param.shape)}",
            "give a number or an array of that shape",
        ) from error
    if given.shape == () and param.shape == (1,):
        given = given.reshape(1)
    if given.shape != param.shape:
        raise StreamError(
            "V2V-E3011",
            f"param {name!r} was given shape {list(given.shape)}",
            f"{list(param.shape)}",
            "give a number or an array of that shape",
        )
    dtype = numpy_dtype(param.dtype, float_type)
    if given.dtype.kind not in _ACCEPTED[dtype.kind]:
        raise StreamError(
            "V2V-E3012", f"param {name!r} was given type {given.dtype}", f"{dtype}", "convert it first"
        )
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if given.size and (int(given.min()) < limits.min or int(given.max()) > limits.max):
            raise StreamError(
                "V2V-E3012",
                f"param {name!r} holds values from {given.min()} to {given.max()}",
                f"{limits.min} to {limits.max} ({dtype})",
                "give values within them",
            )
    with np.errstate(over="ignore", invalid="ignore"):
        array = np.array(given, dtype=dtype, order="C")
    if dtype.kind == "f" and not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise StreamError(
            "V2V-E3013",
            f"param {name!r} holds {given[where]} at {list(where)}, which is {array[where]} as {dtype}",
            "finite values",
        )
    check_limits(str(name), param, array)
    return array


def check_limits(name: str, param: Param, array: Array) -> None:
    """Raises StreamError V2V-E3012 for a value outside of what the param declares."""
    limits = param.limits
    if limits is None or not array.size:
        return
    # As numbers of Python's: numpy compares an integer with an array's element in the element's own type, in
    # which a limit may round to the value that it excludes.
    low, high = array.min().item(), array.max().item()
    if not (low >= limits.low and high <= limits.high):  # NaN, which only a default can be, is not within
        raise StreamError(
            "V2V-E3012",
            f"param {name!r} holds values from {low} to {high}",
            f"{limits.low} to {limits.high}, the limits that the program declares",
            "give values within them",
        )
