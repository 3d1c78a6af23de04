"""The custom ops of domain ``v2v``, one folder each, found by looking at the folders.

An op's folder holds ``__init__.py`` with ``OP``, and five files of fixed names and contents:

==================  ======================================================================================
``schema.py``       ``SCHEMA``: ``onnx.defs.OpSchema``, every float type declared
``body.py``         ``LOWERINGS``: name -> :class:`Lowering`, the default first
``reference.py``    ``literal``: the op as the paper writes it, in torch
``torch_op.py``     ``OVERLOAD``: the torch operator; ``translate``: its node for ``torch.onnx.export``
``tensorrt.py``     ``PLUGIN``: ``trt_plugin.Plugin``, what TensorRT has to know of the inputs and the output
==================  ======================================================================================

Each is imported when it is asked for: a child process that builds engines needs no torch.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from v2v_plugins.trt_plugin import Plugin, make_creator

if TYPE_CHECKING:
    import onnx
    import torch

DOMAIN = "v2v"
"""The domain of all our ops."""

VERSION = 1
"""The version of the domain that models import."""


@dataclass(frozen=True)
class Lowering:
    """One portable form of an op.

    Attributes:
        text: the statements of the function's body in ONNX's text format.
        first_opset, last_opset: the versions of the default domain in which the body means the same.
        why: what bounds the versions, for the error message.
        note: where this form serves, in a few words.
    """

    text: str
    first_opset: int
    last_opset: int
    why: str
    note: str


@dataclass(frozen=True)
class Op:
    """One custom op.

    Attributes:
        name: the node's ``op_type``.
        family: the operation family by which a profile chooses the lowering.
        package: the op's folder, as a dotted module name.
    """

    name: str
    family: str
    package: str

    @property
    def schema(self) -> onnx.defs.OpSchema:
        """Its ONNX schema, not yet registered."""
        return self._module("schema").SCHEMA

    @property
    def lowerings(self) -> Mapping[str, Lowering]:
        """Its portable bodies by name, the default first."""
        lowerings: Mapping[str, Lowering] = self._module("body").LOWERINGS
        return lowerings

    @property
    def torch_overload(self) -> torch._ops.OpOverload:
        """The torch operator that becomes its node."""
        overload: torch._ops.OpOverload = self._module("torch_op").OVERLOAD
        return overload

    @property
    def translate(self) -> Callable[..., Any]:
        """What ``torch.onnx.export`` calls for ``torch_overload``."""
        translate: Callable[..., Any] = self._module("torch_op").translate
        return translate

    @property
    def tensorrt_plugin(self) -> Plugin:
        """What TensorRT has to know of it."""
        plugin: Plugin = self._module("tensorrt").PLUGIN
        return plugin

    def tensorrt_creator(self, trt: Any) -> Any:
        """A new plugin creator, made of the classes of ``trt`` (see ``trt_loader.load``)."""
        return make_creator(trt, self.name, self.tensorrt_plugin)

    def _module(self, name: str) -> Any:
        return importlib.import_module(f"{self.package}.{name}")


def discover(package: str, path: list[str]) -> Mapping[str, Op]:
    """Name -> op, of every sub-package of ``package`` in ``path`` that has an ``OP``; sorted by folder."""
    found: dict[str, Op] = {}
    for item in sorted(pkgutil.iter_modules(path), key=lambda module: module.name):
        if item.ispkg:
            op: Op = importlib.import_module(f"{package}.{item.name}").OP
            found[op.name] = op
    return MappingProxyType(found)
