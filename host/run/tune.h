// SPDX-License-Identifier: BSD-3-Clause
// What `pergola tune` does: it makes some updates of a run, without a folder, to look for a good
// setting. Nothing is written, validated or saved, and the callbacks of the config are not called.
// Main thread. No LibTorch here.
#pragma once

#include "host/config/resolve.h"
#include "host/plugin/catalog.h"
#include "host/train/batch_size_finder.h"
#include "host/train/lr_finder.h"

#include <optional>
#include <vector>

namespace pergola::host {

struct TuneRequest {
  const ResolvedConfig& config;
  const PluginCatalog& catalog;
};

struct LrFindings {
  std::vector<LrFinder::Point> points;
  std::optional<double> suggestion;  // for optimizer.params.lr
  bool diverged = false;
};

// The learning-rate range test: 100 updates, as a run would begin, with rates from 1e-8 to 1. Where
// groups of the model have rates of their own, these grow in proportion. Throws Error.
[[nodiscard]] LrFindings tune_lr(const TuneRequest& request);

// Doubles the batch size (see batch_size_key), from what the config sets or from 2, as long as
// there is memory and the training becomes faster by 5 % at least; the speed is the median of a few
// updates of one batch each, loading included. Throws Error.
[[nodiscard]] BatchSizeFindings tune_batch_size(const TuneRequest& request);

}  // namespace pergola::host
