# SPDX-License-Identifier: BSD-3-Clause
"""The same VisualBERT by hand in PyTorch, on the tokens that are no padding, with flash attention over
sequences of different lengths: what a Python user can reach who writes the model anew. On a GPU alone."""

import common
import torch
from torch import nn
from visual_bert_model import make_head

EPSILON = 1e-12
DROPOUT = 0.1


class Layer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.heads = width // 64
        self.attention_in = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.attention_norm = nn.LayerNorm(width, eps=EPSILON)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x, offsets, longest):
        query, key, value = self.attention_in(x).view(len(x), 3, self.heads, 64).unbind(1)
        rate = DROPOUT if self.training else 0.0
        mixed = torch.ops.aten._flash_attention_forward(
            query, key, value, offsets, offsets, longest, longest, rate, False, False
        )[0]
        x = self.attention_norm(x + self.dropout(self.attention_out(mixed.flatten(1))))
        return self.norm(x + self.dropout(self.down(nn.functional.gelu(self.up(x)))))


class PackedVisualBert(nn.Module):
    def __init__(self, args):
        super().__init__()
        width = args.width
        self.words = nn.Embedding(args.vocabulary, width)
        self.places = nn.Embedding(512, width)
        self.types = nn.Embedding(2, width)
        self.image_types = nn.Embedding(2, width)
        self.image_places = nn.Embedding(512, width)
        self.projection = nn.Linear(2048, width)
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        self.dropout = nn.Dropout(DROPOUT)
        self.layers = nn.ModuleList(Layer(width) for _ in range(args.layers))
        self.head = make_head(width, args.answers)

    def forward(self, ids, places, features, order, offsets, longest, last_words):
        text = self.words(ids) + self.places(places) + self.types.weight[0]
        image = self.projection(features) + (self.image_types.weight[0] + self.image_places.weight[0])
        x = torch.cat([text, image.flatten(0, 1).to(text.dtype)])
        x = self.dropout(self.norm(x))[order].to(torch.bfloat16)
        for layer in self.layers:
            x = layer(x, offsets, longest)
        return self.head(x[last_words])


def pack(batch):
    """The inputs of PackedVisualBert, and the targets: all that a step would otherwise wait for."""
    ids, mask, features, targets = (tensor.cpu() for tensor in batch)
    lengths = mask.sum(1)
    regions = features.shape[1]
    words = int(lengths.sum())
    text_begin = torch.cumsum(lengths, 0) - lengths
    order = torch.cat(
        [
            torch.cat([torch.arange(n) + begin, torch.arange(regions) + words + i * regions])
            for i, (n, begin) in enumerate(zip(lengths.tolist(), text_begin.tolist()))
        ]
    )
    offsets = torch.cat([torch.zeros(1, dtype=torch.long), torch.cumsum(lengths + regions, 0)])
    there = mask.bool()
    inputs = [ids[there], (mask.cumsum(1) - 1)[there], features, order, offsets.int()]
    longest = int(lengths.max()) + regions
    last_words = offsets[:-1] + lengths - 2
    inputs = [tensor.to(common.DEVICE) for tensor in inputs]
    return [*inputs, longest, last_words.to(common.DEVICE)], targets.to(common.DEVICE)
