// SPDX-License-Identifier: BSD-3-Clause
// Sample: what a data set and its processors make of one item. SampleList: one batch, named fields
// that share dimension 0 (after MMF's mmf/common/sample.py).
// Both own their tensors and are moved, never copied silently. Not thread-safe.
// Legend: B = batch.
#pragma once

#include "pergola/export.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace pergola {

class SampleList;

using Strings = std::vector<std::string>;

// Tensors [n_i, ...] of different length n_i, one after the other: row i is
// values[offsets[i] : offsets[i + 1]]. What kernels for sequences without padding read.
struct PackedTensor {
  at::Tensor values;   // [sum of n_i, ...]; more rows behind them belong to no sample
  at::Tensor offsets;  // int64 [B + 1]; begins with 0, ascends, ends with the sum of n_i

  // Copies each row once. Throws Error{kData} for a 0-d row, or one of another dtype, device or
  // shape beyond dimension 0.  REQUIRES: rows is not empty.
  [[nodiscard]] PERGOLA_API static PackedTensor pack(const std::vector<at::Tensor>& rows);
  // The rows, sharing the memory of `values`. Reads `offsets`, and so waits for its device.
  [[nodiscard]] PERGOLA_API std::vector<at::Tensor> rows() const;
};

// A tensor whose shape differs from sample to sample: collated to a list of tensors, or, with
// kPacked, to a PackedTensor; not stacked. All samples have one dtype.
struct RaggedTensor {
  enum class Form { kList, kPacked };

  at::Tensor tensor;
  Form form = Form::kList;
};

class Sample;
using SampleField =
    std::variant<at::Tensor, RaggedTensor, std::string, Strings, std::shared_ptr<const Sample>>;

class PERGOLA_API Sample {
 public:
  Sample() = default;
  Sample(Sample&&) = default;
  Sample& operator=(Sample&&) = default;
  Sample(const Sample&) = delete;
  Sample& operator=(const Sample&) = delete;
  ~Sample() = default;

  // Adds or replaces a field. Throws Error{kData} naming it for a group that is null,
  // or a tensor that is undefined.
  void set(std::string name, SampleField value);
  void erase(std::string_view name);
  [[nodiscard]] bool has(std::string_view name) const;

  // Throw Error{kData} that lists the fields there are, when it is missing or of another kind.
  [[nodiscard]] const at::Tensor& tensor(std::string_view name) const;
  [[nodiscard]] const std::string& string(std::string_view name) const;
  [[nodiscard]] const Strings& strings(std::string_view name) const;
  [[nodiscard]] const RaggedTensor& ragged(std::string_view name) const;
  [[nodiscard]] const Sample& group(std::string_view name) const;

  [[nodiscard]] const std::map<std::string, SampleField, std::less<>>& fields() const noexcept {
    return fields_;
  }

 private:
  std::map<std::string, SampleField, std::less<>> fields_;
};

// A batch's field: [B, ...] tensor, B tensors of any shape, B packed rows, B strings, B lists of
// strings, or a group of fields with the same B (MMF's image_info_0).
using Field = std::variant<at::Tensor, std::vector<at::Tensor>, PackedTensor, Strings,
                           std::vector<Strings>, std::shared_ptr<const SampleList>>;

// Where a batch is put together. A GPU copies from page-locked memory on its own; it needs CUDA.
enum class HostMemory { kPageable, kPageLocked };

class PERGOLA_API SampleList {
 public:
  SampleList() = default;
  SampleList(SampleList&&) = default;
  SampleList& operator=(SampleList&&) = default;
  SampleList(const SampleList&) = delete;
  SampleList& operator=(const SampleList&) = delete;
  ~SampleList() = default;

  // Stacks the samples' fields: tensors of one shape to [B, ...] (0-d ones to [B]), the others to
  // lists. Throws Error{kData} naming field and sample when a field misses, is additional, has
  // another kind, or another shape. With kPageLocked stacked tensors are there at once; for what is
  // in lists or packed, pin_memory() copies.  REQUIRES: samples is not empty.
  [[nodiscard]] static SampleList collate(const std::vector<Sample>& samples,
                                          HostMemory memory = HostMemory::kPageable);

  // The rows of all `parts`, one after the other; dataset_name and dataset_type are the first
  // one's. Throws Error{kData} naming a field that is not in all of them, has another kind, or
  // other shapes or dtypes.  REQUIRES: parts is not empty, nor is one of them null.
  [[nodiscard]] static SampleList concat(const std::vector<const SampleList*>& parts);

  // Adds a field. Throws Error{kData} naming it when its dimension 0 is not the batch size, it is a
  // 0-d or undefined tensor, a group that is null or has no fields, or the name is taken.
  void add_field(std::string name, Field value);
  // The same, but an existing field is replaced.
  void set_field(std::string name, Field value);

  [[nodiscard]] bool has(std::string_view name) const;
  // Throw Error{kData} that lists the fields there are, when it is missing or of another kind.
  [[nodiscard]] const at::Tensor& tensor(std::string_view name) const;
  [[nodiscard]] const std::vector<at::Tensor>& tensors(std::string_view name) const;
  [[nodiscard]] const PackedTensor& packed(std::string_view name) const;
  [[nodiscard]] const Strings& strings(std::string_view name) const;
  [[nodiscard]] const std::vector<Strings>& string_lists(std::string_view name) const;
  [[nodiscard]] const SampleList& group(std::string_view name) const;

  [[nodiscard]] std::vector<std::string> fields() const;
  // The named fields alone, sharing their tensors. Throws Error{kData} for one that is missing.
  [[nodiscard]] SampleList get_fields(const std::vector<std::string>& names) const;

  // Throws Error{kData} when there is no field yet.
  [[nodiscard]] std::int64_t batch_size() const;

  // Which data set and split the batch is from ("easy_vqa", "train"); part of every loss's and
  // metric's key.
  [[nodiscard]] const std::string& dataset_name() const noexcept { return dataset_name_; }
  [[nodiscard]] const std::string& dataset_type() const noexcept { return dataset_type_; }
  void set_dataset(std::string name, std::string type);

  // Calls `visit` with every tensor, those of lists, packed rows and groups included.
  void for_each_tensor(const std::function<void(const at::Tensor&)>& visit) const;

  // All tensors on `device`; what is there already is shared, not copied. A tensor that is in two
  // fields is moved once, here and below.
  [[nodiscard]] SampleList to(at::Device device, bool non_blocking = false) const&;
  [[nodiscard]] SampleList to(at::Device device, bool non_blocking = false) &&;  // copies no string
  // The same with all CPU tensors in page-locked memory.  REQUIRES: CUDA is loaded.
  [[nodiscard]] SampleList pin_memory() const&;
  [[nodiscard]] SampleList pin_memory() &&;

 private:
  // The same fields, sharing tensors and groups.
  [[nodiscard]] SampleList copy() const;
  // The same batch with `change` applied to every tensor.
  [[nodiscard]] SampleList mapped(const std::function<at::Tensor(const at::Tensor&)>& change) &&;

  std::map<std::string, Field, std::less<>> fields_;
  std::int64_t batch_size_ = -1;
  std::string dataset_name_;
  std::string dataset_type_;
};

}  // namespace pergola
