#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""How long Hugging Face's VisualBERT-base takes to predict a batch that is on the device, a sample by
default: milliseconds from the call until the device is done. `eager-autocast` computes in bf16 from
float32 weights, as Pergola does; `eager-bf16` has its weights in bf16; `eager-tf32` is float32."""

import statistics

import common
import torch
import visual_bert_model as vb

VARIANTS = ["eager-tf32", "eager-autocast", "eager-bf16", "compile-autocast"]


def predict(args, variant):
    ids, mask, features, _ = vb.make_batch(args, torch.Generator().manual_seed(1))
    model = vb.VisualBert(args).to(common.DEVICE).eval()
    if variant == "eager-bf16":
        model, features = model.bfloat16(), features.bfloat16()
    called = torch.compile(model) if variant.startswith("compile") else model

    def step():
        with torch.inference_mode(), common.autocast("bf16" if variant.endswith("autocast") else "fp32"):
            called(ids, mask, features)

    times = sorted(common.latencies(step, args))
    median = statistics.median(times)
    return {
        "step_ms": median,
        "p10_ms": times[len(times) // 10],
        "p90_ms": times[len(times) * 9 // 10],
        "samples_per_second": 1000 * args.batch / median,
    }


def main():
    args = vb.add_sizes(common.parser(__doc__, VARIANTS, batch=1, warm_up=30, steps=50)).parse_args()
    torch.set_float32_matmul_precision("high")
    common.run_variants(args, VARIANTS, lambda variant: predict(args, variant))


if __name__ == "__main__":
    main()
