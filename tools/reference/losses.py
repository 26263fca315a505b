# SPDX-License-Identifier: BSD-3-Clause
"""Values of every loss, made without Pergola: by torch's operators where there is one, else by the
formula in MMF's mmf/modules/losses.py, written out row by row. In double precision, of inputs that
are exact in single precision. Where Pergola differs from MMF on purpose (ms_loss), so does this.

Made with torch 2.11.0 (CPU), see requirements.txt; each case has its own seed.

    python tools/reference/losses.py > tests/golden/losses.json
"""

import json
import sys
import warnings

import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pack_padded_sequence

# kl_div warns of its own mean, which is what `wrong` is made of.
warnings.filterwarnings("ignore", message="reduction: 'mean' divides")

cases = []


def rand(*shape, scale=1):
    return (torch.rand(*shape) * scale).double()


def randn(*shape, scale=1):
    return (torch.randn(*shape) * scale).double()


def tensor_json(tensor):
    kind = "float" if tensor.is_floating_point() else "int"
    return {"type": kind, "shape": list(tensor.shape), "data": tensor.flatten().tolist()}


# Where a loss finds a tensor that is not the batch's.
OUTPUT_FIELDS = ("attentions", "embedding_1", "embedding_2", "fused_embedding", "temperature")


def case(loss, values, params=None, scores=None, texts=None, **tensors):
    """One case: what a loss is given, and the value it has (or {child: value})."""
    values = values if isinstance(values, dict) else {"": values}
    flat = {key: torch.as_tensor(value).double().flatten() for key, value in values.items()}
    groups = {"output": {}, "info": {}, "batch": {}}
    for name, tensor in {"scores": scores, "texts": texts, **tensors}.items():
        if tensor is None:
            continue
        assert torch.equal(tensor.float().double(), tensor.double()), (loss, name)
        if name == "texts":  # in_batch_hinge's name for them
            groups["output"]["targets"] = tensor_json(tensor)
        elif name == "attention_supervision":
            groups["info"][name] = tensor_json(tensor)
        elif name in ("scores", *OUTPUT_FIELDS):
            groups["output"][name] = tensor_json(tensor)
        else:
            groups["batch"][name] = tensor_json(tensor)
    assert all(value.isfinite().all() for value in flat.values()), loss
    values = {key: value.tolist() for key, value in flat.items()}
    cases.append({"loss": loss, "params": params or {}, "values": values, **groups})


# Binary cross entropies.


def logit_bce(s, t):
    return F.binary_cross_entropy_with_logits(s, t) * t.size(1)


def binary():
    torch.manual_seed(1)
    for shape in ((4, 6), (1, 9), (3, 5, 2)):
        s, t, p = randn(*shape, scale=3), rand(*shape), rand(*shape)
        p.view(-1)[0], p.view(-1)[1] = 0, 1  # where torch bounds the logarithms
        case("logit_bce", logit_bce(s, t), scores=s, targets=t)
        case("bce", F.binary_cross_entropy(p, t) * t.size(1), scores=p, targets=t)
    for b, c in ((4, 6), (1, 3), (3, 3)):
        s, t = randn(b, 3, c), rand(b, c)
        value = sum(logit_bce(s[:, i], t) for i in range(3))
        case("triple_logit_bce", value, scores=s, targets=t)
        case("triple_logit_bce", logit_bce(s[:, 0], t), scores=s[:, 0], targets=t)
    for shape in ((2, 7), (3, 4, 1), (1, 2)):
        p, a = rand(*shape), rand(*shape)
        a[0, 1] = 0
        value = F.binary_cross_entropy(p, a, weight=a) * a.size(1)
        case("attention_supervision", value, attentions=p, attention_supervision=a)
    for shape in ((3, 4, 5), (1, 1, 2)):
        s, t = randn(*shape), rand(*shape).round()
        for mask in (rand(*shape[:2]).round(), torch.zeros(shape[:2]), torch.ones(shape[:2])):
            each = F.binary_cross_entropy_with_logits(s, t, reduction="none") * mask[:, :, None]
            value = each.sum() / max(mask.sum().item(), 1)
            case("m4c_decoding_bce_with_mask", value, scores=s, targets=t, train_loss_mask=mask)


# Cross entropies.


def soft_label(s, t, ignore_index=-100, reduction="mean", normalize_targets=True):
    total, count = torch.zeros(()), 0
    for log_q, target in zip(F.log_softmax(s, -1), t):
        if target == ignore_index if t.dim() == 1 else target.sum() == 0:
            continue
        p = F.one_hot(target, s.size(1)).double() if t.dim() == 1 else target
        if normalize_targets:
            p = p / (torch.finfo(torch.float32).eps + p.sum())
        total, count = total - (p * log_q).sum(), count + 1
    return total / max(count, 1) if reduction == "mean" else total


def smoothed(s, t, label_smoothing=0.1, reduction="mean", ignore_index=-100):
    p = torch.full_like(s, label_smoothing / (s.size(1) - 1))
    for row, target in zip(p, t):
        if target == ignore_index:
            row.zero_()
        else:
            row[target] = 1 - label_smoothing
    total = -(p * F.log_softmax(s, -1)).sum()
    return total / max((t != ignore_index).sum().item(), 1) if reduction == "mean" else total


def caption(s, t, lengths=None):
    lengths = torch.full((s.size(0),), t.size(1)) if lengths is None else lengths - 1
    packed = [pack_padded_sequence(x, lengths, True, enforce_sorted=False).data for x in (s, t)]
    return F.cross_entropy(*packed)


def class_losses():
    torch.manual_seed(2)
    s, t, soft = randn(5, 4, scale=2), torch.tensor([1, 0, 3, 2, 2]), rand(5, 4)
    weight = [0.5, 1.0, 2.0, 0.25]
    for params in (
        {},
        {"ignore_index": 2},
        {"label_smoothing": 0.3},
        {"reduction": "sum"},
        {"reduction": "none"},
        {"weight": weight},
        {"weight": weight, "label_smoothing": 0.1, "ignore_index": 2},
        {"weight": weight, "reduction": "sum", "ignore_index": 0},
    ):
        torch_params = {**params, "weight": torch.tensor(weight).double()}
        torch_params = torch_params if "weight" in params else params
        case("cross_entropy", F.cross_entropy(s, t, **torch_params), params, scores=s, targets=t)
        if "ignore_index" not in params:
            value = F.cross_entropy(s, soft, **torch_params)
            case("cross_entropy", value, params, scores=s, targets=soft)
    s3, t3 = randn(2, 4, 3), torch.tensor([[1, 0, -100], [3, 2, 1]])
    case("cross_entropy", F.cross_entropy(s3, t3), scores=s3, targets=t3)
    value = F.cross_entropy(s3, t3, reduction="none").mean(1)
    case("cross_entropy", value, {"reduction": "none"}, scores=s3, targets=t3)

    for b, c in ((5, 4), (1, 7), (3, 2)):
        log_p, soft = F.log_softmax(randn(b, c), 1).float().double(), rand(b, c)
        case("nll_loss", F.nll_loss(log_p, soft.argmax(1)) * c, scores=log_p, targets=soft)

    key, soft = "soft_label_cross_entropy", rand(5, 4, scale=3)
    soft[2] = 0
    for params in ({}, {"reduction": "sum"}, {"normalize_targets": False}):
        case(key, soft_label(s, soft, **params), params, scores=s, targets=soft)
        case(key, soft_label(s, t, **params), params, scores=s, targets=t)
    case(key, soft_label(s, torch.zeros(5, 4)), scores=s, targets=torch.zeros(5, 4))
    for key, value in ((key, soft_label), ("label_smoothing_cross_entropy", smoothed)):
        params = {"ignore_index": 2}
        case(key, value(s, t, **params), params, scores=s, targets=t)
        case(key, value(s, t, **params), params, scores=s, targets=t[:, None])
        case(key, value(s[3:4], t[3:4], **params), params, scores=s[3:4], targets=t[3:4])
    ignored = torch.tensor([1, -100, 3, 0, 2])
    for params in ({}, {"label_smoothing": 0.0}, {"label_smoothing": 0.9}, {"reduction": "sum"}):
        case(key, smoothed(s, ignored, **params), params, scores=s, targets=ignored)
    params, s, t = {"label_smoothing": 0.6}, s[:, :2], t % 2
    case(key, smoothed(s, t, **params), params, scores=s, targets=t)


def captions():
    torch.manual_seed(3)
    key, s, t = "caption_cross_entropy", randn(3, 5, 6), torch.randint(0, 6, (3, 5))
    case(key, caption(s, t), scores=s, targets=t)
    case(key, caption(s[:1, :1], t[:1, :1]), scores=s[:1, :1], targets=t[:1, :1])
    for lengths in ([6, 4, 2], [3, 6, 2], [2, 2, 2]):
        lengths = torch.tensor(lengths)
        case(key, caption(s, t, lengths), scores=s, targets=t, caption_len=lengths)
    lengths, s = torch.tensor([4, 3, 2]), s[:, :3]  # a model that stops at the longest caption
    case(key, caption(s, t[:, :3], lengths), scores=s, targets=t, caption_len=lengths)


# Divergences.


def kl_rows(s, t):
    """KL and weight of each row."""
    w = t.sum(1)
    w = torch.where(w == 0, 1e-6, w)
    p = t / w[:, None]
    return F.kl_div(F.log_softmax(s, 1), p, reduction="none").sum(1), w


def divergences():
    torch.manual_seed(4)
    for b, c in ((4, 6), (1, 50), (8, 3)):
        s, t = randn(b, c, scale=2), rand(b, c)
        t[0, : c // 2] = 0
        if b > 1:
            t[1] = 0
        kl, w = kl_rows(s, t)
        mean = F.kl_div(F.log_softmax(s, 1), t / w[:, None], reduction="mean")
        case("weighted_softmax", (kl * w).sum() / b, scores=s, targets=t)
        case("softmax_kldiv", kl.sum() / b, scores=s, targets=t)
        case("wrong", mean * c, scores=s, targets=t)
        for weight in (0.5, 3.0):
            kl_value, bce = weight * kl.sum() / b, logit_bce(s, t)
            params = {"weight_softmax": weight}
            case("bce_kl_combined", kl_value + bce, params, scores=s, targets=t)
            case("bce_kl", {"kl": kl_value, "bce": bce}, params, scores=s, targets=t)


# Embeddings.


def hinge(images, texts, margin=0.0, hard=False):
    total, b = torch.zeros(()), images.size(0)
    for f in range(texts.size(0) // b):
        c = images @ texts.view(b, -1, texts.size(1))[:, f].t()
        rows, columns = torch.zeros_like(c), torch.zeros_like(c)
        for i in range(b):
            for j in range(b):
                if i != j:
                    rows[i, j] = max(margin + c[i, j] - c[i, i], 0)
                    columns[i, j] = max(margin + c[i, j] - c[j, j], 0)
        if hard:
            rows, columns = rows.max(1)[0], columns.max(0)[0]
        total = total + rows.sum() + columns.sum()
    return total


def embeddings():
    torch.manual_seed(5)
    for b, d, k in ((5, 8, 1), (3, 4, 2), (1, 4, 1)):
        s, t, texts = randn(b, d), randn(b, d), randn(b * k, d)
        case("mse", F.mse_loss(s, t), scores=s, targets=t)
        case("cos_emb_loss", F.cosine_embedding_loss(s, t, torch.ones(b)), scores=s, targets=t)
        for params in ({}, {"margin": 0.2}, {"margin": 0.2, "hard": True}):
            value = hinge(s, texts, **params)
            case("in_batch_hinge", value, params, scores=s, texts=texts, targets=t)
        for temperature in (torch.tensor(0.5), torch.tensor([2.0])):
            labels, logits = torch.arange(b), s @ t.t() / temperature
            value = (F.cross_entropy(logits, labels) + F.cross_entropy(logits.t(), labels)) / 2
            inputs = {"embedding_1": s, "embedding_2": t, "temperature": temperature}
            case("contrastive_loss", value, targets=labels, **inputs)
    s, t = randn(2, 3, 4), randn(2, 3, 4)
    case("mse", F.mse_loss(s, t), scores=s, targets=t)


# Similarities inside a batch.


def one_sided(x, base, p, sign):
    return torch.log(1 + torch.exp(sign * p * (x - base)).sum()) / p


def ms(embedding, t, alpha=50, beta=2, margin=0.5, hard_mining=True, is_multilabel=False):
    total, unit = torch.zeros(()).double(), F.normalize(embedding)
    for i, x in enumerate(unit @ unit.t()):
        same = (t @ t[i] > 0) if is_multilabel else t == t[i]
        positives, negatives = x[same & (x < 1 - 1e-5)], x[~same]
        if len(positives) and len(negatives) and hard_mining:
            least, most = positives.min(), negatives.max()
            negatives = negatives[negatives + 0.1 > least]
            positives = positives[positives - 0.1 < most]
        if len(positives) and len(negatives):
            total += one_sided(positives, margin, beta, -1) + one_sided(negatives, margin, alpha, 1)
    return total / len(embedding)


def refiner_ms(s, t, alpha=50, beta=2, base=0.5, margin=0.1, epsilon=1e-16):
    total = torch.zeros(()).double()
    for i, x in enumerate(s @ t.t()):
        others = x[((x - x[i]).abs() > epsilon) & (x + margin > x[i])]
        if len(others):
            total += one_sided(x[i], base, beta, -1) + one_sided(others, base, alpha, 1)
    return total / len(s)


def refiner_contrastive(s, t, sim_thresh=0.1, epsilon=1e-16):
    total = torch.zeros(()).double()
    for i, x in enumerate(F.normalize(s) @ F.normalize(t).t()):
        others = x[((x - x[i]).abs() > epsilon) & (x > x[i] - sim_thresh)]
        if len(others):
            total += (sim_thresh + others - x[i]).mean()
    return total / len(s)


def similarities():
    torch.manual_seed(6)
    for b, d in ((6, 4), (9, 3), (1, 5)):
        e, t = randn(b, d), torch.arange(b) % 3
        several = (rand(b, 4) + torch.eye(b, 4) - 0.2).clamp(0, 1).round()
        for params in ({}, {"hard_mining": False}, {"alpha": 10.0, "beta": 1.0, "margin": 0.2}):
            case("ms_loss", ms(e, t, **params), params, fused_embedding=e, targets=t)
            params = {**params, "is_multilabel": True}
            case("ms_loss", ms(e, several, **params), params, fused_embedding=e, targets=several)
        case("ms_loss", ms(e, torch.zeros(b)), fused_embedding=e, targets=torch.zeros(b))
        s, t = randn(b, d, scale=0.4), randn(b, d, scale=0.4)
        other = {"alpha": 5.0, "beta": 3.0, "base": 0.1, "margin": 0.5}
        for params in ({}, other, {"epsilon": 0.2}):
            case("refiner_ms", refiner_ms(s, t, **params), params, scores=s, targets=t)
        for params in ({}, {"sim_thresh": 0.5}, {"epsilon": 0.2}):
            value = refiner_contrastive(s, t, **params)
            case("refiner_contrastive_loss", value, params, scores=s, targets=t)


def multi():
    torch.manual_seed(7)
    s, t = randn(4, 6), rand(4, 6)
    mse, bce, kl = F.mse_loss(s, t), logit_bce(s, t), kl_rows(s, t)[0].sum() / 4
    weighted_bce = {"type": "logit_bce", "weight": 0.3}
    weighted_mse = {"type": "mse", "weight": 0.7, "params": {}}
    two_values = {"type": "bce_kl", "weight": 2.0, "params": {"weight_softmax": 0.5}}
    case("multi", mse, {"params": ["mse"]}, scores=s, targets=t)
    value = 0.3 * bce + 0.7 * mse
    case("multi", value, {"params": [weighted_bce, weighted_mse]}, scores=s, targets=t)
    case("multi", kl + mse, {"params": [two_values, "mse"]}, scores=s, targets=t)
    nested = {"type": "multi", "weight": 2.0, "params": ["mse", weighted_mse]}
    case("multi", 2 * 1.7 * mse, {"params": [nested]}, scores=s, targets=t)


for part in (binary, class_losses, captions, divergences, embeddings, similarities, multi):
    part()
print('{"torch": "%s", "cases": [' % torch.__version__.split("+")[0])
print(",\n".join(json.dumps(entry) for entry in cases))
print("]}")
print(len(cases), "cases", file=sys.stderr)
