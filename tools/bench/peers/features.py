#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Region features from .npy files to the device in pinned batches, by torch's DataLoader with as many
workers as the variant says; the page cache is warm. The files are those of tools/bench/make_vqa_files."""

import pathlib
import time

import common
import numpy
import torch

VARIANTS = ["workers-4", "workers-8", "workers-16"]


class Features(torch.utils.data.Dataset):
    def __init__(self, folder):
        self.files = sorted(folder.glob("*.npy"))
        if not self.files:
            raise SystemExit(f"{folder} has no .npy files; write them with tools/bench/make_vqa_files")

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        features = torch.from_numpy(numpy.load(self.files[index]))
        return {"image_feature_0": features, "input_ids": torch.zeros(128, dtype=torch.long)}


def read_all(loader):
    samples = 0
    for batch in loader:
        samples += len(batch["input_ids"])
        batch["image_feature_0"].to(common.DEVICE, non_blocking=True)
    common.synchronize()
    return samples


def load(args, workers):
    loader = torch.utils.data.DataLoader(
        Features(args.folder / "features"),
        batch_size=args.batch,
        shuffle=True,
        num_workers=workers,
        pin_memory=common.DEVICE == "cuda",
        persistent_workers=workers > 0,
    )
    read_all(loader)  # starts the workers, warms the page cache
    begin = time.perf_counter()
    samples = sum(read_all(loader) for _ in range(args.windows))
    seconds = time.perf_counter() - begin
    return {"samples_per_second": samples / seconds, "step_ms": 1000 * seconds * args.batch / samples}


def main():
    parser = common.parser(__doc__, VARIANTS, batch=128)
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("vqa_files"))
    args = parser.parse_args()
    common.run_variants(args, VARIANTS, lambda variant: load(args, int(variant.removeprefix("workers-"))))


if __name__ == "__main__":
    main()
