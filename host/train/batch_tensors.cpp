// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/batch_tensors.h"

#include "pergola/error.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <memory>
#include <utility>

namespace pergola::host {
namespace {

using FieldKind = BatchTensors::Kind;

bool alike(const at::Tensor& one, const at::Tensor& other) {
  return one.scalar_type() == other.scalar_type() && one.sizes() == other.sizes() &&
         one.strides() == other.strides() && one.device() == other.device() &&
         one.is_conj() == other.is_conj() && one.is_neg() == other.is_neg();
}

// Rebuilds the fields from number `next` on, up to the end of the group that they are in.
SampleList rebuild(const BatchTensors& batch, std::size_t& next, std::size_t& next_tensor) {
  const std::vector<at::Tensor>& tensors = batch.tensors;
  SampleList list;
  for (; next < batch.names.size() && batch.kinds[next] != FieldKind::kGroupEnd; ++next) {
    const std::string& name = batch.names[next];
    if (batch.kinds[next] == FieldKind::kTensor) {
      list.add_field(name, tensors[next_tensor++]);
    } else if (batch.kinds[next] == FieldKind::kPacked) {
      list.add_field(name, PackedTensor{tensors[next_tensor], tensors[next_tensor + 1]});
      next_tensor += 2;
    } else if (batch.kinds[next] == FieldKind::kGroup) {
      SampleList group = rebuild(batch, ++next, next_tensor);
      if (group.fields().empty()) continue;  // of strings alone
      list.add_field(name, std::make_shared<const SampleList>(std::move(group)));
    }
  }
  return list;
}

}  // namespace

bool BatchTensors::is_like(const BatchTensors& other) const {
  return kinds == other.kinds && tensors.size() == other.tensors.size() &&
         std::equal(tensors.begin(), tensors.end(), other.tensors.begin(), alike) &&
         names == other.names && dataset_name == other.dataset_name &&
         dataset_type == other.dataset_type;
}

std::string BatchTensors::problem(c10::Device device) const {
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    if (kinds[i] == FieldKind::kList)
      return concat("its field '", names[i], "' is a list of tensors");
  }
  for (const at::Tensor& tensor : tensors) {
    if (tensor.device() != device) {
      return concat("one of its tensors is on ", tensor.device().str(), ", not on ", device.str());
    }
    if (tensor.layout() != at::kStrided || !tensor.is_non_overlapping_and_dense()) {
      return "one of its tensors has gaps";
    }
    if (tensor.is_conj() || tensor.is_neg()) return "one of its tensors is conjugated or negated";
  }
  return tensors.empty() ? "it has no tensors" : "";
}

BatchTensors BatchReader::read(const SampleList& batch) {
  BatchTensors result;
  result.dataset_name = batch.dataset_name();
  result.dataset_type = batch.dataset_type();
  read_fields(batch, "", result);
  return result;
}

void BatchReader::read_fields(const SampleList& batch, const std::string& path,
                              BatchTensors& into) {
  constexpr FieldKind kTried[] = {FieldKind::kTensor,      FieldKind::kPacked, FieldKind::kStrings,
                                  FieldKind::kStringLists, FieldKind::kList,   FieldKind::kGroup};
  for (const std::string& name : batch.fields()) {
    const std::string place = path + name;
    const auto known = kinds_.find(place);
    if (known != kinds_.end() && read_as(known->second, batch, name, place, into)) continue;
    for (const FieldKind kind : kTried) {
      if (!read_as(kind, batch, name, place, into)) continue;
      kinds_[place] = kind;
      break;
    }
  }
}

bool BatchReader::read_as(BatchTensors::Kind kind, const SampleList& batch, const std::string& name,
                          const std::string& path, BatchTensors& into) {
  const auto add = [&](FieldKind found) {
    into.names.push_back(name);
    into.kinds.push_back(found);
  };
  try {
    if (kind == FieldKind::kTensor) {
      into.tensors.push_back(batch.tensor(name));
    } else if (kind == FieldKind::kPacked) {
      const PackedTensor& packed = batch.packed(name);
      into.tensors.insert(into.tensors.end(), {packed.values, packed.offsets});
    } else if (kind == FieldKind::kList) {
      static_cast<void>(batch.tensors(name));
    } else if (kind == FieldKind::kGroup) {
      const SampleList& group = batch.group(name);
      add(FieldKind::kGroup);
      read_fields(group, path + ".", into);
      into.names.emplace_back();
      into.kinds.push_back(FieldKind::kGroupEnd);
      return true;
    } else if (kind == FieldKind::kStrings) {
      static_cast<void>(batch.strings(name));
    } else {
      static_cast<void>(batch.string_lists(name));
    }
  } catch (const Error&) {
    return false;  // it is of another kind
  }
  add(kind);
  return true;
}

SampleList BatchMemory::place(BatchTensors& batch) {
  std::vector<at::Tensor> tensors;
  for (const at::Tensor& like : batch.tensors) {
    tensors.push_back(place_tensor(tensors.size(), like));
  }
  copy_tensors(batch.tensors, tensors);  // on the CPU, what is no packed field is refused
  batch.tensors = std::move(tensors);
  std::size_t next = 0;
  std::size_t next_tensor = 0;
  SampleList list = rebuild(batch, next, next_tensor);
  list.set_dataset(batch.dataset_name, batch.dataset_type);
  return list;
}

at::Tensor BatchMemory::place_tensor(std::size_t index, const at::Tensor& like) {
  const at::NoGradGuard no_grad;
  if (index >= buffers_.size()) buffers_.resize(index + 1);
  at::Tensor& buffer = buffers_[index];
  if (!buffer.defined() || buffer.scalar_type() != like.scalar_type() ||
      buffer.device() != like.device() || buffer.numel() < like.numel()) {
    buffer = at::empty({like.numel()}, like.options());
  }
  return buffer.as_strided(like.sizes(), like.strides());
}

void copy_tensors(const std::vector<at::Tensor>& from, const std::vector<at::Tensor>& to) {
  const at::NoGradGuard no_grad;
  std::vector<bool> done(from.size());
  std::vector<at::Tensor> sources;
  std::vector<at::Tensor> targets;
  for (std::size_t first = 0; first < from.size(); ++first) {
    if (done[first]) continue;
    sources.clear();
    targets.clear();
    for (std::size_t i = first; i < from.size(); ++i) {
      if (done[i] || from[i].scalar_type() != from[first].scalar_type()) continue;
      done[i] = true;
      sources.push_back(from[i]);
      targets.push_back(to[i]);
    }
    at::_foreach_copy_(targets, sources, /*non_blocking=*/true);
  }
}

}  // namespace pergola::host
