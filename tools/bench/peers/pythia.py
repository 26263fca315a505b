#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Training steps of Pythia v0.1 at its size for VQA v2 in PyTorch: Adamax, gradients clipped, bf16 by default. The
model is that of plugins/pythia, parameter by parameter. Batches are on the device before the first step, with
features in what autocast makes of them; with *-host they are in page-locked host memory in float32, and a stream of
its own copies them, a step ahead. Nobody puts them together, as Pergola does."""

import common
import torch
from torch import nn

VARIANTS = ["eager", "compile", "eager-host", "compile-host"]
PARAMETERS = 147_620_244  # of 75,505 words, 3,129 answers
FEATURE = 2048


class NormedLinear(nn.Module):
    """Linear with weight normalisation over the whole matrix: weight = g * v / |v|."""

    def __init__(self, inputs, outputs):
        super().__init__()
        start = nn.Linear(inputs, outputs)
        self.bias = start.bias
        self.weight_g = nn.Parameter(start.weight.detach().norm())
        self.weight_v = start.weight

    def forward(self, x):
        return nn.functional.linear(x, self.weight_v * (self.weight_g / self.weight_v.norm()), self.bias)


class NormedRelu(NormedLinear):
    def forward(self, x):
        return super().forward(x).relu()


class TextAttention(nn.Module):
    """Two glimpses of what the LSTM says of the question's words."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(300, 1024, batch_first=True)
        self.conv1 = nn.Conv1d(1024, 512, 1)
        self.conv2 = nn.Conv1d(512, 2, 1)

    def forward(self, words):
        states = self.lstm(words)[0]
        weights = self.conv2(self.conv1(states.transpose(1, 2)).relu()).softmax(dim=2)
        return torch.bmm(weights, states).flatten(1)


class ImageAttention(nn.Module):
    """One glimpse of the regions, chosen by the question; regions that are padding get none of it."""

    def __init__(self, hidden):
        super().__init__()
        self.image = NormedRelu(FEATURE, hidden)
        self.text = NormedRelu(FEATURE, hidden)
        self.score = NormedLinear(hidden, 1)

    def forward(self, regions, count, question):
        scores = self.score(self.image(regions) * self.text(question).unsqueeze(1))
        weights = scores.softmax(dim=1)
        there = torch.arange(regions.size(1), device=regions.device) < count[:, None]
        weights = weights * there.unsqueeze(2)
        total = weights.sum(dim=1, keepdim=True)
        weights = weights / (total + (total == 0) + 1e-8)
        return torch.bmm(weights.transpose(1, 2), regions).flatten(1)


class Pythia(nn.Module):
    def __init__(self, args):
        super().__init__()
        hidden, answers = args.hidden, args.answers
        self.words = nn.Embedding(args.vocabulary, 300)
        self.text = TextAttention()
        self.encoder = nn.Linear(FEATURE, FEATURE)
        self.attention = nn.ModuleList([ImageAttention(hidden), ImageAttention(hidden)])
        self.joint_image = NormedRelu(2 * FEATURE, hidden)
        self.joint_text = NormedRelu(FEATURE, hidden)
        self.answer_text = nn.Sequential(NormedRelu(hidden, 300), nn.Linear(300, answers))
        self.answer_image = nn.Sequential(NormedRelu(hidden, hidden), nn.Linear(hidden, answers))

    def forward(self, text, regions, grid, count):
        question = self.text(self.words(text))
        seen = torch.cat(
            [
                self.attention[0](self.encoder(regions).relu(), count, question),
                self.attention[1](grid, count, question),
            ],
            dim=1,
        )
        joint = self.joint_image(seen) * self.joint_text(question)
        return self.answer_text(joint) + self.answer_image(joint)


def make_batch(args, features, generator):
    lengths = common.question_lengths(args.batch, args.text_length + 2, generator) - 2
    there = torch.arange(args.text_length) < lengths[:, None]
    text = torch.randint(1, args.vocabulary, there.shape, generator=generator) * there
    regions = torch.randn(args.batch, args.regions, FEATURE, generator=generator).to(features)
    grid = torch.randn(args.batch, args.regions, FEATURE, generator=generator).to(features)
    count = torch.full((args.batch,), args.regions)
    targets = common.answer_scores(args.batch, args.answers, generator)
    return text, regions, grid, count, targets


def make_batches(args, variant):
    generator = torch.Generator().manual_seed(1)
    on_host = variant.endswith("-host")
    kept_as = args.features or ("float32" if on_host or args.precision != "bf16" else "bfloat16")
    batches = [make_batch(args, getattr(torch, kept_as), generator) for _ in range(2)]
    return common.FromHost(batches) if on_host else common.on_device(batches)


def make_model(args):
    model = Pythia(args).to(common.DEVICE)
    if (args.hidden, args.vocabulary, args.answers) == (5000, 75505, 3129):
        count = sum(parameter.numel() for parameter in model.parameters())
        assert count == PARAMETERS, f"{count} parameters, expected {PARAMETERS}: another model than ours"
    return model


def train(args, variant):
    batches = make_batches(args, variant)
    model = make_model(args)
    called = torch.compile(model) if variant.startswith("compile") else model
    encoder = list(model.encoder.parameters())
    others = [parameter for name, parameter in model.named_parameters() if not name.startswith("encoder.")]
    optimizer = torch.optim.Adamax([{"params": others}, {"params": encoder, "lr": 0.001}], lr=0.01)

    def step():
        *inputs, targets = next(batches)
        optimizer.zero_grad(set_to_none=True)
        with common.autocast(args.precision):
            scores = called(*inputs)
        common.binary_loss(scores, targets).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        optimizer.step()

    return common.speed(common.window_seconds(step, args), args)


def main():
    parser = common.parser(__doc__, VARIANTS, batch=512, warm_up=10, steps=10)
    parser.add_argument("--precision", default="bf16", choices=["bf16", "fp32", "tf32"])
    parser.add_argument(
        "--features",
        choices=["float32", "bfloat16"],
        help="what features are kept as; default: on the device bfloat16 where --precision is bf16, float32 otherwise",
    )
    parser.add_argument("--text-length", type=int, default=14)
    parser.add_argument("--regions", type=int, default=100, help="of both features")
    parser.add_argument("--hidden", type=int, default=5000)
    parser.add_argument("--vocabulary", type=int, default=75505)
    parser.add_argument("--answers", type=int, default=3129)
    args = parser.parse_args()
    if args.features == "bfloat16" and args.precision != "bf16":
        parser.error(f"--features bfloat16 needs --precision bf16, not {args.precision}: nothing else converts them")
    torch.set_float32_matmul_precision("highest" if args.precision == "fp32" else "high")
    common.run_variants(args, VARIANTS, lambda variant: train(args, variant))


if __name__ == "__main__":
    main()
