# SPDX-License-Identifier: BSD-3-Clause
"""Hugging Face's VisualBERT with MMF's head for VQA v2, and batches in the shapes of its recipe."""

import common
import torch
from torch import nn


def add_sizes(parser):
    parser.add_argument("--text-length", type=int, default=128)
    parser.add_argument("--regions", type=int, default=100)
    parser.add_argument("--width", type=int, default=768, help="of BERT, with heads of 64")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--vocabulary", type=int, default=30522)
    parser.add_argument("--answers", type=int, default=3129)
    return parser


def make_batch(args, generator):
    """ids, mask, features, targets on the device; most of the text is padding, as in the recipe."""
    lengths = common.question_lengths(args.batch, args.text_length, generator)
    mask = (torch.arange(args.text_length) < lengths[:, None]).long()
    ids = torch.randint(1, args.vocabulary, mask.shape, generator=generator) * mask
    features = torch.randn(args.batch, args.regions, 2048, generator=generator)
    targets = common.answer_scores(args.batch, args.answers, generator)
    return [tensor.to(common.DEVICE) for tensor in (ids, mask, features, targets)]


def make_head(width, answers):
    return nn.Sequential(
        nn.Dropout(0.1), nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width, eps=1e-12), nn.Linear(width, answers)
    )


class VisualBert(nn.Module):
    def __init__(self, args):
        super().__init__()
        from transformers import VisualBertConfig, VisualBertModel

        self.bert = VisualBertModel(
            VisualBertConfig(
                vocab_size=args.vocabulary,
                hidden_size=args.width,
                num_hidden_layers=args.layers,
                num_attention_heads=max(1, args.width // 64),
                intermediate_size=4 * args.width,
                visual_embedding_dim=2048,
            )
        )
        self.head = make_head(args.width, args.answers)

    def forward(self, ids, mask, features):
        seen = torch.ones(features.shape[:2], dtype=torch.long, device=ids.device)
        out = self.bert(
            input_ids=ids,
            attention_mask=mask,
            token_type_ids=torch.zeros_like(ids),
            visual_embeds=features,
            visual_attention_mask=seen,
            visual_token_type_ids=torch.zeros_like(seen),
        ).last_hidden_state
        last_word = mask.sum(1) - 2  # MMF's pooler for VQA: the token before [SEP]
        return self.head(out[torch.arange(len(ids), device=ids.device), last_word])


class Training(nn.Module):
    """The loss of a batch."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, batch):
        ids, mask, features, targets = batch
        return common.binary_loss(self.model(ids, mask, features), targets)
