// SPDX-License-Identifier: BSD-3-Clause
// A copy of the tensors of a checkpoint, in one piece of memory that is kept from copy to copy: to
// get fresh memory from the system takes many times as long as to copy to memory that is there.
#pragma once

#include "host/checkpoint/checkpoint.h"

#include <ATen/core/Tensor.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace pergola::host {

// One copy at a time: begin(); then copy_now(), which two threads may call at once, and
// copy_later(), which one of them calls then.
class ContentCopy {
 public:
  // What memory a copy takes. Pinned is what a GPU copies to at its full speed.
  struct Room {
    std::uint64_t bytes = 0;
    bool pinned = false;
  };
  [[nodiscard]] static Room room_for(const CheckpointContent& content);

  // Gets this memory, and touches it, so that no later copy has to. False when the system has none.
  bool reserve(Room room);

  // Puts copies in place of the tensors of `content`, in host memory, whatever their device. They
  // have no values yet, but for those of a GPU and those that are not contiguous. False, with
  // `content` as it was, when there is no memory. Tensors without dense memory stay as they are.
  bool begin(CheckpointContent& content, std::string_view later);
  // Gives values to all but those of content.trainer whose names begin with `later` (none does when
  // that is empty). A second thread takes a share of it; both return when it is done.
  void copy_now();
  // Gives values to the others.
  void copy_later();

  // Gives the memory back.  REQUIRES: nobody reads the copy any more.
  void clear();

 private:
  struct Pair {
    at::Tensor from;
    at::Tensor to;
  };
  struct Span {
    const char* from;
    char* to;
    std::size_t size;
  };
  static void copy_others(const std::vector<Pair>& pairs);
  void cut_into_spans();
  [[nodiscard]] bool has(Room room) const;
  bool allocate(Room room);
  [[nodiscard]] at::Tensor place(const at::Tensor& tensor, std::int64_t& offset) const;

  at::Tensor memory_;      // bytes; undefined before the first
  std::vector<Pair> now_;  // kept until the next copy, so that nothing is freed while it is read
  std::vector<Pair> later_;
  std::vector<Span> spans_;              // of now_, as far as a thread can copy them by itself
  std::atomic<std::size_t> taken_ = 0;   // spans
  std::atomic<std::size_t> copied_ = 0;  // spans
};

}  // namespace pergola::host
