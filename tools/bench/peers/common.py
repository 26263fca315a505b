# SPDX-License-Identifier: BSD-3-Clause
"""What the peers share: how time is taken, which batches there are, how a result is printed."""

import argparse
import itertools
import json
import statistics
import time

import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def parser(description, variants, batch, warm_up=20, steps=20, windows=3):
    made = argparse.ArgumentParser(description=description)
    made.add_argument("variants", nargs="*", default=variants, help=f"of {', '.join(variants)}; default: all")
    made.add_argument("--batch", type=int, default=batch, help=f"samples in a batch; default: {batch}")
    made.add_argument("--warm-up", type=int, default=warm_up, help="steps before the first window")
    made.add_argument("--steps", type=int, default=steps, help="of a window")
    made.add_argument("--windows", type=int, default=windows, help="of which the median counts")
    return made


def synchronize():
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def autocast(precision):
    enabled = precision in ("bf16", "fp16")
    return torch.autocast(DEVICE, torch.float16 if precision == "fp16" else torch.bfloat16, enabled=enabled)


def on_device(batches):
    """Goes round these batches of host memory, each copied once."""
    return itertools.cycle([[tensor.to(DEVICE) for tensor in batch] for batch in batches])


class FromHost:
    """Goes round these batches of host memory, page-locked: each is copied while the step before it runs, on a
    stream of its own, into one of two that are on the device. The device is never waited for."""

    def __init__(self, batches):
        if DEVICE == "cuda":
            batches = [[tensor.pin_memory() for tensor in batch] for batch in batches]
            self.stream = torch.cuda.Stream()
        self.batches = itertools.cycle(batches)
        self.buffers = [[torch.empty_like(tensor, device=DEVICE) for tensor in batches[0]] for _ in range(2)]
        self.copy_next()

    def copy_next(self):
        if DEVICE == "cpu":
            return self.fill()
        self.stream.wait_stream(torch.cuda.current_stream())  # for the last step that read this buffer
        with torch.cuda.stream(self.stream):
            self.fill()

    def fill(self):
        for to, tensor in zip(self.buffers[0], next(self.batches)):
            to.copy_(tensor, non_blocking=True)

    def __next__(self):
        if DEVICE == "cuda":
            torch.cuda.current_stream().wait_stream(self.stream)
        self.buffers.reverse()
        self.copy_next()
        return self.buffers[1]


def window_seconds(step, args):
    """Seconds of each window of steps; the device is waited for between two windows alone."""
    for _ in range(args.warm_up):
        step()
    seconds = []
    for _ in range(args.windows):
        synchronize()
        begin = time.perf_counter()
        for _ in range(args.steps):
            step()
        synchronize()
        seconds.append(time.perf_counter() - begin)
    return seconds


def latencies(step, args):
    """Milliseconds of each step; the device is waited for after each."""
    for _ in range(args.warm_up):
        step()
    milliseconds = []
    for _ in range(args.windows * args.steps):
        synchronize()
        begin = time.perf_counter()
        step()
        synchronize()
        milliseconds.append(1000 * (time.perf_counter() - begin))
    return milliseconds


def speed(seconds, args):
    """What is reported of windows."""
    step = statistics.median(seconds) / args.steps
    return {"samples_per_second": args.batch / step, "step_ms": 1000 * step}


def run_variants(args, known, run):
    """One JSON line a variant: what `run(variant)` returns, with peak memory; or its error."""
    unknown = [variant for variant in args.variants if variant not in known]
    if unknown:
        raise SystemExit(f"unknown variants {unknown}; expected some of {known}")
    where = {"device": torch.cuda.get_device_name() if DEVICE == "cuda" else "cpu", "torch": torch.__version__}
    for variant in args.variants:
        if DEVICE == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        torch.manual_seed(0)
        try:
            result = run(variant)
            if DEVICE == "cuda":
                result.setdefault("peak_device_bytes", torch.cuda.max_memory_allocated())
        except Exception as error:  # the next variant may work
            result = {"error": f"{type(error).__name__}: {error}"[:400]}
        print(json.dumps({"variant": variant, **result, **where}), flush=True)


def question_lengths(count, longest, generator):
    """Word pieces with [CLS] and [SEP], as VQA v2's questions have them: 9.2 on average."""
    drawn = (9.2 + 2.4 * torch.randn(count, generator=generator)).round()
    return drawn.clamp(5, min(23, longest)).long()


def answer_scores(count, answers, generator):
    """Three answers a question that are right to different degrees."""
    scores = torch.zeros(count, answers)
    chosen = torch.stack([torch.randperm(answers, generator=generator)[:3] for _ in range(count)])
    return scores.scatter_(1, chosen, torch.tensor([1.0, 0.6, 0.3]).repeat(count, 1))


def binary_loss(scores, targets):
    """MMF's logit_bce: summed over the answers, the mean of the samples."""
    loss = torch.nn.functional.binary_cross_entropy_with_logits(scores.float(), targets)
    return loss * targets.size(1)


def lightning():
    try:
        import lightning.pytorch as module
    except ImportError:
        import pytorch_lightning as module
    return module


def lightning_seconds(model, batches, optimizer, args, precision="32-true", progress_bar=False):
    """Seconds of each window of a Lightning training. model(batch) is the loss; batches go round."""
    pl = lightning()

    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.model = model

        def training_step(self, batch, _):
            return self.model(batch)

        def configure_optimizers(self):
            return optimizer(self.parameters())

    class Source(torch.utils.data.IterableDataset):
        def __iter__(self):
            for i in range(args.warm_up + args.windows * args.steps):
                yield batches[i % len(batches)]

    class Clock(pl.Callback):
        def __init__(self):
            self.moments = []

        def on_train_batch_end(self, trainer, module, outputs, batch, index):
            since = index + 1 - args.warm_up
            if since >= 0 and since % args.steps == 0:
                synchronize()
                self.moments.append(time.perf_counter())

        def on_train_start(self, trainer, module):
            if args.warm_up == 0:
                synchronize()
                self.moments.append(time.perf_counter())

    clock = Clock()
    trainer = pl.Trainer(
        accelerator="gpu" if DEVICE == "cuda" else "cpu",
        devices=1,
        precision=precision,
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=progress_bar,
        callbacks=[clock],
    )
    trainer.fit(Module(), torch.utils.data.DataLoader(Source(), batch_size=None))
    return [after - before for before, after in zip(clock.moments, clock.moments[1:])]
