#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A training step of four linear layers on a batch that is on the device: what a step costs besides its
work. `pytorch-graph` replays the whole step as one CUDA graph, which no Python trainer does."""

import common
import torch
from torch import nn

VARIANTS = ["pytorch", "pytorch-compile", "pytorch-graph", "lightning", "lightning-bar"]


def make_model(args):
    layers = []
    for _ in range(3):
        layers += [nn.Linear(args.width, args.width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(args.width, 16)).to(common.DEVICE)


class Training(nn.Module):
    def __init__(self, args):
        super().__init__()
        self.layers = make_model(args)

    def forward(self, batch):
        return self.layers(batch).square().mean()


def make_step(model, optimizer, batch):
    def step():
        optimizer.zero_grad(set_to_none=True)
        model(batch).backward()
        optimizer.step()

    return step


def captured(step, optimizer):
    if common.DEVICE != "cuda":
        raise RuntimeError("a CUDA graph needs a GPU")
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    optimizer.zero_grad(set_to_none=True)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def train(args, variant):
    batch = torch.randn(args.batch, args.width, device=common.DEVICE)
    model = Training(args)
    if variant.startswith("lightning"):
        seconds = common.lightning_seconds(
            model,
            [batch],
            lambda parameters: torch.optim.AdamW(parameters, fused=True),
            args,
            progress_bar=variant == "lightning-bar",
        )
        return common.speed(seconds, args)
    graphed = variant == "pytorch-graph"
    optimizer = torch.optim.AdamW(model.parameters(), fused=True, capturable=graphed)
    step = make_step(torch.compile(model) if variant == "pytorch-compile" else model, optimizer, batch)
    return common.speed(common.window_seconds(captured(step, optimizer) if graphed else step, args), args)


def main():
    parser = common.parser(__doc__, VARIANTS, batch=64, warm_up=50, steps=300)
    parser.add_argument("--width", type=int, default=256)
    args = parser.parse_args()
    common.run_variants(args, VARIANTS, lambda variant: train(args, variant))


if __name__ == "__main__":
    main()
