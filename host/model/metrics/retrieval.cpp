// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/metrics/retrieval.h"

#include "host/model/metrics/class_scores.h"
#include "pergola/error.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <limits>

namespace pergola::host {
namespace {

constexpr std::int64_t kBlock = 1 << 22;  // similarities at a time, 32 MiB

at::Tensor joined(const std::vector<at::Tensor>& parts) {
  std::vector<at::Tensor> same;
  same.reserve(parts.size());
  for (const at::Tensor& part : parts) same.push_back(part.to(parts[0].device(), at::kDouble));
  return at::cat(same);
}

// How many queries have one of their own keys among the k nearest. The keys are groups of equal
// size one after the other; query q owns group q / queries_per_group.
std::int64_t count_hits(const at::Tensor& queries_QD, const at::Tensor& keys_KD,
                        std::int64_t groups, std::int64_t k) {
  const std::int64_t queries = queries_QD.size(0);
  const std::int64_t group_size = keys_KD.size(0) / groups;
  const std::int64_t rows = std::max<std::int64_t>(1, kBlock / keys_KD.size(0));
  at::Tensor hits = at::zeros({}, queries_QD.options().dtype(at::kLong));
  for (std::int64_t first = 0; first < queries; first += rows) {
    const at::Tensor block = queries_QD.slice(0, first, first + rows);
    const std::int64_t size = block.size(0);
    const at::Tensor similarity = at::mm(block, keys_KD.t()).view({size, groups, group_size});
    const at::Tensor group = at::arange(first, first + size, hits.options())
                                 .floor_divide(queries / groups)
                                 .view({size, 1, 1})
                                 .expand({size, 1, group_size});
    const at::Tensor own = similarity.gather(1, group);
    const at::Tensor best = own.amax({1, 2}, /*keepdim=*/true);
    // What is not below the best of the own ones is ahead, and a NaN is below nothing.
    const at::Tensor ahead = (~similarity.lt(best)).sum({1, 2}) - (~own.lt(best)).sum({1, 2});
    const at::Tensor valid = ~best.view({size}).isnan();
    hits += (ahead.lt(k) & valid).sum();
  }
  return hits.item<std::int64_t>();
}

}  // namespace

ComponentSpec RetrievalMetric::spec_of(const RetrievalForm& form) {
  std::string among = "among the k nearest";
  if (form.k > 0) among = form.k == 1 ? "nearest" : concat("among the ", form.k, " nearest");
  ComponentSpec spec{
      form.direction == Direction::kImageToText
          ? concat("share of images with one of their captions ", among, " of the split")
          : concat("share of captions with their image ", among, " of the split")};
  if (form.k == 0) {
    spec.params.push_back({.name = "k",
                           .fallback = {},
                           .meaning = "how many of the nearest count",
                           .low = 1,
                           .type = Value::Type::kInteger,
                           .need = ParamSpec::Need::kRequired});
  }
  return spec;
}

RetrievalMetric::RetrievalMetric(const RetrievalForm& form, const Config& params)
    : form_(form), k_(form.k == 0 ? params.get<std::int64_t>("k") : form.k) {}

void RetrievalMetric::update(const SampleList& /*batch*/, const ModelOutput& output) {
  const at::NoGradGuard no_grad;
  const at::Tensor& images = output_tensor(form_.key, output, "scores");
  const at::Tensor& texts = output_tensor(form_.key, output, "targets");
  const bool rows_fit = images.dim() == 2 && texts.dim() == 2 && images.size(1) == texts.size(1);
  if (rows_fit && images.size(0) == 0 && texts.size(0) == 0) return;
  if (!rows_fit || images.size(0) == 0 || texts.size(0) < images.size(0) ||
      texts.size(0) % images.size(0) != 0) {
    throw Error(ErrorKind::kData, form_.key, " cannot compare images ", images.sizes(),
                " ('scores' of the model) with texts ", texts.sizes(),
                " (its 'targets'); expected [images, width] and [images * captions, width]; check "
                "what forward() returns");
  }
  const std::int64_t captions = texts.size(0) / images.size(0);
  check_captions(captions);
  captions_ = captions;
  images_.push_back(images.clone());  // the model may write into its output at the next batch
  texts_.push_back(texts.clone());
}

void RetrievalMetric::merge(const Metric& other) {
  const auto& that = dynamic_cast<const RetrievalMetric&>(other);
  if (that.captions_ == 0) return;
  check_captions(that.captions_);
  captions_ = that.captions_;
  images_.insert(images_.end(), that.images_.begin(), that.images_.end());
  texts_.insert(texts_.end(), that.texts_.begin(), that.texts_.end());
}

void RetrievalMetric::check_captions(std::int64_t captions) const {
  if (captions_ == 0 || captions_ == captions) return;
  throw Error(ErrorKind::kData, form_.key, " has seen ", captions_,
              " captions for each image so far, and now ", captions,
              "; give each image of the split as many");
}

std::map<std::string, double> RetrievalMetric::compute() const {
  if (captions_ == 0) return {{"", std::numeric_limits<double>::quiet_NaN()}};
  const at::NoGradGuard no_grad;
  const at::Tensor images = joined(images_);
  const at::Tensor texts = joined(texts_);
  const bool to_text = form_.direction == Direction::kImageToText;
  const at::Tensor& queries = to_text ? images : texts;
  const std::int64_t hits = count_hits(queries, to_text ? texts : images, images.size(0), k_);
  return {{"", static_cast<double>(hits) / static_cast<double>(queries.size(0))}};
}

void RetrievalMetric::reset() {
  captions_ = 0;
  images_.clear();
  texts_.clear();
}

}  // namespace pergola::host
