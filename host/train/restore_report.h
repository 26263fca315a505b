// SPDX-License-Identifier: BSD-3-Clause
// What a resumed run took of its checkpoint, in words for the log. No LibTorch here.
#pragma once

#include <string>
#include <vector>

namespace pergola::host {

// One part of a run's state.
struct RestoredPart {
  std::string name;
  bool is_saved = true;   // by the checkpoint
  bool is_used = true;    // by the run that is resumed
  bool is_reset = false;  // checkpoint.reset.* leaves it out
};

struct RestoreReport {
  std::vector<std::string> taken;
  std::vector<std::string> left;     // it is in the checkpoint
  std::vector<std::string> missing;  // it is not, and so begins anew

  // Puts the part where it belongs. True: it is to be taken.
  bool take(const RestoredPart& part);
  // "took weights, optimizer; left out counts; not in the checkpoint: loss scaler"
  [[nodiscard]] std::string text() const;
};

}  // namespace pergola::host
