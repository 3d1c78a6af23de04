"""The torch operator: its registration, its gradients, its refusals, and its way into ONNX."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import v2v_plugins
from plugins.ada_bd.cases import NAMES, TOLERANCE, expected, make
from torch import Tensor, nn
from v2v_plugins.ada_bd.reference import literal
from v2v_plugins.ada_bd.torch_op import ada_bd


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own, about itself
        yield


class Blend(nn.Module):
    """The op between two others, as a block would hold it: sigmoid before, a bias after."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, T: Tensor, F_star: Tensor, offset: Tensor, logits: Tensor) -> Tensor:
        return ada_bd(T, F_star, offset, torch.sigmoid(logits), self.weight) + 1.0


def inputs(name: str = "random", dtype: torch.dtype = torch.float32) -> list[Tensor]:
    case = make(name)
    return [torch.from_numpy(item).to(dtype) for item in (*case.tensors, case.weight)]


def export(module: nn.Module, arguments: list[Tensor], opset: int = 19) -> onnx.ModelProto:
    program = torch.onnx.export(
        module.eval(),
        tuple(arguments),
        dynamo=True,
        opset_version=opset,
        input_names=list(NAMES),
        custom_translation_table=v2v_plugins.translation_table(),
        verbose=False,
    )
    assert program is not None
    return program.model_proto


def test_the_operator_keeps_torchs_rules() -> None:
    tensors = [item.requires_grad_() for item in inputs("smallest", torch.float64)]
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    results = torch.library.opcheck(torch.ops.v2v.ada_bd.default, tuple(tensors), test_utils=checks)
    assert set(results.values()) == {"SUCCESS"}


def test_value() -> None:
    wanted = expected("random")
    np.testing.assert_allclose(ada_bd(*inputs()), wanted, atol=TOLERANCE * np.abs(wanted).max())


def test_gradients_are_those_of_the_literal_form() -> None:
    mine = [item.requires_grad_() for item in inputs("batch", torch.float64)]
    theirs = [item.detach().clone().requires_grad_() for item in mine]
    torch.sin(ada_bd(*mine)).sum().backward()
    torch.sin(literal(*theirs)).sum().backward()
    for found, wanted in zip(mine, theirs, strict=True):
        torch.testing.assert_close(found.grad, wanted.grad, rtol=0, atol=1e-10)


def test_gradients_only_where_they_are_wanted() -> None:
    tensors = inputs("smallest")
    tensors[4].requires_grad_()
    ada_bd(*tensors).sum().backward()
    assert tensors[4].grad is not None
    assert all(item.grad is None for item in tensors[:4])


@pytest.mark.parametrize(
    ("index", "shape", "seen"),
    [
        (0, (1, 8, 1, 16), "T (1, 8, 1, 16)"),
        (1, (1, 8, 12, 15), "F_star (1, 8, 12, 15)"),
        (2, (1, 9, 12, 16), "offset (1, 9, 12, 16)"),
        (3, (1, 18, 12, 16), "mask (1, 18, 12, 16)"),
        (4, (8, 8, 1, 1), "weight (8, 8, 1, 1)"),
    ],
)
def test_shapes_that_do_not_fit_are_named(index: int, shape: tuple[int, ...], seen: str) -> None:
    tensors = inputs()
    tensors[index] = torch.zeros(shape)
    with pytest.raises(ValueError, match="ada_bd: ") as caught:
        ada_bd(*tensors)
    assert seen in str(caught.value)


def test_types_that_do_not_fit_are_named() -> None:
    tensors = inputs()
    tensors[3] = tensors[3].half()
    with pytest.raises(ValueError, match="mask is torch"):
        ada_bd(*tensors)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("opset", [18, 19, 21])
def test_it_is_exported_as_one_bare_node(opset: int, dtype: torch.dtype) -> None:
    *tensors, weight = inputs("smallest", dtype)
    model = export(Blend(weight).to(dtype), tensors, opset)
    assert [(node.domain, node.op_type) for node in model.graph.node].count(("v2v", "AdaBD")) == 1
    assert not model.functions
    assert {item.domain: item.version for item in model.opset_import} == {"": opset, "v2v": 1}


@pytest.mark.parametrize("lowering", sorted(v2v_plugins.OPS["AdaBD"].lowerings))
def test_exported_with_its_body_it_computes_the_same(lowering: str) -> None:
    *tensors, weight = inputs("batch")
    module = Blend(weight)
    model = export(module, tensors)
    assert v2v_plugins.attach_bodies(model, {"deform": lowering}) == ["AdaBD"]
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(None, {name: item.numpy() for name, item in zip(NAMES, tensors, strict=True)})[0]
    T, F_star, offset, logits = (item.double() for item in tensors)
    wanted = literal(T, F_star, offset, torch.sigmoid(logits), weight.double()) + 1.0
    assert np.abs(found - wanted.numpy()).max() <= TOLERANCE * wanted.abs().max()
