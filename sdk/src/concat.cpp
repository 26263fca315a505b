// SPDX-License-Identifier: BSD-3-Clause
// Rows of several batches in one: PackedTensor::pack and SampleList::concat.
#include "pergola/error.h"
#include "pergola/sample_list.h"
#include "pergola/suggest.h"

#include <ATen/ATen.h>

namespace pergola {
namespace {

// Dimension 0 aside, the rows must be of one kind.
void require_alike(const at::Tensor& first, const at::Tensor& other, const std::string& what) {
  const auto inner = [](const at::Tensor& tensor) { return tensor.sizes().slice(1); };
  if (first.dim() > 0 && other.dim() > 0 && inner(first) == inner(other) &&
      first.dtype() == other.dtype() && first.device() == other.device()) {
    return;
  }
  throw Error(ErrorKind::kData, what, " is ", other.dtype(), " ", other.sizes(), " on ",
              other.device(), " and the first one ", first.dtype(), " ", first.sizes(), " on ",
              first.device(), "; they may differ in dimension 0 alone");
}

// The field of kind T of each part.
template <class T>
std::vector<const T*> parts_of(const std::vector<const Field*>& fields, const std::string& name) {
  std::vector<const T*> parts;
  for (const Field* field : fields) {
    parts.push_back(std::get_if<T>(field));
    if (parts.back() != nullptr) continue;
    throw Error(ErrorKind::kData, "field '", name, "' of part ", parts.size() - 1,
                " has another kind than that of part 0");
  }
  return parts;
}

at::Tensor concat_tensors(const std::vector<const Field*>& fields, const std::string& name) {
  std::vector<at::Tensor> tensors;
  for (const at::Tensor* part : parts_of<at::Tensor>(fields, name)) {
    tensors.push_back(*part);
    require_alike(tensors.front(), *part,
                  concat("field '", name, "' of part ", tensors.size() - 1));
  }
  return at::cat(tensors);
}

PackedTensor concat_packed(const std::vector<const Field*>& fields, const std::string& name) {
  std::vector<at::Tensor> values;
  std::vector<at::Tensor> offsets;
  std::int64_t rows = 0;
  for (const PackedTensor* part : parts_of<PackedTensor>(fields, name)) {
    const std::int64_t own = part->offsets[-1].item<std::int64_t>();  // rows behind are nobody's
    values.push_back(part->values.narrow(0, 0, own));
    require_alike(values.front(), part->values,
                  concat("field '", name, "' of part ", values.size() - 1));
    offsets.push_back((offsets.empty() ? part->offsets : part->offsets.slice(0, 1)) + rows);
    rows += own;
  }
  return {at::cat(values), at::cat(offsets)};
}

// Lists, one after the other.
template <class List>
List concat_lists(const std::vector<const Field*>& fields, const std::string& name) {
  List all;
  for (const List* part : parts_of<List>(fields, name)) {
    all.insert(all.end(), part->begin(), part->end());
  }
  return all;
}

Field concat_fields(const std::vector<const Field*>& fields, const std::string& name) {
  const Field& first = *fields.front();
  if (std::holds_alternative<at::Tensor>(first)) return concat_tensors(fields, name);
  if (std::holds_alternative<PackedTensor>(first)) return concat_packed(fields, name);
  if (std::holds_alternative<Strings>(first)) return concat_lists<Strings>(fields, name);
  if (std::holds_alternative<std::vector<Strings>>(first)) {
    return concat_lists<std::vector<Strings>>(fields, name);
  }
  if (std::holds_alternative<std::vector<at::Tensor>>(first)) {
    return concat_lists<std::vector<at::Tensor>>(fields, name);
  }
  std::vector<const SampleList*> groups;
  for (const auto* group : parts_of<std::shared_ptr<const SampleList>>(fields, name)) {
    groups.push_back(group->get());
  }
  return std::make_shared<const SampleList>(SampleList::concat(groups));
}

}  // namespace

PackedTensor PackedTensor::pack(const std::vector<at::Tensor>& rows) {
  PERGOLA_ASSERT(!rows.empty());
  std::vector<std::int64_t> offsets = {0};
  for (const at::Tensor& row : rows) {
    require_alike(rows.front(), row, concat("row ", offsets.size() - 1, " of a packed tensor"));
    offsets.push_back(offsets.back() + row.size(0));
  }
  return {at::cat(rows), at::tensor(offsets, at::kLong).to(rows.front().device())};
}

std::vector<at::Tensor> PackedTensor::rows() const {
  const at::Tensor ends = offsets.cpu();
  const auto* end = ends.const_data_ptr<std::int64_t>();
  std::vector<at::Tensor> rows;
  for (std::int64_t i = 0; i + 1 < ends.size(0); ++i) {
    rows.push_back(values.slice(0, end[i], end[i + 1]));
  }
  return rows;
}

SampleList SampleList::concat(const std::vector<const SampleList*>& parts) {
  PERGOLA_ASSERT(!parts.empty());
  SampleList all;
  const SampleList& first = *parts.front();
  for (const auto& [name, field] : first.fields_) {
    std::vector<const Field*> fields;
    for (const SampleList* part : parts) {
      const auto found = part->fields_.find(name);
      if (found == part->fields_.end() || part->fields_.size() != first.fields_.size()) {
        throw Error(ErrorKind::kData, "batches of the fields ", join(first.fields()), " and ",
                    join(part->fields()), " cannot be joined; they need the same fields");
      }
      fields.push_back(&found->second);
    }
    all.add_field(name, concat_fields(fields, name));
  }
  all.set_dataset(first.dataset_name_, first.dataset_type_);
  return all;
}

}  // namespace pergola
