// SPDX-License-Identifier: BSD-3-Clause
// The processor `transformer_bbox`, after MMF's: where the regions of an image are, as parts of it.
// Constant; any thread may apply it.  Legend: N = regions.
#pragma once

#include "pergola/component.h"
#include "pergola/processor.h"

#include <string>

namespace pergola::host {

// `bbox` [N, 4 or more], x1, y1, x2 and y2 in pixels and what is not read, and the numbers
// `image_width` w and `image_height` h (0-d) → `bbox`, float [N, 5]: x1 / w, y1 / h, x2 / w, y2 / h
// and the box's area / (w h). A ragged `bbox` stays one.
class TransformerBboxProcessor final : public Processor {
 public:
  [[nodiscard]] static ComponentSpec spec();
  explicit TransformerBboxProcessor(const Config& params);

  // Throws Error{kData} for boxes of another shape or type, and a width or height that is no number
  // above 0.
  void apply(Sample& sample, Rng& rng) const override;

 private:
  std::string bbox_key_;
  std::string image_width_key_;
  std::string image_height_key_;
};

}  // namespace pergola::host
