// SPDX-License-Identifier: BSD-3-Clause
// detection_mean_ap: COCO's mean average precision of boxes (coco_evaluation.h), from the outputs
// of a DETR-like head (names as in MMF's detection data sets and models). Legend: B = batch, N =
// detections of an image, C = categories, G = objects of an image.
//
// From the model's fields
//   pred_logits  [B, N, C + 1]; the softmax's highest but the last (no object) is category and
//   score pred_boxes   [B, N, 4]: centre x, centre y, width, height, as shares of the image
// From the batch
//   image_id     int64 [B], [B, 1]; an image that comes again is left out
//   orig_size    [B, 2]: height and width of the image in pixels
//   targets      unless `dataset_json_files` is given: a group with lists of one tensor an image,
//                boxes [G, 4] (x1, y1, x2, y2 in pixels) and labels [G] (categories), and where the
//                data set has them area [G] and iscrowd [G]
// With `dataset_json_files` all images of the file count, and only the categories listed there.
// A detection with a score or box that is not finite is left out.
//
// State: a score and 20 bits for each detection. The outputs of the last images stay on the device:
// update() judges them, and waits for the device, once there are kMostPending images; merge() and
// compute() do so too. Exact for any cut into batches and order of merging.
#pragma once

#include "host/data/coco_file.h"
#include "host/model/metrics/coco_evaluation.h"
#include "pergola/component.h"
#include "pergola/metric.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace pergola::host {

class DetectionMeanAp final : public Metric {
 public:
  static constexpr std::int64_t kMostPending = 1024;

  [[nodiscard]] static ComponentSpec spec();
  // Throws Error{kConfig} when `dataset_json_files` is not {data set = {split = "file"}}.
  explicit DetectionMeanAp(const Config& params);

  // The first call reads the file. Throws Error{kData} when shapes do not fit, the file cannot be
  // read, or it has no such image, Error{kConfig} when it is not named for the batch's split.
  void update(const SampleList& batch, const ModelOutput& output) override;
  void merge(const Metric& other) override;
  [[nodiscard]] std::map<std::string, double> compute() const override;
  void reset() override;

 private:
  using Images = std::map<std::int64_t, JudgedImage>;
  struct Pending {
    at::Tensor ids;         // int64 [B]
    at::Tensor detections;  // float64 [B, N, 6]: score, category, x, y, width, height
    // float64 [G, 7] of each image: category, x, y, width, height, area, iscrowd. Empty with a
    // file.
    std::vector<at::Tensor> truths;
  };
  // The file of the batch's split, read once; null without files.
  void read_annotations(const SampleList& batch);
  void judge_pending(Images& images) const;
  void judge_batch(const Pending& batch, Images& images) const;

  std::map<std::string, std::map<std::string, std::filesystem::path>> files_;  // by set and split
  std::shared_ptr<const CocoFile> annotations_;  // null before the first update, and without files
  std::vector<Pending> pending_;
  std::int64_t pending_images_ = 0;
  Images images_;
};

}  // namespace pergola::host
