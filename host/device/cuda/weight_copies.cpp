// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/cuda/weight_copies.h"

#include "host/device/cuda/launch.h"

#include <ATen/ATen.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <c10/core/InferenceMode.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/util/intrusive_ptr.h>

#include <cstdint>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

namespace pergola::cuda {
namespace {

using Impl = c10::TensorImpl;
using Weak = c10::weak_intrusive_ptr<Impl, c10::UndefinedTensorImpl>;

// A weight as it was. Averaged weights are put in place by exchanging memory, which no version
// counts.
struct State {
  std::uint32_t version;
  const void* memory;
  bool operator==(const State&) const = default;
};

State state_of(const at::Tensor& weight) {
  return {static_cast<std::uint32_t>(weight._version()), weight.const_data_ptr()};
}

struct Entry {
  Weak weight = Weak(c10::intrusive_ptr<Impl, c10::UndefinedTensorImpl>());
  at::Tensor copy;            // undefined: nobody has asked for one
  std::optional<State> of;    // what the copy was made of; nothing: out of date
  std::optional<State> seen;  // what it was made of, or recorded to be, when it was last written
  bool written = false;       // by a step of the optimizer
  bool moves = false;         // recorded work changes the weight
  bool recorded = false;      // such a step was recorded
  bool late = false;          // the copy came after that, so that replays do not write it
  bool was_current = false;   // when the step in hand began
};

// Rows of zeros behind those of a weight's copy, for products of whole ones.
std::int64_t rows_behind(const at::Tensor& weight) {
  constexpr std::int64_t kWhole = 8;
  return weight.dim() == 0 ? 0 : (kWhole - weight.size(0) % kWhole) % kWhole;
}

at::Tensor make_copy(const at::Tensor& weight) {
  const c10::InferenceMode normal(false);
  const at::AutoDispatchBelowADInplaceOrView no_autograd;
  const auto options = weight.options().dtype(at::kBFloat16).requires_grad(false);
  std::vector<std::int64_t> sizes = weight.sizes().vec();
  const std::int64_t more = rows_behind(weight);
  if (more == 0) return at::empty(sizes, options);
  sizes.front() += more;
  return at::empty(sizes, options).narrow(0, 0, weight.size(0));
}

// Written through: copies are no business of autograd, nor of inference mode.
void write(const at::Tensor& copy, const at::Tensor& weight) {
  const c10::InferenceMode normal(false);
  const at::AutoDispatchBelowADInplaceOrView no_autograd;
  copy.copy_(weight);
  const std::int64_t more = rows_behind(copy);
  if (more == 0) return;
  const std::int64_t behind = copy.storage_offset() + copy.numel();
  copy.as_strided({more * copy.stride(0)}, {1}, behind).zero_();
}

// A backward pass that has yet to read the copy is to throw, as one that has yet to read the
// weight.
void note_change(const at::Tensor& copy) { copy.unsafeGetTensorImpl()->bump_version(); }

class Table {
 public:
  at::Tensor copy_of(const at::Tensor& weight) {
    const std::lock_guard<std::mutex> lock(mutex_);
    Entry& entry = entry_of(weight);
    if (!entry.copy.defined()) {
      entry.copy = make_copy(weight);
      entry.late = entry.recorded;
    }
    const State now = state_of(weight);
    // A write through data() counts no version, so only the optimizer that writes the copy too is
    // trusted. What is recorded is refreshed before each replay.
    if (entry.of != now || (!entry.written && !is_recording())) {
      rewrite(entry, weight, now);
      // What is recorded has not been done.
      if (!entry.late && !is_recording()) entry.of = now;
    }
    return entry.copy;
  }

  void refresh() {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (auto item = entries_.begin(); item != entries_.end();) {
      Entry& entry = item->second;
      const auto impl = entry.weight.lock();
      if (!impl) {
        item = entries_.erase(item);
        continue;
      }
      if (entry.copy.defined()) refresh(entry, at::Tensor(impl));
      ++item;
    }
  }

  // What is recorded counts versions as if it were done; its replays do not.
  void note_recorded() {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (auto& [address, entry] : entries_) {
      const auto impl = entry.weight.lock();
      if (!impl || !entry.of) continue;
      if (entry.of->version == state_of(at::Tensor(impl)).version) continue;
      entry.moves = true;
      steps_are_recorded_ = true;
    }
  }

  void* begin(const at::Tensor& weight, bool recording) {
    const std::lock_guard<std::mutex> lock(mutex_);
    steps_are_recorded_ = steps_are_recorded_ || recording;
    Entry* const entry = recording ? &entry_of(weight) : find(weight);
    if (entry == nullptr) return nullptr;
    entry->recorded = entry->recorded || recording;
    // A copy lies as a dense tensor does; the weight may lie in another order.
    if (!entry->copy.defined() || !weight.is_contiguous()) return nullptr;
    entry->was_current = entry->of == state_of(weight);
    return entry->copy.mutable_data_ptr();
  }

  void end(const at::Tensor& weight, bool recording) {
    const std::lock_guard<std::mutex> lock(mutex_);
    Entry* const entry = find(weight);
    if (entry == nullptr || !entry->copy.defined() || !weight.is_contiguous()) return;
    entry->written = true;
    if (!recording) note_change(entry->copy);
    entry->seen = state_of(weight);
    // A version counts when a step is recorded, too, though neither of the two has changed. Of a
    // copy that nothing has written yet, the step writes no rows behind.
    const bool current = recording ? entry->was_current : !entry->late && entry->of.has_value();
    entry->of = current ? std::optional(state_of(weight)) : std::nullopt;
  }

 private:
  Entry* find(const at::Tensor& weight) {
    const auto found = entries_.find(weight.unsafeGetTensorImpl());
    return found == entries_.end() ? nullptr : &found->second;
  }

  Entry& entry_of(const at::Tensor& weight) {
    if (Entry* const known = find(weight)) return *known;
    std::erase_if(entries_, [](const auto& item) { return item.second.weight.expired(); });
    Entry entry;
    entry.weight = Weak(weight.getIntrusivePtr());
    return entries_.emplace(weight.unsafeGetTensorImpl(), std::move(entry)).first->second;
  }

  // One that is made again to be sure is not known to change.
  static void rewrite(Entry& entry, const at::Tensor& weight, const State& now) {
    write(entry.copy, weight);
    if (std::exchange(entry.seen, now).value_or(now) != now) note_change(entry.copy);
  }

  // Replays change a weight without counting a version: only those of the optimizer that writes the
  // copy leave the two alike.
  void refresh(Entry& entry, const at::Tensor& weight) {
    const bool trusted = (!weight.requires_grad() && !entry.moves) ||
                         (entry.written && !entry.late) || !steps_are_recorded_;
    const State now = state_of(weight);
    if (trusted && entry.of == now) return;
    const c10::cuda::CUDAGuard guard(weight.device());
    rewrite(entry, weight, now);
    entry.of = trusted && !is_recording() ? std::optional(now) : std::nullopt;
  }

  std::mutex mutex_;
  bool steps_are_recorded_ = false;  // in this process: of any weight
  // A weight's address is not another's while the entry is here: a weak pointer keeps the object.
  std::unordered_map<const Impl*, Entry> entries_;
};

// Not destroyed: when a process ends, CUDA may be gone before.
Table& table() {
  static Table& all = *new Table;
  return all;
}

}  // namespace

at::Tensor low_precision_copy(const at::Tensor& weight) {
  if (!weight.is_leaf() || weight.is_inference()) {
    const at::Tensor own = make_copy(weight);
    write(own, weight);
    return own;
  }
  return table().copy_of(weight);
}

void refresh_weight_copies() { table().refresh(); }

void note_recorded_work() { table().note_recorded(); }

void* begin_copy_of(const at::Tensor& weight, bool recording) {
  return table().begin(weight, recording);
}

void end_copy_of(const at::Tensor& weight, bool recording) { table().end(weight, recording); }

}  // namespace pergola::cuda
