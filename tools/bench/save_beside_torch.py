# SPDX-License-Identifier: BSD-3-Clause
"""Saves of Pergola beside torch.save, of the same tensors to the same disk, by turns:

  python tools/bench/save_beside_torch.py build/<preset>/tools/bench/save_bench FOLDER [ROUNDS]

Needs torch. Each side replaces what it saved before. torch.save leaves the bytes with the system;
Pergola's save ends when they are on the disk, so an fsync after torch.save is measured as well.
Prints the medians, in seconds, and their spread.
"""

import os
import statistics
import subprocess
import sys
import time

import torch

WIDTH = 768
# As in save_bench.cpp.
SHAPES = [(30522, WIDTH), (512, WIDTH), (2, WIDTH), (512, WIDTH), (2, WIDTH), (WIDTH,), (WIDTH,),
          (WIDTH, 2048), (WIDTH,)]
for _ in range(12):
    SHAPES += [(WIDTH, WIDTH), (WIDTH,)] * 4
    SHAPES += [(WIDTH,), (WIDTH,), (4 * WIDTH, WIDTH), (4 * WIDTH,), (WIDTH, 4 * WIDTH), (WIDTH,),
               (WIDTH,), (WIDTH,)]
SHAPES += [(WIDTH, WIDTH), (WIDTH,), (WIDTH, WIDTH), (WIDTH,), (3129, WIDTH), (3129,)]


def tensors():
    """As Pergola saves them: the model's, and two moments for each."""
    made = {"model": {}, "optimizer": {}}
    for i, shape in enumerate(SHAPES):
        made["model"][f"weight_{i}"] = torch.rand(shape)
        for moment in ("exp_avg", "exp_avg_sq"):
            made["optimizer"][f"weight_{i}/{moment}"] = torch.rand(shape)
    return made


def torch_save(made, path):
    """Seconds of torch.save, and of an fsync after it."""
    begin = time.perf_counter()
    torch.save(made, path)
    saved = time.perf_counter()
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    return saved - begin, time.perf_counter() - saved


def pergola_save(bench):
    bench.stdin.write("\n")
    bench.stdin.flush()
    return float(bench.stdout.readline())


def show(what, seconds):
    print(f"{what:24}{statistics.median(seconds):8.3f}   {min(seconds):.3f} to {max(seconds):.3f}")


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    folder = sys.argv[2]
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 9
    path = os.path.join(folder, "torch_save.pt")
    made = tensors()
    plain, synced, ours = [], [], []
    with subprocess.Popen([sys.argv[1], folder, "-"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as bench:
        bench.stdout.readline()
        for round_number in range(rounds + 1):
            seconds, sync = torch_save(made, path)
            mine = pergola_save(bench)
            if round_number == 0:  # what each side replaces afterwards
                continue
            plain.append(seconds)
            synced.append(seconds + sync)
            ours.append(mine)
        bench.stdin.close()
    show("torch.save", plain)
    show("torch.save and fsync", synced)
    show("Pergola", ours)
    os.remove(path)


main()
