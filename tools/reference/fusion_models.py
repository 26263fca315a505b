# SPDX-License-Identifier: BSD-3-Clause
"""Scores of concat_bert, concat_bow and late_fusion by MMF's rules, on Hugging Face's BertModel, with
weights that follow a rule; for tests/plugins/fusions_test.cpp.

    pip install -r tools/reference/requirements.txt
    python tools/reference/fusion_models.py > tests/golden/fusion_models.json

Written with torch 2.11.0 (CPU) and transformers 5.24.0; nothing is drawn.
"""

import json

import torch
import transformers
from torch import nn

from mmbt import CONFIG, noise

REGIONS, REGION, ANSWERS, HIDDEN, WORD = 3, 6, 3, 8, 5
BERT = CONFIG["hidden_size"]


def mlp(width):
    """One hidden layer; the names of its parts are MMF's numbers."""
    return nn.ModuleDict({"layers": nn.Sequential(
        nn.Linear(width, HIDDEN), nn.BatchNorm1d(HIDDEN), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(HIDDEN, ANSWERS))})


def fill(parts):
    """The rule: sorted by name, k = place; norms' weights are about 1. → the parts, in evaluation."""
    named = {f"{prefix}.{name}": parameter for prefix, module in parts.items()
             for name, parameter in module.named_parameters()}
    with torch.no_grad():
        for k, (name, parameter) in enumerate(sorted(named.items())):
            norm = parameter.dim() == 1 and name.endswith("weight")
            parameter.copy_(((1.0 if norm else 0.0) + noise(parameter.numel(), k)).view_as(parameter))
    return {prefix: module.eval() for prefix, module in parts.items()}


def bert():
    return transformers.BertModel(transformers.BertConfig(**CONFIG))


def main():
    mask = (torch.arange(5) < torch.tensor([[5], [3]])).long()
    ids = (torch.arange(10).view(2, 5) * 7 % 39 + 1) * mask
    segments = (torch.arange(5) > 2).long().expand(2, 5)
    words = dict(input_ids=ids, attention_mask=mask, token_type_ids=segments)
    regions = noise(2 * REGIONS * REGION, 500).view(2, REGIONS, REGION).float() * 5
    regions[1, 2] = 0  # the second image has two regions
    image = regions.flatten(1)
    scores = {}

    parts = fill({"base.text": bert(), "classifier": mlp(BERT + image.size(1))})
    text = parts["base.text"](**words).pooler_output
    scores["concat_bert"] = parts["classifier"]["layers"](torch.cat([text, image], 1))

    parts = fill({"base.text": bert(), "modal_classifier": mlp(image.size(1)),
                  "text_classifier": mlp(BERT)})
    text = parts["base.text"](**words).pooler_output
    scores["late_fusion"] = (parts["text_classifier"]["layers"](text)
                             + parts["modal_classifier"]["layers"](image)) / 2

    parts = fill({"base.text.module.module.module": nn.Embedding(CONFIG["vocab_size"], WORD),
                  "classifier": mlp(WORD + image.size(1))})
    vectors = parts["base.text.module.module.module"](ids)
    each = [vectors[i, :count] for i, count in enumerate(mask.sum(1))]
    for name, text in {"concat_bow": torch.stack([v.sum(0) for v in each]),
                       "concat_bow_mul": torch.stack([v.prod(0) for v in each])}.items():
        scores[name] = parts["classifier"]["layers"](torch.cat([text, image], 1))
    print(json.dumps({name: rows.tolist() for name, rows in scores.items()}, indent=1))


if __name__ == "__main__":
    main()
