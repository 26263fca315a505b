# SPDX-License-Identifier: BSD-3-Clause
"""A small model of images and questions as a TorchScript archive, and what Python makes of it: the
keys of its state dict, its scores and gradients in evaluation, and what one batch of training leaves
in its batch norm.

Made with torch 2.11.0 (CPU), see requirements.txt; seed 5.

    python tools/reference/torchscript_fixture.py tests/golden

writes torchscript_vqa.pt and torchscript_vqa.json there.
"""

import io
import json
import pathlib
import sys
import zipfile
from typing import Dict

import torch
from torch import nn

WORDS, ANSWERS = 16, 6


class Vqa(nn.Module):
    """Mean word vector times pooled convolutions; `attention` goes out beside the scores."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(WORDS, 8)
        self.image = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU())
        self.drop = nn.Dropout(0.5)
        self.answer = nn.Linear(16, ANSWERS)

    def forward(self, image, text) -> Dict[str, torch.Tensor]:
        grid = self.image(image)
        words = self.words(text).mean(1)
        attention = torch.einsum("bchw,bc->bhw", grid, words).flatten(1).softmax(1)
        seen = torch.einsum("bcn,bn->bc", grid.flatten(2), attention)
        joint = torch.cat([seen, words * grid.mean([2, 3])], 1)
        return {"scores": self.answer(self.drop(joint)), "attention": attention}


def ramp(shape, a, b):
    """Element i is cos(a i + b), as in tests/plugins/model_testing.h."""
    count = torch.Size(shape).numel()
    return (torch.arange(count, dtype=torch.double) * a + b).cos().float().view(shape)


def save(model, path):
    """Without the debug files of the archive, which name files of the machine that it was made on."""
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(model), buffer)
    with zipfile.ZipFile(buffer) as whole, zipfile.ZipFile(path, "w") as small:
        for name in whole.namelist():
            if not name.endswith(".debug_pkl"):
                small.writestr(zipfile.ZipInfo(name), whole.read(name))


def main():
    folder = pathlib.Path(sys.argv[1])
    torch.manual_seed(5)
    model = Vqa()
    save(model, folder / "torchscript_vqa.pt")

    image = ramp([2, 3, 8, 8], 0.7, 0.1)
    text = torch.tensor([[1, 2, 3], [4, 15, 0]])
    keys = list(model.state_dict())
    model.eval()
    scores = model(image, text)["scores"]
    nn.functional.cross_entropy(scores, torch.tensor([1, 4])).backward()
    model.train()
    model(image, text)
    result = {
        "keys": keys,
        "scores": scores.flatten().tolist(),
        "gradients": {name: p.grad.double().norm().item() for name, p in model.named_parameters()},
        "running_mean": model.image[1].running_mean.tolist(),
    }
    (folder / "torchscript_vqa.json").write_text(json.dumps(result, indent=1) + "\n")


main()
