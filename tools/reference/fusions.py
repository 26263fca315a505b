# SPDX-License-Identifier: BSD-3-Clause
"""Results and gradients of MMF's ten fusions and six poolers, with weights that follow a rule; for
tests/unit/sdk/nn_fusions_test.cpp and nn_poolers_test.cpp.

    pip install -r tools/reference/requirements.txt
    python tools/reference/fusions.py > tests/golden/fusions.json

Formulas from the papers (BLOCK, MUTAN, MLB, MFB, MFH, MCB), with MMF's names, order of steps and
defaults, over plain tensors in float64: products of vectors are einsums, a convolution of count
sketches is summed term by term. Written with torch 2.11.0 (CPU); `sketches` alone are drawn, from
seed 5.
"""

import json

import torch
import torch.nn.functional as F

BATCH, OUT = 3, 4
ACTIVATIONS = {"none": lambda x: x, "relu": F.relu, "gelu": F.gelu, "tanh": torch.tanh,
               "gelu_new": lambda x: F.gelu(x, approximate="tanh")}
# (type, params, widths of the inputs, batch); what a dropout leaves in training is not tested here.
CASES = [
    ("block", dict(mm_dim=10, chunks=4, rank=3), (5, 6), BATCH),  # chunks of 3, 3, 3, 1
    ("block", dict(mm_dim=10, chunks=3, rank=2, pos_norm="after_cat", shared=True), (5, 5), BATCH),
    ("block", dict(mm_dim=7, chunks=5, rank=2, pos_norm="before_cat"), (3, 4), 1),  # 2, 2, 1, 1, 1
    ("block_tucker", dict(mm_dim=7, chunks=3), (5, 6), BATCH),  # 3, 3, 1
    ("block_tucker", dict(mm_dim=6, chunks=2, pos_norm="after_cat", shared=True), (5, 5), BATCH),
    ("mutan", dict(mm_dim=4, rank=3), (5, 6), BATCH),
    ("mutan", dict(mm_dim=5, rank=2, normalize=True, shared=True), (3, 3), BATCH),
    ("tucker", dict(mm_dim=4), (5, 6), BATCH),
    ("tucker", dict(mm_dim=3, normalize=True, shared=True), (5, 5), 1),
    ("mlb", dict(mm_dim=7), (5, 6), BATCH),
    ("mlb", dict(mm_dim=7, normalize=True, activ_input="tanh", activ_output="none"), (5, 6), BATCH),
    ("mlb", dict(mm_dim=7, normalize=True), (5, 6), BATCH),  # relu: products of 0 below the root
    ("mfb", dict(mm_dim=5), (5, 6), BATCH),
    ("mfb", dict(mm_dim=5, factor=3, normalize=True, activ_input="gelu", activ_output="tanh"),
     (5, 6), BATCH),
    ("mfh", dict(mm_dim=5), (5, 6), BATCH),
    ("mfh", dict(mm_dim=4, factor=3, normalize=True, activ_input="none", activ_output="gelu_new"),
     (5, 6), BATCH),
    ("mcb", dict(mm_dim=8), (5, 6), BATCH),
    ("mcb", dict(mm_dim=7, activ_output="none"), (5, 6), 1),
    ("linear_sum", dict(mm_dim=7), (5, 6), BATCH),
    ("linear_sum", dict(mm_dim=7, normalize=True, activ_input="none", activ_output="tanh"),
     (5, 6), BATCH),
    ("concat_mlp", dict(dimensions=[6, 5]), (5, 6), BATCH),
    ("concat_mlp", dict(dimensions=[], activation="relu"), (3, 2), BATCH),
    ("concat_mlp", dict(dimensions=[4], activation="gelu"), (3, 2), 1),
]


def noise(count, k):
    """Numbers in [-0.2, 0.2) that look random, from their place alone (float64)."""
    i = torch.arange(count, dtype=torch.float64)
    u = torch.sin(12.9898 * i + 78.233 * (k + 1)) * 43758.5453
    return (u - u.floor() - 0.5) * 0.4


def projections(tensor, k):
    flat = tensor.detach().flatten()
    return [flat.sum().item(), (flat * noise(flat.numel(), 1000 + k)).sum().item()]


def chunk_sizes(width, chunks):
    widest = -(-width // chunks)
    missing = widest * chunks - width
    if missing < widest:
        return [widest] * (chunks - 1) + [widest - missing]
    return [widest] * (chunks - missing) + [widest - 1] * missing


def linear_shapes(name, out, width):
    return {f"{name}.weight": [out, width], f"{name}.bias": [out]}


def shapes(kind, p, dims):
    """The state dict: names and shapes. A set of layers that is shared stands there twice."""
    mm, s = p.get("mm_dim"), {}
    if kind == "concat_mlp":
        widths = [sum(dims), *p["dimensions"], OUT]
        for i, (width, out) in enumerate(zip(widths[:-1], widths[1:])):
            s |= linear_shapes(f"mlp.linears.{i}", out, width)
        return s
    if kind == "mcb":
        s = {f"mcb.sketch{i + 1}": [dims[i], mm] for i in (0, 1)}
    elif kind == "mfh":
        for i in (0, 1):
            for layer in (0, 1):
                s |= linear_shapes(f"linear{i}_{layer}", mm * p.get("factor", 2), dims[i])
    else:
        for i in (0, 1):
            factor = p.get("factor", 2) if kind == "mfb" else 1
            s |= linear_shapes(f"linear{i}", mm * factor, dims[i])
            if kind == "mutan":
                s |= linear_shapes(f"merge_linear{i}", mm * p["rank"], mm)
            if kind == "block":
                for c, size in enumerate(chunk_sizes(mm, p["chunks"])):
                    s |= linear_shapes(f"merge_linears{i}.{c}", size * p["rank"], size)
    if kind == "tucker":
        s |= {"bilinear.weight": [mm, mm, mm], "bilinear.bias": [mm]}
    if kind == "block_tucker":
        for c, size in enumerate(chunk_sizes(mm, p["chunks"])):
            s |= {f"bilinears.{c}.weight": [size] * 3, f"bilinears.{c}.bias": [size]}
    return s | linear_shapes("linear_out", OUT, mm * (2 if kind == "mfh" else 1))


def make_weights(kind, p, dims):
    """The k-th parameter by name is noise(k); of two names of one tensor, the later is its rule."""
    weights, alike = {}, {}
    for k, (name, shape) in enumerate(sorted(shapes(kind, p, dims).items())):
        if "sketch" in name:
            continue  # not a parameter that is trained; sorted behind all that are
        count = torch.Size(shape).numel()
        weights[name] = (noise(count, k) * 3).view(shape)
        if p.get("shared"):
            alike[name] = name.replace("linear0", "linear1").replace("linears0", "linears1")
    for name, other in alike.items():
        weights[name] = weights[other]
    for tensor in weights.values():
        tensor.requires_grad_(True)
    return weights


def signed_root(z):
    root = torch.where(z == 0, torch.zeros_like(z), z.sign() * z.abs().clamp_min(1e-300).sqrt())
    return root / root.pow(2).sum(1, keepdim=True).add(1e-300).sqrt().clamp_min(1e-12)


class Fusion:
    def __init__(self, kind, p, dims):
        self.kind, self.p = kind, p
        self.weights = make_weights(kind, p, dims)

    def linear(self, name, x):
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def activation(self, key, x):
        default = "none" if self.kind in ("block", "block_tucker", "mutan", "tucker") else "relu"
        return ACTIVATIONS[self.p.get(key, default)](x)

    def project(self, name, x):
        return self.activation("activ_input", self.linear(name, x))

    def output(self, z):
        return self.activation("activ_output", self.linear("linear_out", z))

    def normalized(self, z):
        return signed_root(z) if self.p.get("normalize") else z

    def ranks(self, first, second, x0, x1):
        """sum over r of (W0_r x0 + b0_r) * (W1_r x1 + b1_r)"""
        parts = []
        for name, x in ((first, x0), (second, x1)):
            w = self.weights[f"{name}.weight"].unflatten(0, (self.p["rank"], -1))
            b = self.weights[f"{name}.bias"].unflatten(0, (self.p["rank"], -1))
            parts.append(torch.einsum("rmi,bi->brm", w, x) + b)
        return torch.einsum("brm,brm->bm", *parts)

    def bilinear(self, name, x0, x1):
        return torch.einsum("bi,oij,bj->bo", x0, self.weights[f"{name}.weight"],
                            x1) + self.weights[f"{name}.bias"]

    def chunked(self, x0, x1):
        x0, x1 = self.linear("linear0", x0), self.linear("linear1", x1)
        each = self.p.get("pos_norm", "before_cat") == "before_cat"
        parts, start = [], 0
        for c, size in enumerate(chunk_sizes(self.p["mm_dim"], self.p["chunks"])):
            c0, c1 = x0[:, start:start + size], x1[:, start:start + size]
            start += size
            z = (self.ranks(f"merge_linears0.{c}", f"merge_linears1.{c}", c0, c1)
                 if self.kind == "block" else self.bilinear(f"bilinears.{c}", c0, c1))
            parts.append(signed_root(z) if each else z)
        z = torch.cat(parts, 1)
        return self.output(z if each else signed_root(z))

    block = block_tucker = chunked

    def mutan(self, x0, x1):
        x0, x1 = self.linear("linear0", x0), self.linear("linear1", x1)
        return self.output(self.normalized(self.ranks("merge_linear0", "merge_linear1", x0, x1)))

    def tucker(self, x0, x1):
        x0, x1 = self.linear("linear0", x0), self.linear("linear1", x1)
        return self.output(self.normalized(self.bilinear("bilinear", x0, x1)))

    def mlb(self, x0, x1):
        x0, x1 = self.project("linear0", x0), self.project("linear1", x1)
        return self.output(self.normalized(x0 * x1))

    def linear_sum(self, x0, x1):
        x0, x1 = self.project("linear0", x0), self.project("linear1", x1)
        return self.output(self.normalized(x0 + x1))

    def pooled(self, z):
        factor = self.p.get("factor", 2)
        return self.normalized(sum(z[:, f::factor] for f in range(factor)))

    def mfb(self, x0, x1):
        return self.output(self.pooled(self.project("linear0", x0) * self.project("linear1", x1)))

    def mfh(self, x0, x1):
        first = self.project("linear0_0", x0) * self.project("linear1_0", x1)
        second = self.project("linear0_1", x0) * self.project("linear1_1", x1) * first
        return self.output(torch.cat([self.pooled(first), self.pooled(second)], 1))

    def mcb(self, x0, x1):
        """Where input i goes, and its sign, is a rule here: see the test."""
        mm = self.p["mm_dim"]
        z = [torch.zeros(len(x0), dtype=x0.dtype) for _ in range(mm)]
        for i in range(x0.size(1)):
            for j in range(x1.size(1)):
                place = ((7 * i + 3) % mm + (5 * j + 1) % mm) % mm
                sign = (1 - 2 * (i % 2)) * (1 - 2 * (j // 2 % 2))
                z[place] = z[place] + sign * x0[:, i] * x1[:, j]
        return self.output(torch.stack(z, 1) * mm)

    def concat_mlp(self, x0, x1):
        x = torch.cat([x0, x1], 1)
        last = len(self.p["dimensions"])
        for i in range(last + 1):
            x = self.linear(f"mlp.linears.{i}", x)
            x = self.activation("activation", x) if i < last else x
        return x

    def __call__(self, x0, x1):
        return getattr(self, self.kind)(x0, x1)


def fusion_case(kind, p, dims, batch):
    fusion = Fusion(kind, p, dims)
    inputs = [(noise(batch * dim, 400 + i) * 5).view(batch, dim).requires_grad_(True)
              for i, dim in enumerate(dims)]
    output = fusion(*inputs)
    (output * noise(output.numel(), 600).view_as(output)).sum().backward()
    assert output.abs().max() > 0.01, (kind, p)  # the test would compare zeros
    return dict(
        type=kind, params=p, dims=dims, batch=batch, output=output.flatten().tolist(),
        state=shapes(kind, p, dims), inputs=[projections(x.grad, k) for k, x in enumerate(inputs)],
        gradients={name: projections(w.grad, k)
                   for k, (name, w) in enumerate(sorted(fusion.weights.items()))})


def drawn_sketches():
    """The order in which MMF draws: places, then signs, of the first input, then of the second."""
    torch.manual_seed(5)
    result = {}
    for i, dim in enumerate((5, 6)):
        places = torch.randint(9, size=(dim,))
        signs = 2 * torch.randint(2, size=(dim,)) - 1
        result[f"sketch{i + 1}"] = [[places[n].item(), signs[n].item()] for n in range(dim)]
    return result


def pooler_cases():
    """Three layers of [2, 4, 3], of 4 and of 2 tokens."""
    layers = [(noise(24, 400 + i) * 5).view(2, 4, 3) for i in range(3)]
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])

    def mean(x, tol):
        counts = mask.sum(1).tolist()
        return torch.stack([x[i, :n].sum(0) / (n + tol) for i, n in enumerate(counts)])

    results = [
        ("average_concat_last_k", dict(k=2), mean(torch.cat(layers[-2:], 2), 1e-6)),
        ("average_concat_last_k", dict(k=3, tol=0.5), mean(torch.cat(layers, 2), 0.5)),
        ("average_k_from_last", {}, mean(layers[-2], 1e-6)),
        ("average_k_from_last", dict(k=3, tol=0.25), mean(layers[0], 0.25)),
        ("average_sum_last_k", dict(k=3), mean(sum(layers), 1e-6)),
        ("average_sum_last_k", dict(k=1, tol=0.5), mean(layers[2], 0.5)),
        ("identity", {}, layers[2]),
        ("cls", {}, layers[2][:, 0]),
        ("cls", dict(dim=1, cls_index=-2), layers[2][:, 2]),
        ("avg", dict(dim=1), mean(layers[2], 0))]
    return [dict(type=kind, params=p, output=x.flatten().tolist(), shape=list(x.shape))
            for kind, p, x in results]


def main():
    print(json.dumps(dict(fusions=[fusion_case(*case) for case in CASES],
                          sketches=drawn_sketches(), poolers=pooler_cases()), indent=1))


if __name__ == "__main__":
    main()
