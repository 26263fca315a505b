// SPDX-License-Identifier: BSD-3-Clause
// Where the numbers of a run go besides metrics.jsonl: event files of TensorBoard, the progress
// bar. Training thread. No LibTorch here.
#pragma once

#include "pergola/callback.h"

#include <string>

namespace pergola::host {

class MetricsSink {
 public:
  virtual ~MetricsSink() = default;
  // `split` is "train", "val" or "test"; `numbers` those of the line in metrics.jsonl, with what
  // stands under "system" there as "system/...".
  virtual void write(const Progress& progress, const std::string& split,
                     const Numbers& numbers) = 0;
};

}  // namespace pergola::host
