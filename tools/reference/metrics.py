# SPDX-License-Identifier: BSD-3-Clause
"""Values of the numeric metrics from scikit-learn and torchmetrics, for tests/unit/model/metrics.

    pip install -r tools/reference/requirements.txt
    python tools/reference/metrics.py > tests/golden/metrics.json

The file has inputs, and cases: a metric of Pergola with its params, the input it is given, and the
values it must have; null is NaN. Written with torch 2.11.0 (CPU), scikit-learn 1.9.1, torchmetrics
1.9.0 and numpy 2.4.6; each input has a seed of its own. What no library has (vqa_accuracy) is
worked out from MMF's formula.

As MMF does, the curves are given softmax's probabilities in float32, computed in float64 first, so
that rows which are equal but for a shift stay equal. For the two classes of "confident" they are
given the logarithms, because a probability of 1 hides which of two such rows is higher.
"""

import json
import math
import warnings

import numpy as np
import sklearn.metrics as sk
import torch
from torchmetrics.functional.retrieval import retrieval_hit_rate

AVERAGES = ("micro", "macro", "weighted")
inputs = {}
cases = []


def listed(array):
    """A nested list; floats with nine digits, which float32 reads back exactly."""
    array = np.asarray(array)
    if array.ndim > 0:
        return [listed(item) for item in array]
    return int(array) if array.dtype.kind in "iu" else float(f"{float(array):.9g}")


def add_input(name, **tensors):
    inputs[name] = {key: listed(tensor) for key, tensor in tensors.items()}


def add_case(input_name, metric, value, **params):
    values = value if isinstance(value, dict) else {"": value}
    values = {key: None if math.isnan(one) else float(one) for key, one in values.items()}
    cases.append({"input": input_name, "metric": metric, "params": params, "values": values})


def probabilities_of(scores, logarithm=False):
    scores = torch.from_numpy(scores).double()
    if logarithm:
        return torch.nn.functional.logsigmoid(scores - scores.flip(1)).numpy()
    return torch.softmax(scores, 1).float().numpy()


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def add_f1(name, scores, targets, metrics):
    """The F1 family with one class a sample. metrics: (prefix of the key, params, arguments)"""
    chosen = scores.argmax(1)
    for prefix, params, arguments in metrics:
        precision, recall, f1, _ = sk.precision_recall_fscore_support(
            targets, chosen, zero_division=0, **arguments)
        add_case(name, prefix + "f1", f1, **params)
        add_case(name, prefix + "f1_precision_recall",
                 {"f1": f1, "precision": precision, "recall": recall}, **params)


def f1_arguments(classes):
    # Of more than two classes scikit-learn refuses average="binary", and so does Pergola.
    binary = [{"average": "binary"}] if classes == 2 else []
    metrics = [("micro_", {}, {"average": "micro"}), ("macro_", {}, {"average": "macro"})]
    metrics += [("binary_", {}, each) for each in binary]
    metrics += [("", {"average": each}, {"average": each}) for each in AVERAGES]
    return metrics + [("", {}, each) for each in binary]


def add_curves(name, probabilities, one_hot):
    for key, function in (("roc_auc", sk.roc_auc_score), ("ap", sk.average_precision_score)):
        add_case(name, key, function(one_hot, probabilities))
        for average in AVERAGES:
            value = function(one_hot, probabilities, average=average)
            add_case(name, key, value, average=average)
            if average != "weighted":
                add_case(name, f"{average}_{key}", value)


def add_binary_curves(name, probabilities, targets):
    positives = (targets == 1).astype(int)
    add_case(name, "binary_ap", sk.average_precision_score(positives, probabilities))
    precision, recall, _ = sk.precision_recall_curve(positives, probabilities)
    for percent in (10, 50, 62.5, 80, 90, 100, 110):
        value = max((r for p, r in zip(precision, recall) if p >= percent / 100), default=0)
        add_case(name, "r@pk", value, p_threshold=percent)
        if percent < 100:
            add_case(name, "r@pk", value, p_threshold=percent / 100)


def add_classes(name, scores, targets, logarithm=False):
    """All that takes class numbers."""
    probabilities = probabilities_of(scores, logarithm)
    classes = scores.shape[1]
    one_hot = np.eye(classes, dtype=int)[targets]
    add_input(name, scores=scores, targets=targets)
    add_case(name, "accuracy", sk.accuracy_score(targets, scores.argmax(1)))
    add_f1(name, scores, targets, f1_arguments(classes))
    add_curves(name, probabilities, one_hot)
    if classes == 2:  # "multiclass format is not supported", and Pergola refuses it as well
        add_binary_curves(name, probabilities[:, 1], targets)


def add_ranks(name, scores, targets):
    """Of scores without ties."""
    labels = range(scores.shape[1])
    one_hot = np.eye(scores.shape[1], dtype=int)[targets]
    add_input(name, scores=scores, targets=targets)
    for k in (1, 2, 5, 10):
        value = sk.top_k_accuracy_score(targets, scores, k=k, labels=labels)
        add_case(name, "accuracy", value, topk=k)
        add_case(name, "topk_accuracy", value, k=k)
        if k != 2:
            add_case(name, f"r@{k}", value)
    add_case(name, "mean_r", sk.coverage_error(one_hot, scores))
    add_case(name, "mean_rr", sk.label_ranking_average_precision_score(one_hot, scores))


def add_labels(name, scores, targets):
    add_input(name, scores=scores, targets=targets)
    chosen = torch.from_numpy(scores).sigmoid().round().numpy()
    for average in AVERAGES:
        value = sk.f1_score(targets, chosen, average=average, zero_division=0)
        add_case(name, "multilabel_f1", value, average=average)
        if average == "micro":
            add_case(name, "multilabel_f1", value)
        if average != "weighted":
            add_case(name, f"multilabel_{average}_f1", value)
    add_curves(name, probabilities_of(scores), targets)


def add_retrieval(name, images, texts):
    similarity = images.astype(np.float64) @ texts.T.astype(np.float64)
    owner = np.arange(len(texts)) // (len(texts) // len(images))
    own = owner[None, :] == np.arange(len(images))[:, None]
    add_input(name, scores=images, texts=texts)

    def hit_rate(table, right, k):
        rows = zip(torch.from_numpy(table), torch.from_numpy(right))
        return np.mean([retrieval_hit_rate(row, mask, top_k=k).item() for row, mask in rows])

    for k in (1, 3, 5, 10):
        to_text = hit_rate(similarity, own, k)
        add_case(name, "r@k_retrieval", to_text, k=k)
        if k != 3:
            add_case(name, f"r@{k}_retrieval", to_text)
            add_case(name, f"r@{k}_rev_retrieval", hit_rate(similarity.T.copy(), own.T.copy(), k))


def add_vqa(name, scores, targets):
    add_input(name, scores=scores, targets=targets)
    probabilities = torch.softmax(torch.from_numpy(scores).double(), 1)
    probabilities[:, 0] = 0
    chosen = (probabilities / probabilities.sum(1, keepdim=True)).argmax(1)
    soft = torch.from_numpy(targets).double().gather(1, chosen[:, None])
    add_case(name, "vqa_accuracy", soft.mean().item())


def main():
    warnings.simplefilter("ignore")  # of classes that are not there, whose values are wanted
    random = np.random.default_rng(1)
    add_classes("two_classes", normal(2, 60, 2), random.integers(0, 2, 60))
    add_classes("five_classes", normal(3, 80, 5), random.integers(0, 5, 80))
    ties = random.integers(0, 3, (60, 3)).astype(np.float32)
    add_classes("ties", ties, random.integers(0, 3, 60))
    add_classes("ties_of_two", ties[:, :2].copy(), random.integers(0, 2, 60))
    add_classes("half_precision", normal(4, 50, 4).astype(np.float16).astype(np.float32),
                random.integers(0, 4, 50))
    add_classes("confident", 20 * normal(5, 50, 2), random.integers(0, 2, 50), logarithm=True)
    # Class 2 is in no target and never chosen; class 3 is chosen only.
    absent = normal(6, 40, 4)
    absent[:, 2] -= 20
    add_classes("absent_classes", absent, random.integers(0, 2, 40))
    add_classes("negatives_alone", normal(7, 20, 2), np.zeros(20, dtype=int))
    add_classes("positives_alone", normal(8, 20, 2), np.ones(20, dtype=int))
    add_ranks("candidates", normal(9, 40, 17), random.integers(0, 17, 40))
    labels = random.integers(0, 2, (50, 4))
    add_labels("labels", normal(10, 50, 4), labels)
    quarters = random.integers(-2, 3, (50, 4)).astype(np.float32) / 4  # 0 is a sigmoid of 0.5
    add_labels("labels_with_ties", quarters, labels)
    labels = labels.copy()
    labels[:, 2] = 0
    add_labels("label_without_positives", normal(11, 50, 4), labels)
    add_retrieval("one_caption", normal(12, 20, 6), normal(13, 20, 6))
    add_retrieval("three_captions", normal(14, 12, 6), normal(15, 36, 6))
    add_vqa("soft_answers", normal(16, 30, 6),
            (random.integers(0, 4, (30, 6)) / 3).astype(np.float32))
    print('{"inputs": {')
    print(",\n".join(f"{json.dumps(name)}: {json.dumps(inputs[name])}" for name in inputs))
    print('}, "cases": [')
    print(",\n".join(json.dumps(case, allow_nan=False) for case in cases))
    print("]}")


main()
