// SPDX-License-Identifier: BSD-3-Clause
// Retrieval among all images and captions of a split (MMF's metrics.py). Every similarity counts,
// so the embeddings have to be kept: N (1 + captions) D numbers on the model's device, in its own
// precision. compute() takes the similarities in float64, a block of rows at a time.
// Legend: N = images of the split, D = width of the embeddings.
#pragma once

#include "pergola/component.h"
#include "pergola/metric.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace pergola::host {

enum class Direction { kImageToText, kTextToImage };

// One key of the registry.
struct RetrievalForm {
  const char* key;
  Direction direction;
  std::int64_t k;  // 0: the param `k`
};

// Image embeddings: the model's scores [B, D]; those of their captions: its field `targets`
// [B * n, D], the n of one image together, the same n in each batch. Similarity: the dot product.
//   image to text: the share of images that have a caption among the k nearest of all captions
//   text to image: the share of captions whose image is among the k nearest of all images
// Equal similarities count against the sample, since the order of a split has no meaning: where
// all are equal, nothing is found. So does one that is not a number; a sample whose own is not a
// number finds nothing.
class RetrievalMetric : public Metric {
 public:
  // Throws Error{kData} when shapes do not fit, or the number of captions of an image changes.
  void update(const SampleList& batch, const ModelOutput& output) final;
  void merge(const Metric& other) final;
  [[nodiscard]] std::map<std::string, double> compute() const final;
  void reset() final;

 protected:
  RetrievalMetric(const RetrievalForm& form, const Config& params);
  [[nodiscard]] static ComponentSpec spec_of(const RetrievalForm& form);

 private:
  void check_captions(std::int64_t captions) const;

  const RetrievalForm& form_;
  std::int64_t k_;
  std::int64_t captions_ = 0;  // of one image; 0 before the first batch
  std::vector<at::Tensor> images_;
  std::vector<at::Tensor> texts_;
};

template <const RetrievalForm& kForm>
class Retrieval final : public RetrievalMetric {
 public:
  [[nodiscard]] static ComponentSpec spec() { return spec_of(kForm); }
  explicit Retrieval(const Config& params) : RetrievalMetric(kForm, params) {}
};

inline constexpr RetrievalForm kTextAtK{"r@k_retrieval", Direction::kImageToText, 0};
inline constexpr RetrievalForm kTextAt1{"r@1_retrieval", Direction::kImageToText, 1};
inline constexpr RetrievalForm kTextAt5{"r@5_retrieval", Direction::kImageToText, 5};
inline constexpr RetrievalForm kTextAt10{"r@10_retrieval", Direction::kImageToText, 10};
inline constexpr RetrievalForm kImageAt1{"r@1_rev_retrieval", Direction::kTextToImage, 1};
inline constexpr RetrievalForm kImageAt5{"r@5_rev_retrieval", Direction::kTextToImage, 5};
inline constexpr RetrievalForm kImageAt10{"r@10_rev_retrieval", Direction::kTextToImage, 10};

}  // namespace pergola::host
