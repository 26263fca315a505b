# SPDX-License-Identifier: BSD-3-Clause
"""The weights that Hugging Face's classes have, for the tests of `pergola checkpoint convert --to hf`:
names and shapes of small models, and what each class says of a folder that Pergola wrote.

    pip install -r tools/reference/requirements.txt
    python tools/reference/hugging_face.py golden > tests/golden/hugging_face.json
    python tools/reference/hugging_face.py check FOLDER
    python tools/reference/hugging_face.py scores FOLDER DATA PREDICTIONS

`check` loads FOLDER with from_pretrained and fails when a weight is missing, unexpected or of
another shape. `scores` also reads DATA (test.jsonl of the data set image_text with `text` and
`features`, the folder regions/ and vocab.txt) and fails when a probability differs by more than 1e-5
from the file of PREDICTIONS that `pergola predict` wrote for the test split, with cross_entropy.

Written with torch 2.11.0 (CPU) and transformers 5.24.0; nothing is drawn.
"""

import json
import os
import sys

import numpy
import torch
import transformers

# Of tests/integration/convert_test.cpp.
BERT = dict(
    vocab_size=12, hidden_size=8, num_hidden_layers=2, num_attention_heads=2,
    intermediate_size=12, max_position_embeddings=24, pad_token_id=0)
CLASSES = {
    "VisualBertForPreTraining": {"visual_embedding_dim": 3},
    "VisualBertForQuestionAnswering": {"visual_embedding_dim": 3, "num_labels": 3},
    "VisualBertForVisualReasoning": {"visual_embedding_dim": 3, "num_labels": 3},
    "VisualBertModel": {"visual_embedding_dim": 3},
    "BertForPreTraining": {},
    "BertModel": {},
}


def golden():
    known = {}
    for name, more in CLASSES.items():
        family = "VisualBert" if name.startswith("VisualBert") else "Bert"
        config = getattr(transformers, family + "Config")(**BERT, **more)
        state = getattr(transformers, name)(config).state_dict()
        known[name] = {key: list(tensor.shape) for key, tensor in sorted(state.items())}
    json.dump(known, sys.stdout, indent=1)
    print()


def load(folder):
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        name = json.load(file)["architectures"][0]
    model, info = getattr(transformers, name).from_pretrained(folder, output_loading_info=True)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        if info.get(kind):
            sys.exit(f"{folder}: {kind}: {info[kind]}")
    print(f"{folder}: {name}, {sum(p.numel() for p in model.parameters())} parameters, none missing")
    return model.eval()


def scores(folder, data, predictions):
    model = load(folder)
    tokenizer = transformers.BertTokenizer(os.path.join(data, "vocab.txt"))
    with open(predictions, encoding="utf-8") as file:
        expected = json.load(file)
    with open(os.path.join(data, "test.jsonl"), encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    worst = 0.0
    for row, answer in zip(rows, expected, strict=True):
        regions = numpy.load(os.path.join(data, "regions", row["features"]))[None]
        words = tokenizer(row["text"], return_tensors="pt")
        with torch.no_grad():
            logits = model(
                **words, visual_embeds=torch.from_numpy(regions).float(),
                visual_attention_mask=torch.ones(regions.shape[:2]),
                visual_token_type_ids=torch.zeros(regions.shape[:2], dtype=torch.long)).logits
        worst = max(worst, abs(logits.softmax(-1).max().item() - answer["probability"]))
    print(f"{len(rows)} rows: probabilities differ by {worst:.1e} at most")
    if not worst <= 1e-5:
        sys.exit("more than 1e-5")


if __name__ == "__main__":
    commands = {"golden": golden, "check": load, "scores": scores}
    if len(sys.argv) < 2 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    commands[sys.argv[1]](*sys.argv[2:])
