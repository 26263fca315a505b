# SPDX-License-Identifier: BSD-3-Clause
"""What Hugging Face's VisualBertForQuestionAnswering makes of a small model with weights that follow
a rule, on questions and images of different lengths; for tests/plugins/visual_bert_golden_test.cpp.

    pip install -r tools/reference/requirements.txt
    python tools/reference/visual_bert.py > tests/golden/visual_bert.json

Written with torch 2.11.0 (CPU) and transformers 5.24.0; nothing is drawn.
"""

import json

import torch
import transformers

CONFIG = dict(
    vocab_size=60, hidden_size=32, num_hidden_layers=4, num_attention_heads=4,
    intermediate_size=64, max_position_embeddings=24, visual_embedding_dim=12,
    hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, num_labels=7,
    layer_norm_eps=1e-12, pad_token_id=0, attn_implementation="eager")
# Hugging Face's names to those here, as the plugin's state_names.cpp has them the other way.
NAMES = {
    "visual_bert.": "model.bert.",
    "cls.": "model.classifier.",
    "visual_token_type_embeddings": "token_type_embeddings_visual",
    "visual_position_embeddings": "position_embeddings_visual",
    "visual_projection": "projection",
}


def own_name(name):
    for theirs, ours in NAMES.items():
        name = name.replace(theirs, ours)
    return name


def noise(count, k):
    """Numbers in [-0.2, 0.2) that look random, from their place alone (float64)."""
    i = torch.arange(count, dtype=torch.float64)
    u = torch.sin(12.9898 * i + 78.233 * (k + 1)) * 43758.5453
    return (u - u.floor() - 0.5) * 0.4


def make_model():
    model = transformers.VisualBertForQuestionAnswering(transformers.VisualBertConfig(**CONFIG))
    with torch.no_grad():
        parameters = sorted((own_name(n), p) for n, p in model.named_parameters())
        for k, (name, parameter) in enumerate(parameters):
            start = 1.0 if name.endswith("LayerNorm.weight") else 0.0
            parameter.copy_((start + noise(parameter.numel(), k)).view_as(parameter))
    return model.eval()


def make_batch():
    """Three questions of 7, 5 and 4 words; images of 4, 2 and 3 regions."""
    words, regions = torch.tensor([7, 5, 4]), torch.tensor([4, 2, 3])
    mask = (torch.arange(7) < words[:, None]).long()
    ids = (torch.arange(21).view(3, 7) * 17 % 59 + 1) * mask
    types = (torch.arange(7) > 3).long() * mask
    features = noise(3 * 4 * 12, 500).view(3, 4, 12).float() * 5
    return {
        "input_ids": ids, "attention_mask": mask, "token_type_ids": types,
        "visual_embeds": features,
        "visual_attention_mask": (torch.arange(4) < regions[:, None]).float(),
        "visual_token_type_ids": torch.zeros(3, 4, dtype=torch.long),  # MMF's; theirs is 1
    }


def loss_of(model, batch, targets):
    return torch.nn.functional.binary_cross_entropy_with_logits(model(**batch).logits, targets) * 7


def projections(tensor, k):
    """Two sums that a wrong tensor does not share: of all, and of all with the rule's weights."""
    flat = tensor.detach().double().flatten()
    return [flat.sum().item(), (flat * noise(flat.numel(), 1000 + k)).sum().item()]


def by_own_name(model, pick):
    items = sorted((own_name(n), p) for n, p in model.named_parameters())
    return {name: projections(pick(p), k) for k, (name, p) in enumerate(items)
            if pick(p) is not None}


def main():
    model, batch = make_model(), make_batch()
    targets = (noise(21, 600).view(3, 7) > 0.05).float()
    base = model.visual_bert(**batch)
    golden = {
        "hidden": base.last_hidden_state.flatten().tolist(),
        "pooled": base.pooler_output.flatten().tolist(),
        "scores": model(**batch).logits.flatten().tolist(),
    }
    loss = loss_of(model, batch, targets)
    loss.backward()
    golden["loss"] = loss.item()
    golden["gradients"] = by_own_name(model, lambda p: p.grad)
    decayed = [p for n, p in model.named_parameters() if "LayerNorm" not in n and "bias" not in n]
    other = [p for n, p in model.named_parameters() if "LayerNorm" in n or "bias" in n]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.01}, {"params": other, "weight_decay": 0.0}],
        lr=1e-3)
    golden["losses"] = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = loss_of(model, batch, targets)
        loss.backward()
        optimizer.step()
        golden["losses"].append(loss.item())
    golden["trained"] = by_own_name(model, lambda p: p)
    print(json.dumps(golden, indent=1))


if __name__ == "__main__":
    main()
