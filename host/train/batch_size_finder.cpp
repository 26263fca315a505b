// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/batch_size_finder.h"

#include "pergola/error.h"

#include <cstdio>

namespace pergola::host {
namespace {

constexpr double kReserve = 0.9;  // of the room: other processes need memory, too

std::string gibibytes(double bytes) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.3g GiB", bytes / (1024.0 * 1024.0 * 1024.0));
  return text;
}

// Why `size`, twice that of `last`, is not tried; empty when it is.
std::string reason_against(const BatchSizeSearch& search, const BatchSizeTrial& last,
                           std::int64_t size) {
  if (size > search.samples) {
    return concat("the training split has ", search.samples, " samples, fewer than ", size);
  }
  const std::optional<std::int64_t> room = search.room();
  const double need = 2.0 * static_cast<double>(last.bytes);
  if (!room || need <= kReserve * static_cast<double>(*room)) return "";
  return concat(size, " would take about ", gibibytes(need), " of memory, and ",
                gibibytes(static_cast<double>(*room)), " are free");
}

BatchSizeTrial first_trial(const BatchSizeSearch& search) {
  if (search.first > search.samples) {
    throw Error(ErrorKind::kConfig, search.key, " = ", search.first,
                " is more than the training split has, which is ", search.samples,
                " samples; set it to less for the search to begin with");
  }
  if (const auto trial = search.measure(search.first)) return *trial;
  throw Error(ErrorKind::kConfig, search.key, " = ", search.first,
              " runs out of memory already; set it to less for the search to begin with");
}

}  // namespace

BatchSizeFindings find_batch_size(const BatchSizeSearch& search) {
  BatchSizeFindings findings;
  findings.trials.push_back(first_trial(search));
  while (true) {
    const BatchSizeTrial last = findings.trials.back();
    findings.suggestion = last.batch_size;
    const std::int64_t size = 2 * last.batch_size;
    findings.end = reason_against(search, last, size);
    if (!findings.end.empty()) return findings;
    const std::optional<BatchSizeTrial> trial = search.measure(size);
    if (!trial) {
      findings.end = concat(size, " ran out of memory");
      return findings;
    }
    findings.trials.push_back(*trial);
    if (trial->samples_per_second >= (1 + search.least_gain) * last.samples_per_second) continue;
    findings.end =
        concat(size, " is not ", 100 * search.least_gain, " % faster than ", last.batch_size);
    return findings;
  }
}

}  // namespace pergola::host
