// SPDX-License-Identifier: BSD-3-Clause
// What the error of an allocator says, and what to change so that it is not met again. The facts of
// a shortage are read from LibTorch's text: when its exception is caught, the tensors that filled
// the memory are gone, and the allocator's counts say nothing any more. No LibTorch here.
#pragma once

#include <cstdint>
#include <string>

namespace pergola::host {

struct RunConfig;

// Bytes; 0 where it is not known.
struct MemoryShortage {
  std::string device;          // "GPU 0"; empty: the machine's own memory
  std::int64_t requested = 0;  // what there was no room for
  std::int64_t total = 0;      // of the device
  std::int64_t free = 0;
  std::int64_t allowed = 0;     // to this process, by per_process_memory_fraction
  std::int64_t held = 0;        // by this process
  std::int64_t in_tensors = 0;  // of that
  std::int64_t in_graphs = 0;   // of that, kept for CUDA graphs
  std::int64_t unused = 0;      // kept by the allocator, in pieces that were too small
  std::string others;           // "process 12 holds 1.00 GiB"; empty: nobody that is known
  std::string text;             // the first line of the error

  // `message` is the what() of an exception for memory that ran out.
  [[nodiscard]] static MemoryShortage parse(const std::string& message);
  // "2.00 GiB were asked for, and of the 79.15 GiB of GPU 0 1.20 GiB were free; ..."; the text of
  // the error where that is all that there is.
  [[nodiscard]] std::string describe() const;
  // CUDA's own text has no number: it may be page-locked memory of the machine that ran out.
  [[nodiscard]] bool may_be_page_locked() const {
    return text.starts_with("CUDA error: out of memory");
  }
  // Is so much kept unused that the request would have fit, in one piece?
  [[nodiscard]] bool is_fragmented() const { return unused >= requested && requested > 0; }
};

// What of a run's config decides how much memory it takes.
struct MemorySettings {
  std::string batch_size_key = "training.batch_size";
  std::int64_t batch_size = 0;  // 0: nothing is known of the run
  std::int64_t update_frequency = 1;
  std::string model;
  bool recomputes = false;           // training.recompute
  bool is_full_precision = true;     // training.precision
  bool sets_allocator = false;       // training.cuda_allocator
  bool has_plain_attention = false;  // model_config has an `attention` that is not "packed"
  bool halves = false;               // training.on_out_of_memory

  [[nodiscard]] static MemorySettings of(const RunConfig& config);
};

// Of the run of this process, for the advice.  [main thread]
void set_memory_settings(MemorySettings settings);

// What to change, in the order in which it is to be tried: "set training.batch_size = 8 and
// training.update_frequency = 2, ...". `is_training`: else batches alone are to be smaller.
[[nodiscard]] std::string memory_advice(const MemoryShortage& shortage, bool is_training);

}  // namespace pergola::host
