"""``build``: from a recipe to a published bundle, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from v2v_runtime.bundle import Bundle
from v2v_runtime.manifest.model import Manifest, Target

from v2v_export.build.assemble import add_target, carry_target, write_core
from v2v_export.build.blobs import program_files
from v2v_export.build.context import Context, StageResult
from v2v_export.build.engines import TargetEngines, target_engines, target_keys
from v2v_export.build.existing import Existing, open_existing, refuse_strangers
from v2v_export.build.graphs import VariantGraphs, variant_graphs, variant_key
from v2v_export.build.memory import refuse_oversize, target_memory
from v2v_export.build.place import hold, publish, recover
from v2v_export.build.variants import TargetPlan, plan_target
from v2v_export.build.verdict import parity_key, stored_parity
from v2v_export.progress import Progress, SilentProgress
from v2v_export.provenance import bundle_provenance, core_key
from v2v_export.recipe import Recipe
from v2v_export.store import Store, key_hash, recorded_sha256, refused_writes
from v2v_export.system import GraphOptions
from v2v_export.verify import build_parity
from v2v_export.verify.request import Parity, ParityRequest, Verify

if TYPE_CHECKING:
    from v2v_export.profiles import Profile


@dataclass(frozen=True)
class BuildResult:
    """What a build did.

    Attributes:
        bundle: the bundle's folder.
        targets: target name -> what its ``target.json`` says; those that were there before are among them.
        stages: what was done, in order; empty if there was nothing to do.
        notes: what was told in words.
        up_to_date: the bundle was there already, with every target asked for.
    """

    bundle: Path
    targets: Mapping[str, Target]
    stages: tuple[StageResult, ...] = ()
    notes: tuple[str, ...] = ()
    up_to_date: bool = False


def build(
    recipe: Recipe,
    out: Path | None,
    profiles: Sequence[Profile],
    *,
    store: Store | None = None,
    progress: Progress | None = None,
    verify: bool | Verify = True,
) -> BuildResult:
    """Builds the recipe's bundle with a target for each profile, and publishes it at ``out``.

    The same build again does nothing. A build that was ended goes on at the stage where it was. Targets
    that the bundle at ``out`` has from the same recipe stay in it; a bundle of another recipe or of other
    weights is replaced.

    Args:
        out: the bundle's folder; None: ``<name>.v2v`` beside the recipe.
        store: where finished stages are kept; None: the user's cache folder (or ``V2V_CACHE``).
        verify: True: parity by ``v2v_export.verify``; False: targets stay unverified, and say so; or a
            function.

    Raises:
        RecipeError, ModelError: the recipe's choices do not fit each other; told before any stage begins.
        BuildError: a stage failed (V2V-E7xxx). Finished stages are kept; ``out`` is as before.
        VerdictError: parity missed (V2V-E8xxx); nothing is published.
    """
    progress = progress or SilentProgress()
    store = store or Store(
        waiting=lambda kind: progress.note(f"another build makes the same {kind}: waiting")
    )
    out = (out or (recipe.path.parent if recipe.path else Path.cwd()) / f"{recipe.name}.v2v").absolute()
    hook = build_parity if verify is True else verify or None
    with refused_writes(out.parent), store.leases.hold():
        context = Context(recipe, store, progress, core_key(recipe, store), verifying=hook is not None)
        notes: list[str] = []
        chosen = [recipe.profile(profile) for profile in profiles]
        plans = [plan_target(profile, recipe.system, notes.append) for profile in chosen]
        with hold(out, lambda: store.tell_waiting("bundle")):
            return _Build(context, out, plans, notes, hook).run()


class _Build:
    """One build, under the lock of its place."""

    def __init__(
        self,
        context: Context,
        out: Path,
        plans: Sequence[TargetPlan],
        notes: Sequence[str],
        verify: Verify | None,
    ) -> None:
        self.context = context
        self.out = out
        self.notes = notes
        self.plans = {plan.name: plan for plan in plans}
        self.verify = verify
        self.memory: dict[str, dict[str, Any] | None] = {}
        self.part = out.with_name(f".tmp-{out.name}.part")
        self.aside = out.with_name(f".tmp-{out.name}.old")

    def run(self) -> BuildResult:
        recover(self.part, self.out, self.aside)
        damage: list[str] = []
        old = open_existing(self.out, damage.append)
        stale = old is not None and old.bundle.manifest.provenance.get("core") != key_hash(self.context.core)
        complete = old is not None and not stale and self._complete(old)
        if not complete:
            self._check_recipe()
        for note in (*self.notes, *damage):
            self.context.note(note)
        if old is not None and complete:
            return BuildResult(self.out, dict(old.targets), (), tuple(self.context.notes), True)
        if old is not None and stale:
            self._tell_forgotten(old)
            old = None
        try:
            targets = self._make(old)
        finally:
            self.context.close()
            recover(self.part, self.out, self.aside)
        return BuildResult(self.out, targets, tuple(self.context.stages), tuple(self.context.notes))

    def _check_recipe(self) -> None:
        """Has the system judge size, options and weights, and the profiles' memory, before any stage begins.

        What the store has of this recipe was made after that, so a build that only puts it together need not
        wait for the weights.
        """
        context = self.context
        made = context.store.has("program", context.core) and all(
            context.store.has("variant", variant_key(context, plan.variant, plan.options))
            for plan in self.plans.values()
        )
        if not made:
            context.model()
            for plan in self.plans.values():
                refuse_oversize(context, plan)

    def _tell_forgotten(self, old: Existing) -> None:
        """Says what replacing a bundle of another making takes with it."""
        gone = sorted(set(old.targets) - set(self.plans))
        if gone:
            self.context.note(
                f"the recipe, its weights or the code changed: build again for {', '.join(gone)} too"
            )

    def _complete(self, old: Existing) -> bool:
        """Whether the bundle at ``out`` has every target asked for, as it would be built now."""
        manifest = old.bundle.manifest
        if not old.whole or manifest.name != self.context.recipe.name:
            return False
        hashes = _manifest_hashes(manifest)
        for name, plan in self.plans.items():
            target = old.targets.get(name)
            if target is None or target.variant != plan.variant or plan.variant not in hashes:
                return False
            keys = target_keys(plan, manifest.graphs, hashes[plan.variant], manifest.program)
            if target.engine_key != keys or dict(target.options) != _options(plan):
                return False
            if self.verify is not None and target.provenance.get("parity") != key_hash(
                parity_key(self.context, plan, keys)
            ):
                return False
        return True

    def _make(self, old: Existing | None) -> dict[str, Target]:
        context = self.context
        kept = sorted(set(old.targets) - set(self.plans)) if old is not None else []
        wanted = {plan.variant: plan.options for plan in self.plans.values()}
        for name in kept:
            assert old is not None
            wanted.update(_recorded_variant(old.bundle, old.targets[name].variant))
        variants = {
            name: (options.float, variant_graphs(context, name, options))
            for name, options in sorted(wanted.items())
        }
        program = program_files(context)
        keys = {
            name: target_keys(plan, files.graphs, _file_hashes(files), program.program)
            for name, plan in self.plans.items()
            for files in (variants[plan.variant][1],)
        }
        for name, plan in self.plans.items():
            files = variants[plan.variant][1]
            self.memory[name] = target_memory(context, plan, files, keys[name], program.program)
        engines: dict[str, TargetEngines] = {}
        for name, plan in self.plans.items():
            files = variants[plan.variant][1]
            before = dict(old.targets[name].engine_key) if old and name in old.targets else {}
            engines[name] = target_engines(context, plan, files, keys[name], program.program, before)
        with context.stage("bundle"):
            recorded = {
                name: {"float": options.float, "lowering": dict(options.lowering)}
                for name, options in sorted(wanted.items())
            }
            provenance = bundle_provenance(context.recipe, context.store, context.core, recorded)
            write_core(self.part, context.recipe, variants, program, provenance)
        targets = {}
        for name, plan in self.plans.items():
            targets[name] = self._target(plan, engines[name], variants[plan.variant][1])
        for name in kept:
            assert old is not None
            targets[name] = carry_target(self.part, old.bundle, name)
        with context.stage("publish"):
            if self.out.exists():
                refuse_strangers(self.out)  # again: the stages took their time
            publish(self.part, self.out, self.aside)
        return dict(sorted(targets.items()))

    def _target(self, plan: TargetPlan, engines: TargetEngines, files: VariantGraphs) -> Target:
        """Writes the target, has it verified, and writes what came of it."""
        provenance: dict[str, Any] = {"build_peak_memory": engines.peaks}
        if self.memory[plan.name] is not None:
            provenance["memory_estimate"] = self.memory[plan.name]

        def write(parity: Parity) -> Target:
            return add_target(
                self.part,
                plan,
                engines,
                status=parity.status,
                verification=parity.verification,
                provenance=provenance,
            )

        unverified = Parity("built", {"not_verified": ["anything: the build was told not to (--no-verify)"]})
        written = write(unverified)
        if self.verify is None:
            return written
        request = ParityRequest(
            bundle=self.part,
            target=plan.name,
            recipe=self.context.recipe,
            model=self.context.model,
            options=plan.options,
            taps=files.taps,
            progress=self.context.progress,
            release=self.context.release_model,
            scratch=self.context.scratch,
        )
        key = parity_key(self.context, plan, engines.keys)
        parity = stored_parity(self.context, key, request, self.verify)
        provenance["parity"] = key_hash(key)
        return write(parity)


def _options(plan: TargetPlan) -> dict[str, Any]:
    return dict(plan.builder.options(plan.profile.to_dict()))


def _recorded_variant(old: Bundle, name: str) -> dict[str, GraphOptions]:
    """The options of a variant that the bundle was built with."""
    recorded = old.manifest.provenance["variants"][name]
    return {name: GraphOptions(recorded["float"], dict(recorded["lowering"]))}


def _file_hashes(files: VariantGraphs) -> dict[str, tuple[str, str | None]]:
    known = recorded_sha256(files.folder)
    weights = known[files.weights] if files.weights else None
    return {graph: (known[name], weights) for graph, name in files.files.items()}


def _manifest_hashes(manifest: Manifest) -> dict[str, dict[str, tuple[str, str | None]]]:
    """variant -> graph -> sha256 of its ONNX file, and of the variant's weights if it has any."""
    known = {entry.path: entry.sha256 for entry in manifest.files}
    return {
        name: {
            graph: (known[path], known.get(f"graphs/{name}.weights"))
            for graph, path in variant.graphs.items()
        }
        for name, variant in manifest.variants.items()
    }
