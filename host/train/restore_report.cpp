// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/restore_report.h"

#include "pergola/error.h"
#include "pergola/suggest.h"

namespace pergola::host {

bool RestoreReport::take(const RestoredPart& part) {
  const bool is_wanted = part.is_used && !part.is_reset;
  if (part.is_saved) (is_wanted ? taken : left).push_back(part.name);
  if (!part.is_saved && is_wanted) missing.push_back(part.name);
  return part.is_saved && is_wanted;
}

std::string RestoreReport::text() const {
  std::string text = "took " + join(taken);
  if (!left.empty()) text += "; left out " + join(left);
  if (!missing.empty()) text += "; not in the checkpoint: " + join(missing);
  return text;
}

}  // namespace pergola::host
