# SPDX-License-Identifier: BSD-3-Clause
"""Numbers that detection_mean_ap is held against: tests/golden/detection.json.

The mean average precision is pycocotools' (COCOeval, "bbox", stats[0]; -1, its word for no object
at all, is null here). The boxes that it gets are made of a detection head's outputs in float32 by
torch, as MMF's detection data sets do. Seeds: those of each case. All inputs are short binary
fractions, so that the JSON has them exactly, and equal scores are frequent.

    pip install torch==2.11.0 pycocotools==2.0.11
    python tools/reference/detection.py > tests/golden/detection.json
"""

import contextlib
import io
import json
import random
import sys
from importlib.metadata import version

import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def detections(images):
    """pycocotools' rows from a head's outputs: the steps of MMF's detection data sets."""
    rows = []
    for image in images:
        if not image["pred_boxes"]:
            continue
        shares = torch.tensor(image["pred_logits"], dtype=torch.float32).softmax(-1)
        scores, categories = shares[:, :-1].max(-1)
        cx, cy, w, h = torch.tensor(image["pred_boxes"], dtype=torch.float32).unbind(-1)
        corners = torch.stack([cx - 0.5 * w, cy - 0.5 * h, cx + 0.5 * w, cy + 0.5 * h], dim=-1)
        height, width = image["orig_size"]
        x1, y1, x2, y2 = (corners * torch.tensor([width, height, width, height])).unbind(-1)
        boxes = torch.stack([x1, y1, x2 - x1, y2 - y1], dim=-1)
        rows += [{"image_id": image["image_id"], "category_id": category, "bbox": box, "score": score}
                 for category, box, score in zip(categories.tolist(), boxes.tolist(), scores.tolist())]
    return rows


def mean_ap(dataset, images):
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = dataset
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(detections(images)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    value = float(evaluation.stats[0])
    return None if value == -1 else value


def make_case(name, seed, *, images=6, unseen=0, categories=(1, 2, 4), objects=5, queries=8,
              crowds=0.2, near=0.7, grid=64):
    """A random set: most detections are near an object, by steps of 1/grid of the image."""
    rng = random.Random(seed)
    dataset = {"images": [], "annotations": [],
               "categories": [{"id": category, "name": str(category)} for category in categories]}
    outputs = []
    ids = rng.sample(range(1, 1000), images + unseen)
    for index, image_id in enumerate(ids):
        height, width = rng.choice([256, 320, 512]), rng.choice([128, 256, 640])
        dataset["images"].append({"id": image_id, "height": height, "width": width})
        truths = []
        for _ in range(rng.randint(0, objects)):
            w, h = rng.randint(4, grid // 2), rng.randint(4, grid // 2)
            x, y = rng.randint(0, grid - w), rng.randint(0, grid - h)
            truths.append((rng.choice(categories), x, y, w, h))
            bbox = [x * width / grid, y * height / grid, w * width / grid, h * height / grid]
            crowd = int(rng.random() < crowds)
            dataset["annotations"].append(
                {"id": len(dataset["annotations"]) + 1, "image_id": image_id,
                 "category_id": truths[-1][0], "bbox": bbox, "iscrowd": crowd,
                 "area": bbox[2] * bbox[3] * 0.75})
        if index >= images:
            continue
        logits, boxes = [], []
        for _ in range(queries):
            if truths and rng.random() < near:
                category, x, y, w, h = rng.choice(truths)
                x, y, w, h = (v + rng.choice([0, 0, 0, 1, -1, 2]) for v in (x, y, w, h))
            else:
                category, x, y = rng.choice(categories), rng.randint(0, 40), rng.randint(0, 40)
                w, h = rng.randint(1, 24), rng.randint(1, 24)
            row = [rng.randint(-8, 0) / 4 for _ in range(max(categories) + 2)]
            row[category if rng.random() < 0.9 else rng.randrange(len(row))] = rng.randint(4, 12) / 4
            logits.append(row)
            boxes.append([(x + w / 2) / grid, (y + h / 2) / grid, w / grid, h / grid])
        outputs.append({"image_id": image_id, "orig_size": [height, width],
                        "pred_logits": logits, "pred_boxes": boxes})
    return {"name": name, "dataset": dataset, "images": outputs, "map": mean_ap(dataset, outputs)}


def steps_case():
    """Overlaps of exactly 0.5, 0.55, ..., 1: 20 objects of 20 x 1, detections of 10 to 20 x 1."""
    dataset = {"images": [], "annotations": [], "categories": [{"id": 1}]}
    outputs = []
    for length in range(10, 21):
        dataset["images"].append({"id": length})
        dataset["annotations"].append({"id": length, "image_id": length, "category_id": 1,
                                       "bbox": [0, 0, 20, 1], "area": 20, "iscrowd": 0})
        outputs.append({"image_id": length, "orig_size": [64, 64], "pred_logits": [[0, length / 4, 0]],
                        "pred_boxes": [[length / 128, 1 / 128, length / 64, 1 / 64]]})
    return {"name": "steps of overlap", "dataset": dataset, "images": outputs,
            "map": mean_ap(dataset, outputs)}


def recalls_case():
    """Recalls of k/20, the next precision always lower: 0.35 is not numpy's 35 * 0.01."""
    dataset = {"images": [], "annotations": [], "categories": [{"id": 0}]}
    outputs = []
    for k in range(1, 21):
        dataset["images"].append({"id": k})
        dataset["annotations"].append({"id": k, "image_id": k, "category_id": 0, "bbox": [0, 0, 32, 32],
                                       "area": 1024, "iscrowd": 0})
        outputs.append({"image_id": k, "orig_size": [64, 64],
                        "pred_logits": [[(42 - 2 * k) / 8, 0], [(41 - 2 * k) / 8, 0]],
                        "pred_boxes": [[0.25, 0.25, 0.5, 0.5], [0.75, 0.75, 0.25, 0.25]]})
    return {"name": "steps of recall", "dataset": dataset, "images": outputs,
            "map": mean_ap(dataset, outputs)}


def main():
    cases = [
        make_case("mixed", 1),
        make_case("mixed, images without detections", 2, images=4, unseen=3),
        make_case("one category", 3, categories=(1,), crowds=0),
        make_case("one category and crowds", 4, categories=(2,), crowds=0.5),
        make_case("only crowds", 5, images=3, crowds=1),
        make_case("nothing found", 6, images=3, near=0, crowds=0),
        make_case("more than 100 of a category", 7, images=2, categories=(0,), queries=130, objects=12,
                  grid=32),
        make_case("many objects", 8, images=3, queries=40, objects=30, near=0.95),
        steps_case(),
        recalls_case(),
    ]
    assert any(case["map"] is None for case in cases) and any(case["map"] == 0 for case in cases)
    golden = {"versions": {name: version(name) for name in ("torch", "pycocotools")}, "cases": cases}
    json.dump(golden, sys.stdout, separators=(",", ":"))
    print()


if __name__ == "__main__":
    main()
