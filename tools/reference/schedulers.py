# SPDX-License-Identifier: BSD-3-Clause
"""Factors of every schedule, for tests/unit/model/schedulers/schedulers_golden_test.cpp.

    pip install -r tools/reference/requirements.txt
    python tools/reference/schedulers.py > tests/golden/schedulers.json

Rates of torch's and transformers' schedulers for a base rate of 1. MMF's own pythia and multi_step
are in the test itself, with the numbers of MMF.md 6. Written with torch 2.11.0 (CPU) and
transformers 5.24.0; nothing is drawn.
"""

import json
import warnings

import torch
import transformers
from torch.optim import lr_scheduler

# No step is made between the schedule's, which torch warns of.
warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")

cases = []


def factors_of(make, steps, observed=()):
    """The rate at each update; `observed` is what the schedule is told after each of them."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = make(optimizer)
    factors = []
    for update in range(steps):
        factors.append(optimizer.param_groups[0]["lr"])
        if update + 1 < steps:
            scheduler.step(*observed[update : update + 1])
    return [float(factor) for factor in factors]


def add(kind, params, make, steps=14, observed=()):
    case = {"type": kind, "params": params, "factors": factors_of(make, steps, observed)}
    if observed:
        case["observed"] = observed
    cases.append(case)


def add_one_cycle(steps, **params):
    def make(optimizer):
        return lr_scheduler.OneCycleLR(
            optimizer, max_lr=1.0, total_steps=steps, cycle_momentum=False, **params
        )

    add("one_cycle", {"num_training_steps": steps, **params}, make, steps)


def add_plateau(observed, **params):
    observed = [float(number) for number in observed]
    torchs = {key: value for key, value in params.items() if key != "min_factor"}
    torchs["min_lr"] = params.get("min_factor", 0)  # the same at a base rate of 1

    def make(optimizer):
        return lr_scheduler.ReduceLROnPlateau(optimizer, eps=0, **torchs)

    finite = [None if number != number else number for number in observed]  # JSON has no NaN
    add("reduce_on_plateau", params, make, len(observed) + 1, observed)
    cases[-1]["observed"] = finite


def add_warmups():
    hf = transformers
    for warmup in (4, 0):
        both = {"num_warmup_steps": warmup, "num_training_steps": 13}
        add("warmup_linear", both, lambda o: hf.get_linear_schedule_with_warmup(o, warmup, 13))
        add("warmup_cosine", both, lambda o: hf.get_cosine_schedule_with_warmup(o, warmup, 13))
        cycles = {**both, "num_cycles": 1.5}
        add("warmup_cosine", cycles, lambda o: hf.get_cosine_schedule_with_warmup(o, warmup, 13, 1.5))
    add("constant", {}, lambda o: hf.get_constant_schedule(o))
    warmup = {"num_warmup_steps": 5}
    add("constant", warmup, lambda o: hf.get_constant_schedule_with_warmup(o, 5))
    for cycles in (1, 3):
        params = {"num_warmup_steps": 2, "num_training_steps": 14, "num_cycles": cycles}
        restarts = hf.get_cosine_with_hard_restarts_schedule_with_warmup
        add("cosine_with_restarts", params, lambda o: restarts(o, 2, 14, cycles), steps=17)
    polynomial = hf.get_polynomial_decay_schedule_with_warmup
    for power, end in ((1.0, 0.0), (2.0, 0.1), (0.5, 0.25)):
        params = {"num_warmup_steps": 3, "num_training_steps": 12, "power": power, "end_factor": end}
        add("polynomial", params, lambda o: polynomial(o, 3, 12, end, power))


def add_torchs():
    add("step", {"step_size": 3}, lambda o: lr_scheduler.StepLR(o, 3))
    add("step", {"step_size": 5, "gamma": 0.7}, lambda o: lr_scheduler.StepLR(o, 5, 0.7))
    add("exponential", {"gamma": 0.9}, lambda o: lr_scheduler.ExponentialLR(o, 0.9))
    add_one_cycle(20)
    add_one_cycle(20, anneal_strategy="linear", pct_start=0.45, div_factor=10.0)
    add_one_cycle(20, three_phase=True)
    add_one_cycle(23, three_phase=True, anneal_strategy="linear", final_div_factor=100.0)
    add_one_cycle(9, pct_start=0.0)
    add_one_cycle(9, pct_start=1.0)


def add_plateaus():
    down = [9, 8, 8, 8, 8, 7, 7, 7, 7, 7, 7, 7, 6, 6, 6, 6, 6, 6]
    add_plateau(down, patience=1)
    add_plateau(down, patience=0, factor=0.5, cooldown=2, min_factor=0.1)
    add_plateau([-x for x in down], mode="max", patience=2, factor=0.3, threshold_mode="abs")
    slowly = [1 - 0.001 * i for i in range(12)]
    add_plateau(slowly, patience=2, threshold=0.01, factor=0.5)
    add_plateau(slowly, patience=2, threshold=0.0025, threshold_mode="abs", factor=0.5)
    add_plateau([1 + 0.1 * i for i in range(12)], mode="max", patience=1, threshold=0.15)
    nan = float("nan")
    add_plateau([nan, 3, nan, nan, 2, nan, nan, nan, nan], patience=1, factor=0.5)


if __name__ == "__main__":
    add_warmups()
    add_torchs()
    add_plateaus()
    lines = ",\n".join(json.dumps(case) for case in cases)
    print(f'{{"cases": [\n{lines}\n]}}')
