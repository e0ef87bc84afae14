"""The pulse plans of a campaign: found, held against their nets, and what their points need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mtjkit_core.errors import ConfigError, MtjkitError
from mtjkit_core.model import Model
from mtjkit_core.write_errors import CERTAIN
from mtjkit_export.files import file_sha256
from mtjkit_export.nets.fixed import FixedNet

from mtjkit_host.campaign.chips import class_limits_of_plan
from mtjkit_host.campaign.description import Campaign, NetEntry
from mtjkit_host.campaign.nets import find_net, load_net, sha256_of
from mtjkit_host.campaign.points import Planned
from mtjkit_host.mtj.pulse_plan import PulsePlan, read_plan


def with_plans(
    campaign: Campaign, plans: Sequence[str | Path], folders: Sequence[Path]
) -> Campaign:
    """The campaign with a net more for each plan.

    A plan's net is the model beside its file, NAME.mtjb beside NAME.toml, or one of the campaign's.

    Args:
        campaign: the campaign.
        plans: files of plans.
        folders: where the campaign's nets are looked for.

    Raises:
        ConfigError: a plan cannot be read, or its net is neither beside it nor in the campaign.
    """
    nets = list(campaign.nets)
    for path in map(Path, plans):
        plan = read_plan(path)
        model = _model_of(plan, path, campaign, folders)
        note = f"plan {path.name}"
        nets.append(
            NetEntry(f"{plan.model}, {path.stem}", (str(model),), note=note, plan=str(path))
        )
    return replace(campaign, nets=tuple(nets))


def _model_of(plan: PulsePlan, path: Path, campaign: Campaign, folders: Sequence[Path]) -> Path:
    beside = path.with_suffix(".mtjb")
    if beside.is_file() and file_sha256(beside) == plan.sha256:
        return beside
    for entry in campaign.nets:
        try:
            found = find_net(entry.model, folders)
            if sha256_of(load_net(found)) == plan.sha256:
                return found
        except MtjkitError:
            continue
    raise ConfigError(
        f"--plan {path}: its model is neither {beside.name} beside it nor a net of the campaign"
    )


def plan_of(
    campaign: Campaign, entry: NetEntry, net: Model | FixedNet
) -> tuple[PulsePlan, Planned]:
    """A net's plan, and what its points follow from.

    Raises:
        ConfigError: the plan cannot be read, or is for another net.
    """
    path = Path(entry.plan)
    plan = read_plan(path)
    if isinstance(net, FixedNet) or sha256_of(net) != plan.sha256:
        raise ConfigError(f"{entry.label}: {path} is a plan for another model, {plan.model!r}")
    chips = class_limits_of_plan(campaign, entry.label, plan)
    bits = [layer.map_bits for layer in net.layers[:-1]]
    if len(bits) != len(plan.layers):
        raise ConfigError(f"{entry.label}: {path} has {len(plan.layers)} layers, not {len(bits)}")
    wrong = sum(n * (down + up) / 2 for n, (down, up) in zip(bits, plan.limits, strict=True))
    rate = wrong / CERTAIN / max(1, sum(bits))
    return plan, Planned(file_sha256(path), plan.errors, rate, chips, plan.cells_before)
