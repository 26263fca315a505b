// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/metrics/detection_mean_ap.h"

#include "host/model/metrics/class_scores.h"
#include "pergola/error.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace pergola::host {
namespace {

constexpr const char* kName = "detection_mean_ap";
constexpr std::int64_t kDetectionNumbers = 6;  // score, category, x, y, width, height
constexpr std::int64_t kTruthNumbers = 7;      // category, x, y, width, height, area, iscrowd

// The boxes in pixels, x, y, width, height. In float32 and in this order of steps, as MMF does:
// whether a box overlaps enough can hang on the last bit.
at::Tensor in_pixels(const at::Tensor& boxes_BN4, const at::Tensor& sizes_B2) {
  const at::Tensor centre_BN2 = boxes_BN4.slice(-1, 0, 2);
  const at::Tensor half_BN2 = boxes_BN4.slice(-1, 2, 4) * 0.5;
  const at::Tensor sizes = sizes_B2.to(at::kFloat).unsqueeze(1);
  const at::Tensor scale_B12 = at::cat({sizes.slice(2, 1, 2), sizes.slice(2, 0, 1)}, 2);
  const at::Tensor from_BN2 = (centre_BN2 - half_BN2) * scale_B12;
  const at::Tensor to_BN2 = (centre_BN2 + half_BN2) * scale_B12;
  return at::cat({from_BN2, to_BN2 - from_BN2}, -1);
}

at::Tensor detections_of(const ModelOutput& output, const at::Tensor& sizes_B2) {
  const at::Tensor& logits = output_tensor(kName, output, "pred_logits");
  const at::Tensor& boxes = output_tensor(kName, output, "pred_boxes");
  const std::int64_t samples = sizes_B2.size(0);
  if (logits.dim() != 3 || logits.size(0) != samples || logits.size(2) < 2 || boxes.dim() != 3 ||
      boxes.size(0) != samples || boxes.size(1) != logits.size(1) || boxes.size(2) != 4) {
    throw Error(ErrorKind::kData, kName, " cannot read pred_logits ", logits.sizes(),
                " and pred_boxes ", boxes.sizes(), " for ", samples,
                " images; expected [batch, detections, categories + 1] and [batch, detections, 4]; "
                "check the model's detection head");
  }
  const at::Tensor shares_BNC = logits.to(at::kFloat).softmax(-1).slice(-1, 0, -1);
  const auto [score_BN, category_BN] = shares_BNC.max(-1);
  const at::Tensor boxes_BN4 = in_pixels(boxes.to(at::kFloat), sizes_B2);
  return at::cat({score_BN.to(at::kDouble).unsqueeze(-1), category_BN.to(at::kDouble).unsqueeze(-1),
                  boxes_BN4.to(at::kDouble)},
                 -1);
}

// The numbers `name` of one image's objects in float64 [G], or `fallback_G` where the data set has
// none.
at::Tensor truth_numbers(const SampleList& targets, const char* name, std::size_t image,
                         const at::Tensor& fallback_G) {
  if (!targets.has(name)) return fallback_G;
  const at::Tensor& numbers = targets.tensors(name)[image];
  if (numbers.sizes() != fallback_G.sizes()) {
    throw Error(ErrorKind::kData, kName, " found targets.", name, " ", numbers.sizes(), " for ",
                fallback_G.size(0), " boxes of image ", image,
                " of the batch; expected one number a box; check the data set");
  }
  return numbers.to(fallback_G.options());
}

std::vector<at::Tensor> truths_of(const SampleList& targets) {
  static_cast<void>(targets.tensors("labels"));  // the one of the numbers that must be there
  std::vector<at::Tensor> truths;
  for (const at::Tensor& box_G4 : targets.tensors("boxes")) {
    const std::size_t image = truths.size();
    if (box_G4.dim() != 2 || box_G4.size(1) != 4) {
      throw Error(ErrorKind::kData, kName, " found targets.boxes ", box_G4.sizes(), " of image ",
                  image, " of the batch; expected [objects, 4], x1, y1, x2, y2 in pixels; check ",
                  "the data set");
    }
    const at::Tensor corners_G4 = box_G4.to(at::kDouble);
    const at::Tensor from_G2 = corners_G4.slice(1, 0, 2);
    const at::Tensor size_G2 = corners_G4.slice(1, 2, 4) - from_G2;
    const at::Tensor zero_G = at::zeros({box_G4.size(0)}, corners_G4.options());
    const at::Tensor category_G = truth_numbers(targets, "labels", image, zero_G);
    const at::Tensor area_G = truth_numbers(targets, "area", image, size_G2.prod(1));
    const at::Tensor crowd_G = truth_numbers(targets, "iscrowd", image, zero_G);
    truths.push_back(at::cat(
        {category_G.unsqueeze(1), from_G2, size_G2, area_G.unsqueeze(1), crowd_G.unsqueeze(1)}, 1));
  }
  return truths;
}

Box box_at(const double* numbers) { return {numbers[0], numbers[1], numbers[2], numbers[3]}; }

// The detections of one image that can be judged, of `categories` alone unless that is null.
std::vector<Detection> read_detections(const double* numbers, std::int64_t count,
                                       const std::set<std::int64_t>* categories) {
  std::vector<Detection> detections;
  for (std::int64_t i = 0; i < count; ++i, numbers += kDetectionNumbers) {
    const auto is_finite = [](double number) { return std::isfinite(number); };
    if (!std::all_of(numbers, numbers + kDetectionNumbers, is_finite)) continue;
    const auto category = static_cast<std::int64_t>(numbers[1]);
    if (categories != nullptr && !categories->contains(category)) continue;
    detections.push_back({category, numbers[0], box_at(numbers + 2)});
  }
  return detections;
}

std::vector<TrueBox> read_truths(const double* numbers, std::int64_t count) {
  std::vector<TrueBox> truths;
  for (std::int64_t i = 0; i < count; ++i, numbers += kTruthNumbers) {
    truths.push_back(
        {static_cast<std::int64_t>(numbers[0]), box_at(numbers + 1), numbers[5], numbers[6] != 0});
  }
  return truths;
}

}  // namespace

ComponentSpec DetectionMeanAp::spec() {
  return {"COCO's mean average precision of boxes, over IoU 0.50 to 0.95",
          {{.name = "dataset_json_files",
            .fallback = {},
            .meaning = "{data set = {split = \"COCO file\"}}; by default the batch has the objects",
            .type = Value::Type::kTable}}};
}

DetectionMeanAp::DetectionMeanAp(const Config& params) {
  if (!params.has("dataset_json_files")) return;
  const Config sets = params.table("dataset_json_files");
  for (const auto& [set, splits] : sets.value().as_table()) {
    const Config files = sets.table(set);
    for (const auto& [split, file] : files.value().as_table()) {
      files_[set][split] = files.get<std::string>(split);
    }
  }
}

void DetectionMeanAp::update(const SampleList& batch, const ModelOutput& output) {
  const at::NoGradGuard no_grad;
  read_annotations(batch);
  const at::Tensor& ids = batch.tensor("image_id");
  const at::Tensor& sizes = batch.tensor("orig_size");
  if (ids.numel() != ids.size(0) || sizes.dim() != 2 || sizes.size(1) != 2) {
    throw Error(ErrorKind::kData, kName, " found image_id ", ids.sizes(), " and orig_size ",
                sizes.sizes(),
                "; expected [batch] and [batch, 2], height and width in pixels; "
                "check the data set");
  }
  Pending entry{ids.reshape({-1}).to(at::kLong), detections_of(output, sizes), {}};
  if (annotations_ == nullptr) entry.truths = truths_of(batch.group("targets"));
  pending_images_ += ids.size(0);
  pending_.push_back(std::move(entry));
  if (pending_images_ < kMostPending) return;
  judge_pending(images_);
  pending_.clear();
  pending_images_ = 0;
}

void DetectionMeanAp::read_annotations(const SampleList& batch) {
  if (files_.empty()) return;
  const auto splits = files_.find(batch.dataset_name());
  const bool known = splits != files_.end() && splits->second.count(batch.dataset_type()) > 0;
  if (!known) {
    throw Error(ErrorKind::kConfig, kName, " has no dataset_json_files.", batch.dataset_name(), ".",
                batch.dataset_type(),
                "; name the COCO file of that split, or leave dataset_json_files out if the data "
                "set has the objects in its batches");
  }
  const std::filesystem::path& file = splits->second.at(batch.dataset_type());
  if (annotations_ != nullptr && annotations_->path == file) return;
  annotations_ = std::make_shared<const CocoFile>(read_coco_file(file));
}

void DetectionMeanAp::judge_pending(Images& images) const {
  for (const Pending& batch : pending_) judge_batch(batch, images);
}

void DetectionMeanAp::judge_batch(const Pending& batch, Images& images) const {
  const at::Tensor ids_B = batch.ids.cpu().contiguous();
  const at::Tensor detections_BN6 = batch.detections.cpu().contiguous();
  const std::int64_t count = detections_BN6.size(1);
  const bool has_truths = !batch.truths.empty();
  const at::Tensor truths = has_truths ? at::cat(batch.truths).cpu().contiguous() : at::Tensor();
  const double* truth = has_truths ? truths.const_data_ptr<double>() : nullptr;
  for (std::int64_t i = 0; i < ids_B.size(0); ++i) {
    const std::int64_t id = ids_B.const_data_ptr<std::int64_t>()[i];
    const double* detections =
        detections_BN6.const_data_ptr<double>() + i * count * kDetectionNumbers;
    if (!has_truths) {
      const auto found = annotations_->images.find(id);
      if (found == annotations_->images.end()) {
        throw Error(ErrorKind::kData, kName, " found image_id ", id, ", which is not in ",
                    annotations_->path.string(),
                    "; choose the file of that split, or correct the data set");
      }
      if (images.count(id) > 0) continue;
      images[id] =
          judge(read_detections(detections, count, &annotations_->categories), found->second);
      continue;
    }
    const std::int64_t objects = batch.truths[static_cast<std::size_t>(i)].size(0);
    if (images.count(id) == 0) {
      images[id] = judge(read_detections(detections, count, nullptr), read_truths(truth, objects));
    }
    truth += objects * kTruthNumbers;
  }
}

void DetectionMeanAp::merge(const Metric& other) {
  const auto& that = dynamic_cast<const DetectionMeanAp&>(other);
  if (annotations_ == nullptr) annotations_ = that.annotations_;
  images_.insert(that.images_.begin(), that.images_.end());
  that.judge_pending(images_);
}

std::map<std::string, double> DetectionMeanAp::compute() const {
  Images images = images_;
  judge_pending(images);
  if (images.empty()) return {{"", std::numeric_limits<double>::quiet_NaN()}};
  if (annotations_ != nullptr) {
    for (const auto& [id, truths] : annotations_->images) {
      if (images.count(id) == 0) images.emplace(id, judge({}, truths));
    }
  }
  return {{"", mean_average_precision(images)}};
}

void DetectionMeanAp::reset() {
  pending_.clear();
  pending_images_ = 0;
  images_.clear();
}

}  // namespace pergola::host
