# SPDX-License-Identifier: BSD-3-Clause
"""Scores of MMBT by MMF's rules, on Hugging Face's BertModel, with weights that follow a rule; for
tests/plugins/mmbt_test.cpp.

    pip install -r tools/reference/requirements.txt
    python tools/reference/mmbt.py > tests/golden/mmbt.json

Written with torch 2.11.0 (CPU) and transformers 5.24.0; nothing is drawn.
"""

import json

import torch
import transformers
from torch import nn

CONFIG = dict(
    vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
    intermediate_size=32, max_position_embeddings=16, hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0, pad_token_id=0, attn_implementation="eager")
REGION, ANSWERS = 6, 3


def noise(count, k):
    """Numbers in [-0.2, 0.2) that look random, from their place alone (float64)."""
    i = torch.arange(count, dtype=torch.float64)
    u = torch.sin(12.9898 * i + 78.233 * (k + 1)) * 43758.5453
    return (u - u.floor() - 0.5) * 0.4


class Mmbt(nn.Module):
    def __init__(self):
        super().__init__()
        self.bert = transformers.BertModel(transformers.BertConfig(**CONFIG))
        width = CONFIG["hidden_size"]
        self.proj = nn.Linear(REGION, width)
        self.dense, self.norm = nn.Linear(width, width), nn.LayerNorm(width, eps=1e-12)
        self.last = nn.Linear(width, ANSWERS)

    def own_names(self):
        """The plugin's names, each tensor once."""
        names = {f"model.bert.mmbt.transformer.{n}": p for n, p in self.bert.named_parameters()}
        for own, module in {"model.bert.mmbt.modal_encoder.proj_embeddings": self.proj,
                            "model.classifier.0.dense": self.dense,
                            "model.classifier.0.LayerNorm": self.norm,
                            "model.classifier.1": self.last}.items():
            names.update({f"{own}.{n}": p for n, p in module.named_parameters()})
        return dict(sorted(names.items()))

    def forward(self, ids, mask, segments, regions, modal_type):
        tables = self.bert.embeddings
        end = ids.gather(1, mask.sum(1, keepdim=True) - 1)
        start = ids[:, :1]
        ids = torch.cat([ids[:, 1:], ids[:, -1:]], 1)
        mask = torch.cat([mask[:, 1:], torch.zeros_like(mask[:, :1])], 1)
        image = torch.cat([tables.word_embeddings(start), self.proj(regions),
                           tables.word_embeddings(end)], 1)
        places = torch.arange(image.size(1))
        image = tables.LayerNorm(image + tables.position_embeddings(places)
                                 + tables.token_type_embeddings(torch.tensor(modal_type)))
        text = tables(input_ids=ids, token_type_ids=segments)
        mask = torch.cat([torch.ones(image.shape[:2], dtype=mask.dtype), mask], 1)
        added = (1.0 - mask[:, None, None, :].float()) * -1e9
        hidden = torch.cat([image, text], 1)
        for layer in self.bert.encoder.layer:
            hidden = layer(hidden, added)
            hidden = hidden[0] if isinstance(hidden, tuple) else hidden
        pooled = self.bert.pooler(hidden)
        return self.last(self.norm(nn.functional.gelu(self.dense(pooled))))


def main():
    model = Mmbt().eval()
    with torch.no_grad():
        for k, (name, parameter) in enumerate(model.own_names().items()):
            start = 1.0 if name.endswith("LayerNorm.weight") else 0.0
            parameter.copy_((start + noise(parameter.numel(), k)).view_as(parameter))
        mask = (torch.arange(5) < torch.tensor([[5], [3]])).long()
        ids = (torch.arange(10).view(2, 5) * 7 % 39 + 1) * mask
        regions = noise(2 * 3 * REGION, 500).view(2, 3, REGION).float() * 5
        pair = (torch.arange(5) > 2).long().expand(2, 5)
        print(json.dumps({
            # One segment, 0: the image has 1. Two segments: the image has 0.
            "one_segment": model(ids, mask, torch.zeros_like(ids), regions, 1).tolist(),
            "two_segments": model(ids, mask, pair, regions, 0).tolist()}, indent=1))


if __name__ == "__main__":
    main()
