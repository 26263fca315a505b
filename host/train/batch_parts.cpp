// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/batch_parts.h"

#include "host/device/memory.h"
#include "host/model/guard.h"
#include "host/support/log.h"
#include "host/train/own_fields.h"
#include "pergola/error.h"
#include "pergola/report.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <memory>
#include <set>
#include <utility>

namespace pergola::host {
namespace {

constexpr Hook kCopy{"the copy of a batch to the device"};

// What `get` returns; null where the field is of another kind.
template <class Get>
auto find_kind(Get get) -> decltype(&get()) {
  try {
    return &get();
  } catch (const Error&) {
    return nullptr;
  }
}

PackedTensor packed_rows(const PackedTensor& packed, std::int64_t begin, std::int64_t end) {
  const at::Tensor offsets = packed.offsets.narrow(0, begin, end - begin + 1);
  const auto first = offsets[0].item<std::int64_t>();
  const auto last = offsets[-1].item<std::int64_t>();
  return {packed.values.narrow(0, first, last - first), offsets - first};
}

template <class List>
List list_rows(const List& list, std::int64_t begin, std::int64_t end) {
  return {list.begin() + begin, list.begin() + end};
}

// A SampleList does not say of which kind a field is.
Field field_rows(const SampleList& batch, const std::string& name, std::int64_t begin,
                 std::int64_t end) {
  if (const auto* tensor = find_kind([&]() -> auto& { return batch.tensor(name); })) {
    return tensor->narrow(0, begin, end - begin);
  }
  if (const auto* packed = find_kind([&]() -> auto& { return batch.packed(name); })) {
    return packed_rows(*packed, begin, end);
  }
  if (const auto* list = find_kind([&]() -> auto& { return batch.tensors(name); })) {
    return list_rows(*list, begin, end);
  }
  if (const auto* list = find_kind([&]() -> auto& { return batch.strings(name); })) {
    return list_rows(*list, begin, end);
  }
  if (const auto* list = find_kind([&]() -> auto& { return batch.string_lists(name); })) {
    return list_rows(*list, begin, end);
  }
  return std::make_shared<const SampleList>(rows_of(batch.group(name), begin, end));
}

bool has_rows(const at::Tensor& tensor, std::int64_t count) {
  return tensor.defined() && tensor.dim() > 0 && tensor.size(0) == count;
}

// Rows one after the other, or the last of them, where one has other rows than its samples.
at::Tensor join_rows(const std::vector<at::Tensor>& parts, const std::vector<std::int64_t>& sizes) {
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (!has_rows(parts[i], sizes[i]) ||
        parts[i].sizes().slice(1) != parts.front().sizes().slice(1)) {
      return parts.back();
    }
  }
  return at::cat(parts);
}

// Of all samples that have the loss.
at::Tensor join_loss(const std::string& key, const std::vector<ModelOutput>& parts,
                     const std::vector<std::int64_t>& sizes) {
  std::vector<at::Tensor> values;
  at::Tensor sum;
  std::int64_t samples = 0;
  bool is_by_sample = true;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const auto loss = parts[i].losses->find(key);
    if (loss == parts[i].losses->end()) {
      is_by_sample = false;
      continue;
    }
    values.push_back(loss->second.detach());
    is_by_sample = is_by_sample && values.back().dim() == 1 && values.back().size(0) == sizes[i];
    const at::Tensor part = values.back().mean() * static_cast<double>(sizes[i]);
    sum = sum.defined() ? sum + part : part;
    samples += sizes[i];
  }
  return is_by_sample ? at::cat(values) : sum / static_cast<double>(samples);
}

}  // namespace

SampleList rows_of(const SampleList& batch, std::int64_t begin, std::int64_t end) {
  SampleList rows;
  for (const std::string& name : batch.fields()) {
    rows.add_field(name, field_rows(batch, name, begin, end));
  }
  rows.set_dataset(batch.dataset_name(), batch.dataset_type());
  return rows;
}

ModelOutput join_outputs(const std::vector<ModelOutput>& parts,
                         const std::vector<std::int64_t>& sizes) {
  PERGOLA_ASSERT(!parts.empty() && parts.size() == sizes.size());
  const at::NoGradGuard no_grad;
  const auto joined = [&](const auto& get) {
    std::vector<at::Tensor> tensors;
    for (const ModelOutput& part : parts) {
      const at::Tensor tensor = get(part);
      tensors.push_back(tensor.defined() ? tensor.detach() : tensor);
    }
    return join_rows(tensors, sizes);
  };
  ModelOutput whole;
  whole.scores = joined([](const ModelOutput& part) { return part.scores; });
  for (const auto& [key, field] : parts.back().fields) {
    whole.fields[key] = joined([&key = key](const ModelOutput& part) {
      const auto found = part.fields.find(key);
      return found == part.fields.end() ? at::Tensor() : found->second;
    });
  }
  if (!std::ranges::all_of(parts, [](const auto& part) { return part.losses.has_value(); })) {
    return whole;
  }
  std::set<std::string> keys;
  for (const ModelOutput& part : parts) {
    for (const auto& [key, loss] : *part.losses) keys.insert(key);
  }
  whole.losses.emplace();
  for (const std::string& key : keys) (*whole.losses)[key] = join_loss(key, parts, sizes);
  return whole;
}

SampleList BatchSplitter::to_device(const SampleList& batch) {
  shortage_ = nullptr;
  try {
    return guarded(kCopy, [&] { return batch.to(device_, /*non_blocking=*/true); });
  } catch (const OutOfMemory&) {
    shortage_ = std::current_exception();
  }
  return batch.get_fields(batch.fields());
}

void BatchSplitter::begin_whole(const SampleList& batch) {
  tried_ = batch.batch_size();
  if (shortage_) std::rethrow_exception(std::exchange(shortage_, nullptr));
}

bool BatchSplitter::halve() {
  if (tried_ <= 1) return false;
  most_ = (tried_ + 1) / 2;
  return true;
}

void BatchSplitter::for_each_part(const SampleList& batch,
                                  const std::function<void(const SampleList& part)>& work) {
  const std::int64_t samples = batch.batch_size();
  const std::int64_t count = splits(samples) ? (samples + most_ - 1) / most_ : 1;
  tried_ = (samples + count - 1) / count;
  SampleList on_cpu;
  const bool is_added_to = guarded(kCopy, [&] {
    const std::vector<std::string>& own = own_fields_of(batch);
    if (own.size() == batch.fields().size()) return false;
    on_cpu = batch.get_fields(own).to(at::kCPU);
    return true;
  });
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t begin = i * samples / count;
    const std::int64_t end = (i + 1) * samples / count;
    tried_ = end - begin;
    SampleList part = rows_of(is_added_to ? on_cpu : batch, begin, end);
    if (is_added_to) {
      guarded(Hook{"on_before_batch_transfer()", "model", key_of(model_)},
              [&] { model_.on_before_batch_transfer(part); });
    }
    work(guarded(kCopy, [&] { return std::move(part).to(device_); }));
  }
}

ModelOutput BatchSplitter::join(const SampleList& batch, const std::vector<ModelOutput>& parts,
                                const std::vector<std::int64_t>& sizes) const {
  ModelOutput whole = join_outputs(parts, sizes);
  bool is_there = true;
  batch.for_each_tensor([&](const at::Tensor& tensor) {
    if (tensor.device().type() != device_.type()) is_there = false;
  });
  return is_there ? std::move(whole) : Report{{}, std::move(whole)}.to(at::kCPU).output;
}

ModelOutput BatchSplitter::run(const SampleList& batch,
                               const std::function<ModelOutput(const SampleList& part)>& step) {
  while (true) {
    std::string problem;
    try {
      if (!splits(batch.batch_size())) {
        begin_whole(batch);
        return step(batch);
      }
      std::vector<ModelOutput> outputs;
      std::vector<std::int64_t> sizes;
      for_each_part(batch, [&](const SampleList& part) {
        outputs.push_back(step(part));
        sizes.push_back(part.batch_size());
      });
      return join(batch, outputs, sizes);
    } catch (const OutOfMemory& error) {
      problem = error.what();
      if (!halve()) throw;
    }
    log::warning("[memory] ", problem, "; it is done again, and goes on, with ", most_,
                 most_ == 1 ? " sample" : " samples",
                 " at a time, as training.on_out_of_memory = \"halve\" says");
    release_unused_memory(device_);  // only here nothing holds what failed any more
  }
}

const std::vector<std::string>& BatchSplitter::own_fields_of(const SampleList& batch) {
  std::vector<std::string> key = batch.fields();
  key.push_back(batch.dataset_name());
  const auto known = own_fields_.find(key);
  if (known != own_fields_.end()) return known->second;
  return own_fields_.emplace(std::move(key), own_fields(model_, batch)).first->second;
}

}  // namespace pergola::host
