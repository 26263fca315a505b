// SPDX-License-Identifier: BSD-3-Clause
// Verbs of the tests of detection_mean_ap: batches of images, with or without their objects.
#pragma once

#include "unit/model/metrics/metric_helpers.h"

#include <ATen/ATen.h>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace pergola::host {

// One image, as a detection data set and a model give it.
struct DetectionImage {
  std::int64_t id = 1;
  at::Tensor logits_NC;  // the last column: no object
  at::Tensor boxes_N4;   // centre, width and height as shares of the image
  at::Tensor truths_G4;  // x1, y1, x2, y2 in pixels
  at::Tensor labels_G;
  at::Tensor crowds_G;
  at::Tensor areas_G = {};  // undefined: those of the boxes
  std::int64_t height = 64;
  std::int64_t width = 64;
};

inline SampleList batch_of(const std::vector<DetectionImage>& images) {
  std::vector<Sample> samples;
  for (const DetectionImage& image : images) {
    Sample targets;
    targets.set("boxes", RaggedTensor{image.truths_G4});
    targets.set("labels", RaggedTensor{image.labels_G});
    targets.set("iscrowd", RaggedTensor{image.crowds_G});
    if (image.areas_G.defined()) targets.set("area", RaggedTensor{image.areas_G});
    Sample sample;
    sample.set("targets", std::make_shared<const Sample>(std::move(targets)));
    sample.set("image_id", at::scalar_tensor(image.id, at::kLong));
    sample.set("orig_size", at::tensor({image.height, image.width}));
    samples.push_back(std::move(sample));
  }
  SampleList batch = SampleList::collate(samples);
  batch.set_dataset("detection_coco", "val");
  return batch;
}

inline ModelOutput output_of(const std::vector<DetectionImage>& images) {
  std::vector<at::Tensor> logits;
  std::vector<at::Tensor> boxes;
  for (const DetectionImage& image : images) {
    logits.push_back(image.logits_NC);
    boxes.push_back(image.boxes_N4);
  }
  ModelOutput output;
  output.fields = {{"pred_logits", at::stack(logits)}, {"pred_boxes", at::stack(boxes)}};
  return output;
}

inline void update(Metric& metric, const std::vector<DetectionImage>& images) {
  metric.update(batch_of(images), output_of(images));
}

}  // namespace pergola::host
