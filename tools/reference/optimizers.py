# SPDX-License-Identifier: BSD-3-Clause
"""Where 20 steps of every optimizer end, for tests/unit/train/optimizers_golden_test.cpp.

    pip install -r tools/reference/requirements.txt
    python tools/reference/optimizers.py > tests/golden/optimizers.json

torch.optim's optimizers and schedules, clip_grad_norm_ and clip_grad_value_, and transformers'
Adafactor and schedules; lamb is timm's; adam_w is as MMF.md 6 describes it, written out below. Written
with torch 2.11.0 (CPU), transformers 5.24.0 and timm 1.0.31; the parameters have seed 3.

The problem: at step t = 0 .. 19 the gradient of a parameter p is (1 + 0.8 cos(1.7 t)) cos(p) +
0.5 p. At the steps in "absent" it has none; at those in "zero" it is 0. Each case runs in float64
and in float32.
"""

import json
import math

import timm.optim
import torch
import transformers
from torch.optim import lr_scheduler

STEPS = 20
SHAPES = {"embedding.weight": [4, 3], "conv.weight": [2, 3, 2], "fc.bias": [5], "scale": []}
cases = []


class Lamb(timm.optim.Lamb):
    """Without timm's own clipping, and with the trust ratio where there is no weight decay, too. timm
    counts the steps of a group, so that each parameter is one of its own, which waits when it has no
    gradient."""

    def __init__(self, groups, **options):
        each = [{**group, "params": [p]} for group in groups for p in group["params"]]
        options = {"weight_decay": 0.0, **options}
        super().__init__(each, max_grad_norm=None, always_adapt=True, **options)

    def step(self):
        groups = self.param_groups
        self.param_groups = [group for group in groups if group["params"][0].grad is not None]
        super().step()
        self.param_groups = groups


class MmfAdamW(torch.optim.Optimizer):
    """Weight decay after the step; eps is added to the root of v as it is."""

    skip = False

    def __init__(
        self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.0, correct_bias=True
    ):
        options = dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
        super().__init__(params, {**options, "correct_bias": correct_bias})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                if p.grad is None or (self.skip and p.grad.abs().sum() == 0):
                    continue
                state = self.state[p]
                t = state["t"] = state.get("t", 0) + 1
                zeros = torch.zeros_like(p)
                m = state["m"] = beta1 * state.get("m", zeros) + (1 - beta1) * p.grad
                v = state["v"] = beta2 * state.get("v", zeros) + (1 - beta2) * p.grad**2
                rate = group["lr"]
                if group["correct_bias"]:
                    rate *= math.sqrt(1 - beta2**t) / (1 - beta1**t)
                p -= rate * m / (v.sqrt() + group["eps"])
                p -= group["lr"] * group["weight_decay"] * p


class MmfAdamWSkip(MmfAdamW):
    skip = True


OPTIMIZERS = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "adamax": torch.optim.Adamax,
    "nadam": torch.optim.NAdam,
    "adagrad": torch.optim.Adagrad,
    "rmsprop": torch.optim.RMSprop,
    "adafactor": transformers.optimization.Adafactor,
    "lamb": Lamb,
    "adam_w": MmfAdamW,
    "adam_w_skip_params_with_zero_grad": MmfAdamWSkip,
}


def one_cycle(optimizer, num_training_steps, **params):
    rates = [group["lr"] for group in optimizer.param_groups]
    return lr_scheduler.OneCycleLR(
        optimizer, rates, total_steps=num_training_steps, cycle_momentum=False, **params
    )


def polynomial(optimizer, num_warmup_steps, num_training_steps, power, end_factor):
    return transformers.get_polynomial_decay_schedule_with_warmup(
        optimizer,
        num_warmup_steps,
        num_training_steps,
        lr_end=end_factor * optimizer.defaults["lr"],
        power=power,
    )


SCHEDULERS = {
    "step": lr_scheduler.StepLR,
    "exponential": lr_scheduler.ExponentialLR,
    "warmup_linear": transformers.get_linear_schedule_with_warmup,
    "polynomial": polynomial,
    "one_cycle": one_cycle,
    "reduce_on_plateau": lr_scheduler.ReduceLROnPlateau,
}


def tuples(options):
    return {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}


def listed(tensor):
    digits = 9 if tensor.dtype == torch.float32 else 17
    return [float(f"{number:.{digits}g}") for number in tensor.flatten().tolist()]


def run(case, initial, dtype):
    """The parameters after the last step."""
    parameters = {name: tensor.to(dtype).clone() for name, tensor in initial.items()}
    groups = [
        {"params": [parameters[name] for name in group["names"]], **tuples(group["options"])}
        for group in case["groups"]
    ]
    optimizer = OPTIMIZERS[case["type"]](groups, **tuples(case["params"]))
    schedule = case.get("scheduler")
    scheduler = schedule and SCHEDULERS[schedule["type"]](optimizer, **schedule["params"])
    for t in range(STEPS):
        for name, p in parameters.items():
            gradient = p.cos() * (1 + 0.8 * math.cos(1.7 * t)) + p * 0.5
            if t in case["zero"].get(name, []):
                gradient = torch.zeros_like(p)
            p.grad = None if t in case["absent"].get(name, []) else gradient
        if "clip_norm" in case:
            torch.nn.utils.clip_grad_norm_(parameters.values(), case["clip_norm"])
        if "clip_value" in case:
            torch.nn.utils.clip_grad_value_(parameters.values(), case["clip_value"])
        optimizer.step()
        if schedule and "observed" in schedule:
            scheduler.step(schedule["observed"][t])
        elif schedule:
            scheduler.step()
    return {name: listed(tensor) for name, tensor in parameters.items()}


def initial_parameters(weights_of_zero):
    torch.manual_seed(3)
    parameters = {name: torch.randn(shape) for name, shape in SHAPES.items()}
    for name in weights_of_zero:
        parameters[name].zero_()
    return parameters


def add(name, optimizer, *, groups=None, absent=None, zero=None, zeros=(), more=None, **params):
    names = list(SHAPES)
    case = {"name": name, "type": optimizer, "params": params}
    case["groups"] = groups or [{"names": names, "options": {}}]
    case["absent"] = absent or {}
    case["zero"] = zero or {}
    case.update(more or {})
    initial = initial_parameters(zeros)
    case["initial"] = {key: listed(tensor) for key, tensor in initial.items()}
    case["float64"] = run(case, initial, torch.float64)
    case["float32"] = run(case, initial, torch.float32)
    cases.append(case)


def two_groups(first, second):
    return [
        {"names": ["embedding.weight", "conv.weight"], "options": first},
        {"names": ["fc.bias", "scale"], "options": second},
    ]


SOME = {"fc.bias": [0, 3, 4], "conv.weight": [7]}  # one begins later, one pauses


def add_torchs():
    add("Sgd", "sgd", lr=0.05, absent=SOME)
    momentum = dict(lr=0.02, momentum=0.9, dampening=0.3, weight_decay=0.1)
    add("SgdMomentum", "sgd", absent=SOME, **momentum)
    add("SgdNesterov", "sgd", lr=0.02, momentum=0.8, nesterov=True, weight_decay=0.1, maximize=True)
    groups = two_groups({"momentum": 0.9}, {"lr": 0.1, "weight_decay": 0.2})
    add("SgdGroups", "sgd", lr=0.03, groups=groups)
    add("Adam", "adam", lr=0.02, weight_decay=0.1, absent=SOME)
    add("AdamAmsgrad", "adam", lr=0.02, betas=[0.8, 0.9], amsgrad=True, maximize=True)
    add("AdamW", "adamw", lr=0.02, betas=[0.8, 0.95], absent=SOME)
    groups = two_groups({"weight_decay": 0.3}, {"weight_decay": 0.0, "lr": 0.05, "amsgrad": True})
    add("AdamWGroups", "adamw", lr=0.02, eps=1e-3, groups=groups)
    add("Adamax", "adamax", lr=0.02, weight_decay=0.1, absent=SOME)
    add("AdamaxMaximize", "adamax", betas=[0.7, 0.9], maximize=True)
    add("Nadam", "nadam", lr=0.02, weight_decay=0.1, absent=SOME)
    decoupled = dict(decoupled_weight_decay=True, weight_decay=0.1, momentum_decay=0.02)
    add("NadamDecoupled", "nadam", lr=0.02, maximize=True, **decoupled)
    add("Adagrad", "adagrad", lr=0.1, absent=SOME)
    decays = dict(lr_decay=0.1, weight_decay=0.1, initial_accumulator_value=0.5)
    add("AdagradDecays", "adagrad", lr=0.2, eps=1e-3, maximize=True, **decays)
    add("RmsProp", "rmsprop", lr=0.01, weight_decay=0.1, absent=SOME)
    centered = dict(centered=True, momentum=0.7, alpha=0.9, weight_decay=0.1)
    add("RmsPropCentered", "rmsprop", lr=0.002, maximize=True, **centered)
    groups = two_groups({"momentum": 0.5}, {"centered": True, "lr": 0.003})
    add("RmsPropGroups", "rmsprop", lr=0.01, groups=groups)


def add_others():
    add("Lamb", "lamb", lr=0.02, weight_decay=0.1, absent=SOME)
    add("LambZeroWeights", "lamb", lr=0.02, betas=[0.8, 0.9], zeros=["fc.bias", "scale"])
    add("LambGroups", "lamb", groups=two_groups({"lr": 0.05}, {"weight_decay": 0.2}))
    add("Adafactor", "adafactor", absent=SOME)
    add("AdafactorWarmup", "adafactor", warmup_init=True, scale_parameter=False, beta1=0.9)
    given = dict(relative_step=False, lr=0.02, weight_decay=0.1)
    add("AdafactorLr", "adafactor", clip_threshold=0.5, decay_rate=-0.5, eps=[1e-8, 0.1], **given)
    add("AdafactorGroups", "adafactor", groups=two_groups({"beta1": 0.8}, {"lr": 0.05}), **given)
    add("MmfAdamW", "adam_w", lr=0.02, weight_decay=0.1, absent=SOME)
    add("MmfAdamWUncorrected", "adam_w", lr=0.005, eps=1e-3, correct_bias=False)
    add("MmfAdamWGroups", "adam_w", groups=two_groups({"weight_decay": 0.3}, {"lr": 0.05}))
    zero = {"fc.bias": [0, 1, 5], "embedding.weight": [9, 10]}
    skip = "adam_w_skip_params_with_zero_grad"
    add("MmfAdamWSkip", skip, lr=0.02, weight_decay=0.1, zero=zero, absent=SOME)
    add("MmfAdamWZeroGradient", "adam_w", lr=0.02, weight_decay=0.1, zero=zero)


def scheduled(kind, clip=None, observed=None, **params):
    schedule = {"type": kind, "params": params}
    if observed:
        schedule["observed"] = observed
    return {"scheduler": schedule, **(clip or {})}


def add_clipped_and_scheduled():
    add("SgdClipNorm", "sgd", lr=0.05, momentum=0.9, more={"clip_norm": 0.5}, absent=SOME)
    add("SgdClipValue", "sgd", lr=0.05, momentum=0.9, more={"clip_value": 0.4}, absent=SOME)
    add("AdamStep", "adam", lr=0.05, more=scheduled("step", step_size=6, gamma=0.5))
    add("LambExponential", "lamb", lr=0.05, more=scheduled("exponential", gamma=0.9))
    linear = dict(num_warmup_steps=4, num_training_steps=18)
    more = scheduled("warmup_linear", {"clip_value": 0.3}, **linear)
    add("MmfAdamWWarmupLinear", "adam_w", lr=0.05, weight_decay=0.1, more=more)
    more = scheduled("one_cycle", {"clip_norm": 0.7}, num_training_steps=20)
    groups = two_groups({"weight_decay": 0.3}, {"lr": 0.1})
    add("AdamWOneCycle", "adamw", lr=0.05, groups=groups, more=more, absent=SOME)
    more = scheduled("polynomial", {"clip_norm": 0.7}, power=2.0, end_factor=0.1, **linear)
    add("NadamPolynomial", "nadam", lr=0.05, weight_decay=0.1, more=more)
    observed = [5, 4, 4, 4, 4, 3, 3, 3, 3, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2]
    more = scheduled("reduce_on_plateau", observed=observed, patience=1, factor=0.5)
    add("RmsPropPlateau", "rmsprop", lr=0.02, more=more)


if __name__ == "__main__":
    add_torchs()
    add_others()
    add_clipped_and_scheduled()
    shapes = json.dumps(SHAPES)
    lines = ",\n".join(json.dumps(case) for case in cases)
    print(f'{{"steps": {STEPS}, "shapes": {shapes}, "cases": [\n{lines}\n]}}')
