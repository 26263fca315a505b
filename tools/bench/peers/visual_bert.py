#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Training steps of VisualBERT-base in the shapes of VQA v2, bf16, dropout, AdamW; batches are on the
device. `lightning-*` is Hugging Face's model in PyTorch Lightning; `packed-*` is written by hand in
PyTorch, without padding."""

import common
import torch
import visual_bert_model as vb

VARIANTS = ["lightning-eager", "lightning-fused", "lightning-fused-compile", "packed-eager", "packed-compile"]
LEARNING_RATE = 5e-5


def train_lightning(args, variant):
    generator = torch.Generator().manual_seed(1)
    batches = [vb.make_batch(args, generator) for _ in range(4)]
    model = vb.VisualBert(args)
    if variant.endswith("compile"):
        model.bert = torch.compile(model.bert)

    def optimizer(parameters):
        return torch.optim.AdamW(parameters, lr=LEARNING_RATE, fused="fused" in variant)

    seconds = common.lightning_seconds(vb.Training(model), batches, optimizer, args, precision="bf16-mixed")
    return common.speed(seconds, args)


def train_packed(args, variant):
    import packed_model

    generator = torch.Generator().manual_seed(1)
    batches = [packed_model.pack(vb.make_batch(args, generator)) for _ in range(4)]
    model = packed_model.PackedVisualBert(args).to(common.DEVICE)
    called = torch.compile(model, dynamic=True) if variant.endswith("compile") else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, fused=True)
    number = iter(range(1 << 60))

    def step():
        inputs, targets = batches[next(number) % len(batches)]
        optimizer.zero_grad(set_to_none=True)
        with common.autocast("bf16"):
            scores = called(*inputs)
        common.binary_loss(scores, targets).backward()
        optimizer.step()

    return common.speed(common.window_seconds(step, args), args)


def main():
    args = vb.add_sizes(common.parser(__doc__, VARIANTS, batch=128)).parse_args()
    torch.set_float32_matmul_precision("high")
    common.run_variants(
        args,
        VARIANTS,
        lambda variant: (train_packed if variant.startswith("packed") else train_lightning)(args, variant),
    )


if __name__ == "__main__":
    main()
