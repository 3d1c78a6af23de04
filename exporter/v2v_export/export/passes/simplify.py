"""Folds constants and applies onnxscript's default rewrite rules, each only where it can match.

Requires: a traced model.
Ensures: what ``onnxscript.optimizer.optimize_ir`` ensures, and the very same graph.

That optimizer tries every rule on every node, and for its one rule with two outputs (two Slices that are the
halves of a value become one Split) lists all nodes of the graph each time: the square of their number, which
for thousands of nodes is nearly all of its time. Here a rule is asked only about nodes of the operator that
it begins with, and that one rule only about a Slice that could be a first half.
"""

from __future__ import annotations

import copy
from typing import Any

import onnx_ir as ir
from onnx_ir.passes import PassManager, Sequential, common
from onnxscript.optimizer import fold_constants_ir
from onnxscript.rewriter import (
    # Private, and what `rewriter.rewrite` takes by default: onnxscript is pinned, a test holds this to it.
    _DEFAULT_REWRITE_RULES,
    RewritePass,
    RewriteRuleSet,
)
from onnxscript.rewriter.rules.common import slice_split_rule

STEPS = 2
"""Times that folding and rules take turns at most, as the optimizer does."""


def simplify(model: ir.Model, largest: int) -> None:
    """Simplifies ``model`` in place.

    Args:
        largest: elements of the largest tensor that folding may make.
    """
    rules = RewriteRuleSet([_Rooted(rule) for rule in _DEFAULT_REWRITE_RULES])
    step = (
        _Fold(largest),
        RewritePass(rules),
        common.RemoveUnusedNodesPass(),
        common.RemoveUnusedFunctionsPass(),  # type: ignore[no-untyped-call]  # onnx-ir has no types there
        common.RemoveUnusedOpsetsPass(),
    )
    Sequential(
        common.InlinePass(),
        PassManager(step, steps=STEPS, early_stop=True),
        common.RemoveUnusedNodesPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.LiftSubgraphInitializersToMainGraphPass(),
        common.DeduplicateInitializersPass(),
        common.CommonSubexpressionEliminationPass(),
        common.OutputFixPass(),
        common.NameFixPass(),
    )(model)


class _Fold(ir.passes.InPlacePass):
    """onnxscript's constant folding as a pass."""

    def __init__(self, largest: int) -> None:
        super().__init__()
        self._largest = largest

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        done: ir.passes.PassResult = fold_constants_ir(
            model, onnx_shape_inference=True, output_size_limit=self._largest
        )
        return done


class _Rooted:
    """A rule that looks at a node's operator before anything else.

    onnxscript's rules live as long as the process, and a matcher keeps the last node that it looked at: the
    whole graph with all its weights. Here each has one of its own.
    """

    def __init__(self, rule: Any) -> None:
        self._rule = copy.copy(rule)
        self._rule._matcher = type(rule._matcher)(rule._target_pattern)
        first = rule._target_pattern.output_nodes[0].op_identifier()
        self._op_type = None if first is None else first[1]
        self._halves = rule is slice_split_rule

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rule, name)

    def try_rewrite(self, model: ir.Model, graph: Any, node: ir.Node, **more: Any) -> Any:
        """The rule's own answer, or None where it could only be that."""
        if self._op_type is not None and node.op_type != self._op_type:
            return None
        if self._halves and not _may_be_first_half(node):
            return None
        return self._rule.try_rewrite(model, graph, node, **more)


def _may_be_first_half(node: ir.Node) -> bool:
    """Whether a Slice begins at 0 and its value is sliced once more."""
    if len(node.inputs) < 2 or node.inputs[0] is None or node.inputs[1] is None:
        return False
    begin = node.inputs[1].const_value
    if begin is None or begin.size != 1 or begin.numpy().item() != 0:
        return False
    return sum(user.op_type == "Slice" for user, _ in node.inputs[0].uses()) > 1
