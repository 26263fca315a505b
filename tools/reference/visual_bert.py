# SPDX-License-Identifier: BSD-3-Clause
"""What Hugging Face's VisualBERT makes of a small model with weights that follow a rule, on
questions and images of different lengths; for tests/plugins/visual_bert_golden_test.cpp (question
answering) and visual_bert_heads_test.cpp (`cases`: the other heads and options).

    pip install -r tools/reference/requirements.txt
    python tools/reference/visual_bert.py > tests/golden/visual_bert.json

Written with torch 2.11.0 (CPU) and transformers 5.24.0; nothing is drawn.
"""

import json

import torch
import transformers

CONFIG = dict(
    vocab_size=60, hidden_size=8, num_hidden_layers=4, num_attention_heads=4,
    intermediate_size=12, max_position_embeddings=24, visual_embedding_dim=12,
    hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, num_labels=7,
    layer_norm_eps=1e-12, pad_token_id=0, attn_implementation="eager")
# Hugging Face's names to those here, as in the plugin's plugin.toml; the first prefix that fits.
PREFIXES = {
    "visual_bert.": "model.bert.",
    "cls.predictions.": "model.cls.predictions.",
    "cls.seq_relationship.": "model.cls.seq_relationship.",
    "cls.": "model.classifier.",
}
PARTS = {
    "visual_token_type_embeddings": "token_type_embeddings_visual",
    "visual_position_embeddings": "position_embeddings_visual",
    "visual_projection": "projection",
}


# Words of each region, 3 images of 4: -1 for none.
ALIGNMENT = torch.tensor([[[0, -1], [1, 2], [-1, -1], [6, 3]],
                          [[1, -1], [2, 4], [-1, -1], [-1, -1]],
                          [[3, 3], [-1, -1], [0, 1], [-1, -1]]])


def own_name(name):
    prefix = next(p for p in PREFIXES if name.startswith(p))
    name = PREFIXES[prefix] + name.removeprefix(prefix)
    for theirs, ours in PARTS.items():
        name = name.replace(theirs, ours)
    return name


def noise(count, k):
    """Numbers in [-0.2, 0.2) that look random, from their place alone (float64)."""
    i = torch.arange(count, dtype=torch.float64)
    u = torch.sin(12.9898 * i + 78.233 * (k + 1)) * 43758.5453
    return (u - u.floor() - 0.5) * 0.4


class TwoImages(torch.nn.Module):
    """MMF's rule for nlvr2, on their model: what is pooled of both images stands side by side."""

    def __init__(self, config):
        super().__init__()
        self.visual_bert = transformers.VisualBertModel(config)
        self.cls = torch.nn.Linear(2 * config.hidden_size, config.num_labels)

    def forward(self, first, second):
        pooled = [self.visual_bert(**image).pooler_output for image in (first, second)]
        return self.cls(torch.cat(pooled, dim=1))


class Bypass(torch.nn.Module):
    """bypass_transformer of their layers: their own forward fails in transformers 5.24.0."""

    def __init__(self, config):
        super().__init__()
        config.bypass_transformer = True
        self.visual_bert = transformers.VisualBertModel(config)
        self.cls = torch.nn.Linear(config.hidden_size, config.num_labels)

    def forward(self, batch):
        bert, words = self.visual_bert, batch["input_ids"].size(1)
        mask = torch.cat([batch["attention_mask"], batch["visual_attention_mask"]], dim=1)
        mask = ((1 - mask) * torch.finfo(torch.float32).min)[:, None, None]
        embedded = bert.embeddings(**{name: batch[name] for name in (
            "input_ids", "token_type_ids", "visual_embeds", "visual_token_type_ids")})
        text = bert.encoder(embedded[:, :words], attention_mask=mask[..., :words])[0]
        hidden = bert.additional_layer(torch.cat([text, embedded[:, words:]], dim=1), mask)[0]
        return self.cls(bert.pooler(hidden))


def make_model(kind=transformers.VisualBertForQuestionAnswering):
    model = kind(transformers.VisualBertConfig(**CONFIG))
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


def numbers(tensor):
    return [float(f"{number:.7g}") for number in tensor.flatten().tolist()]


def targets_of_scores():
    return (noise(21, 600).view(3, 7) > 0.05).float()


def pretraining():
    """Every third word is masked, where there is one."""
    model, batch = make_model(transformers.VisualBertForPreTraining), make_batch()
    masked = (torch.arange(21).view(3, 7) % 3 == 1) & batch["attention_mask"].bool()
    labels = torch.full((3, 7 + 4), -100)
    labels[:, :7][masked] = batch["input_ids"][masked]
    output = model(**batch, labels=labels)
    words = output.prediction_logits[:, :7][batch["attention_mask"].bool()]
    return model, words, output.loss


def visual_reasoning():
    model, batch = make_model(transformers.VisualBertForVisualReasoning), make_batch()
    return model, model(**batch).logits, None


def alignment():
    model, batch = make_model(transformers.VisualBertForVisualReasoning), make_batch()
    return model, model(**batch, image_text_alignment=ALIGNMENT).logits, None


def nlvr2():
    """The second image is another one, with as many regions as the next sample's first."""
    model, first = make_model(TwoImages), make_batch()
    second = dict(first, visual_embeds=noise(3 * 4 * 12, 501).view(3, 4, 12).float() * 5,
                  visual_attention_mask=first["visual_attention_mask"].roll(1, 0),
                  image_text_alignment=ALIGNMENT.roll(1, 0))
    return model, model(dict(first, image_text_alignment=ALIGNMENT), second), None


def bypass():
    model, batch = make_model(Bypass), make_batch()
    return model, model(batch), None


def case(make):
    model, scores, loss = make()
    if loss is None:
        loss = torch.nn.functional.binary_cross_entropy_with_logits(scores, targets_of_scores()) * 7
    loss.backward()
    return {"scores": numbers(scores), "loss": loss.item(),
            "gradients": by_own_name(model, lambda p: p.grad)}


def by_own_name(model, pick):
    items = sorted((own_name(n), p) for n, p in model.named_parameters())
    return {name: numbers(pick(p)) for name, p in items if pick(p) is not None}


def to_json(value):
    """A line for each tensor."""
    if not isinstance(value, dict):
        return json.dumps(value)
    return "{" + ",\n".join(f'"{key}": {to_json(item)}' for key, item in value.items()) + "}"


def main():
    model, batch = make_model(), make_batch()
    targets = targets_of_scores()
    base = model.visual_bert(**batch, output_hidden_states=True)
    golden = {
        "hidden": {f"hidden_states_{i}": numbers(x) for i, x in enumerate(base.hidden_states)},
        "pooled": numbers(base.pooler_output),
        "scores": numbers(model(**batch).logits),
    }
    loss = loss_of(model, batch, targets)
    loss.backward()
    golden["loss"] = loss.item()
    golden["gradients"] = by_own_name(model, lambda p: p.grad)
    decayed = [p for n, p in model.named_parameters() if "LayerNorm" not in n and "bias" not in n]
    other = [p for n, p in model.named_parameters() if "LayerNorm" in n or "bias" in n]
    # 100 times MMF's 0.01, which ten steps would not show.
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 1.0}, {"params": other, "weight_decay": 0.0}],
        lr=1e-3)
    golden["losses"] = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = loss_of(model, batch, targets)
        loss.backward()
        optimizer.step()
        golden["losses"].append(loss.item())
    golden["trained"] = by_own_name(model, lambda p: p)
    golden["cases"] = {make.__name__: case(make) for make in (
        pretraining, visual_reasoning, alignment, nlvr2, bypass)}
    print(to_json(golden))


if __name__ == "__main__":
    main()
