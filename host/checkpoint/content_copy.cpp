// SPDX-License-Identifier: BSD-3-Clause
#include "host/checkpoint/content_copy.h"

#include <ATen/ATen.h>

#include <sys/mman.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <exception>
#include <memory>
#include <utility>

namespace pergola::host {
namespace {

// Copies begin at multiples of it: what any dtype asks for, and no two in one line of the cache.
constexpr std::int64_t kAlignment = 64;

bool is_dense(const at::Tensor& tensor) {
  return tensor.layout() == at::kStrided && !tensor.is_quantized();
}

std::int64_t padded_size(const at::Tensor& tensor) {
  const auto size = static_cast<std::int64_t>(tensor.nbytes());
  return (size + kAlignment - 1) / kAlignment * kAlignment;
}

std::uint64_t copy_size(const StateDict& tensors) {
  std::uint64_t size = 0;
  for (const auto& [name, tensor] : tensors) {
    if (is_dense(tensor)) size += static_cast<std::uint64_t>(padded_size(tensor));
  }
  return size;
}

// An undefined tensor when there is none.
at::Tensor memory_of(ContentCopy::Room room) {
  const auto size = static_cast<std::int64_t>(room.bytes);
  const auto options = at::TensorOptions(at::kByte).device(at::kCPU);
  if (room.pinned) {
    try {
      return at::empty({size}, options.pinned_memory(true));
    } catch (const std::exception&) {  // pageable memory is slower, and does as well
    }
  }
  try {
    return at::empty({size}, options);
  } catch (const std::exception&) {
    return {};
  }
}

// Fewer and larger pages where the system has them: a fourth of the time for the first touch.
void advise_huge_pages(const at::Tensor& memory) {
  constexpr std::size_t kHugePage = std::size_t{2} << 20;
  void* first = memory.data_ptr();
  std::size_t size = memory.nbytes();
  if (std::align(kHugePage, kHugePage, first, size) == nullptr) return;  // too small for one
  // A hint: without it the pages are small ones.
  static_cast<void>(::madvise(first, size / kHugePage * kHugePage, MADV_HUGEPAGE));
}

// Page by page, as a copy would: in one call to the system, other threads that get memory from it
// would wait for all of it.
void touch(const at::Tensor& memory) {
  constexpr std::size_t kPage = 4096;
  auto* const bytes = static_cast<volatile char*>(memory.data_ptr());
  for (std::size_t i = 0; i < memory.nbytes(); i += kPage) bytes[i] = 0;
}

bool has_cuda(const StateDict& tensors) {
  return std::any_of(tensors.begin(), tensors.end(),
                     [](const auto& named) { return named.second.is_cuda(); });
}

bool is_plain(const at::Tensor& tensor) { return tensor.is_cpu() && tensor.is_contiguous(); }

// Past the caches, which have no room for it anyway: a plain copy reads the lines of its target
// before it overwrites them, and is half as fast.  REQUIRES: `to` is a multiple of kAlignment.
void copy_bytes(char* to, const char* from, std::size_t size) {
#ifdef __SSE2__
  constexpr std::size_t kBlock = 64;
  for (; size >= kBlock; to += kBlock, from += kBlock, size -= kBlock) {
    for (std::size_t i = 0; i < kBlock; i += sizeof(__m128i)) {
      _mm_stream_si128(reinterpret_cast<__m128i*>(to + i),
                       _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i)));
    }
  }
  _mm_sfence();
#endif
  if (size > 0) std::memcpy(to, from, size);
}

}  // namespace

ContentCopy::Room ContentCopy::room_for(const CheckpointContent& content) {
  return {copy_size(content.model) + copy_size(content.trainer), has_cuda(content.model)};
}

bool ContentCopy::reserve(Room room) {
  const bool fresh = !has(room);
  if (!allocate(room)) return false;
  if (fresh && !room.pinned) touch(memory_);
  return true;
}

bool ContentCopy::has(Room room) const {
  return memory_.defined() && memory_.nbytes() >= room.bytes;
}

bool ContentCopy::allocate(Room room) {
  if (has(room)) return true;
  memory_.reset();  // before the larger one is there
  memory_ = memory_of(room);
  if (memory_.defined() && !room.pinned) advise_huge_pages(memory_);
  return memory_.defined();
}

at::Tensor ContentCopy::place(const at::Tensor& tensor, std::int64_t& offset) const {
  const auto size = static_cast<std::int64_t>(tensor.nbytes());
  at::Tensor to = memory_.narrow(0, offset, size).view(tensor.scalar_type()).view(tensor.sizes());
  offset += padded_size(tensor);
  return to;
}

bool ContentCopy::begin(CheckpointContent& content, std::string_view later) {
  const at::NoGradGuard no_grad;
  if (!allocate(room_for(content))) return false;
  now_.clear();
  later_.clear();
  std::int64_t offset = 0;
  const auto replace = [&](at::Tensor& tensor, std::vector<Pair>& pairs) {
    if (!is_dense(tensor)) return;
    at::Tensor to = place(tensor, offset);
    pairs.push_back({std::exchange(tensor, to), to});
  };
  for (auto& [name, tensor] : content.model) replace(tensor, now_);
  for (auto& [name, tensor] : content.trainer) {
    replace(tensor, !later.empty() && name.starts_with(later) ? later_ : now_);
  }
  copy_others(now_);
  cut_into_spans();
  return true;
}

// Those that are not plain.
void ContentCopy::copy_others(const std::vector<Pair>& pairs) {
  // A GPU works through its copies in order, so to wait for the last one is to wait for all.
  const auto last = std::find_if(pairs.rbegin(), pairs.rend(),
                                 [](const Pair& pair) { return pair.from.is_cuda(); });
  for (const Pair& pair : pairs) {
    if (is_plain(pair.from)) continue;
    const bool is_last = last != pairs.rend() && &pair == &*last;
    pair.to.copy_(pair.from, /*non_blocking=*/pair.from.is_cuda() && !is_last);
  }
}

// Pieces that each take a thread a tenth of a millisecond, so that two threads end together.
void ContentCopy::cut_into_spans() {
  constexpr std::size_t kSpan = std::size_t{1} << 20;
  spans_.clear();
  for (const auto& [from, to] : now_) {
    if (!is_plain(from)) continue;
    const auto* const source = static_cast<const char*>(from.const_data_ptr());
    auto* const target = static_cast<char*>(to.data_ptr());
    for (std::size_t begin = 0; begin < from.nbytes(); begin += kSpan) {
      spans_.push_back({source + begin, target + begin, std::min(kSpan, from.nbytes() - begin)});
    }
  }
  taken_ = 0;
  copied_ = 0;
}

void ContentCopy::copy_now() {
  for (std::size_t i = taken_++; i < spans_.size(); i = taken_++) {
    copy_bytes(spans_[i].to, spans_[i].from, spans_[i].size);
    if (copied_.fetch_add(1, std::memory_order_acq_rel) + 1 == spans_.size()) copied_.notify_all();
  }
  for (std::size_t copied = copied_; copied != spans_.size(); copied = copied_) {
    copied_.wait(copied);
  }
}

void ContentCopy::copy_later() {
  const at::NoGradGuard no_grad;
  copy_others(later_);
  for (const auto& [from, to] : later_) {
    if (is_plain(from)) {
      copy_bytes(static_cast<char*>(to.data_ptr()), static_cast<const char*>(from.const_data_ptr()),
                 from.nbytes());
    }
  }
  later_.clear();
}

void ContentCopy::clear() {
  spans_.clear();
  now_.clear();
  later_.clear();
  memory_.reset();
}

}  // namespace pergola::host
