// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/bbox_processor.h"

#include "pergola/error.h"

#include <ATen/ATen.h>

#include <cmath>
#include <utility>
#include <variant>

namespace pergola::host {
namespace {

double size_of(const Sample& sample, const std::string& key) {
  const at::Tensor& tensor = sample.tensor(key);
  const double size = tensor.numel() == 1 ? tensor.item<double>() : 0;
  if (std::isfinite(size) && size > 0) return size;
  throw Error(ErrorKind::kData, "field '", key, "' is ", tensor.dtype(), " ", tensor.sizes(),
              tensor.numel() == 1 ? concat(" of ", size) : "",
              ", but the processor 'transformer_bbox' takes one number of pixels above 0; correct "
              "the data, or name another field in its params");
}

at::Tensor normalized(const at::Tensor& boxes, const std::string& key, double width,
                      double height) {
  if (boxes.dim() != 2 || boxes.size(1) < 4 || boxes.is_complex() ||
      boxes.scalar_type() == at::kBool) {
    throw Error(
        ErrorKind::kData, "field '", key, "' is ", boxes.dtype(), " ", boxes.sizes(),
        ", but the processor 'transformer_bbox' takes numbers [regions, 4 or more]; correct "
        "the data, or name another field in its params");
  }
  const auto column = [&](std::int64_t i) { return boxes.select(/*dim=*/1, i).to(at::kDouble); };
  const at::Tensor area_N = (column(3) - column(1)) * (column(2) - column(0)) / (width * height);
  return at::stack(
             {column(0) / width, column(1) / height, column(2) / width, column(3) / height, area_N},
             /*dim=*/1)
      .to(at::kFloat);
}

}  // namespace

ComponentSpec TransformerBboxProcessor::spec() {
  return {
      "boxes in pixels as parts of the image, and their areas: `bbox` to `bbox`",
      {{.name = "bbox_key",
        .fallback = "bbox",
        .meaning = "the field of the boxes, x1, y1, x2, y2 each"},
       {.name = "image_width_key",
        .fallback = "image_width",
        .meaning = "the field of the image's width in pixels"},
       {.name = "image_height_key", .fallback = "image_height", .meaning = "likewise its height"}}};
}

TransformerBboxProcessor::TransformerBboxProcessor(const Config& params)
    : bbox_key_(params.get<std::string>("bbox_key")),
      image_width_key_(params.get<std::string>("image_width_key")),
      image_height_key_(params.get<std::string>("image_height_key")) {}

void TransformerBboxProcessor::apply(Sample& sample, Rng& /*rng*/) const {
  const double width = size_of(sample, image_width_key_);
  const double height = size_of(sample, image_height_key_);
  const auto found = sample.fields().find(bbox_key_);
  if (found != sample.fields().end()) {
    if (const auto* ragged = std::get_if<RaggedTensor>(&found->second)) {
      sample.set("bbox",
                 RaggedTensor{normalized(ragged->tensor, bbox_key_, width, height), ragged->form});
      return;
    }
  }
  sample.set("bbox", normalized(sample.tensor(bbox_key_), bbox_key_, width, height));
}

}  // namespace pergola::host
