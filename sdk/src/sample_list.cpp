// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/sample_list.h"

#include "pergola/error.h"
#include "pergola/suggest.h"

#include <ATen/ATen.h>

namespace pergola {
namespace {

template <class Map>
std::vector<std::string> keys_of(const Map& map) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : map) keys.push_back(key);
  return keys;
}

// The field of kind T, or an Error{kData} that says what there is.
template <class T, class Map>
const T& get_field(const Map& fields, std::string_view name, const char* holder, const char* kind) {
  const auto found = fields.find(name);
  if (found == fields.end()) {
    throw Error(ErrorKind::kData, "field '", name, "' is not in the ", holder,
                "; it has: ", join(keys_of(fields)), "; check the data set's processors");
  }
  const T* value = std::get_if<T>(&found->second);
  if (value == nullptr) {
    throw Error(ErrorKind::kData, "field '", name, "' of the ", holder, " is not ", kind,
                "; check the data set's processors");
  }
  return *value;
}

std::int64_t size_of(const std::string& name, const PackedTensor& packed) {
  const auto& [values, offsets] = packed;
  const bool defined = values.defined() && offsets.defined();
  if (!defined || values.dim() == 0 || offsets.dim() != 1 || offsets.size(0) < 2 ||
      offsets.scalar_type() != at::kLong) {
    throw Error(ErrorKind::kData, "field '", name, "' is packed as values ",
                defined ? pergola::concat(values.sizes()) : "(none)", " with ",
                defined ? pergola::concat(offsets.dtype(), " offsets ", offsets.sizes()) : "(none)",
                "; expected values [rows, ...] and int64 offsets [batch + 1]");
  }
  // On another device it was checked before it was moved, and looking would wait for the device.
  const bool fits =
      !offsets.device().is_cpu() ||
      (offsets[0].item<std::int64_t>() == 0 && offsets[-1].item<std::int64_t>() <= values.size(0) &&
       offsets.diff().ge(0).all().item<bool>());
  if (!fits) {
    throw Error(ErrorKind::kData, "field '", name, "' is packed with offsets that do not fit ",
                values.size(0),
                " rows; they begin with 0, ascend, and end with at most that number");
  }
  return offsets.size(0) - 1;
}

std::int64_t size_of(const std::string& name, const Field& field) {
  if (const auto* tensor = std::get_if<at::Tensor>(&field)) {
    if (!tensor->defined() || tensor->dim() == 0) {
      throw Error(ErrorKind::kData, "field '", name, "' is ",
                  tensor->defined() ? "a 0-d" : "an undefined",
                  " tensor; a batch's field needs the batch as its dimension 0");
    }
    return tensor->size(0);
  }
  if (const auto* list = std::get_if<std::vector<at::Tensor>>(&field)) {
    for (const at::Tensor& tensor : *list) {
      if (tensor.defined()) continue;
      throw Error(ErrorKind::kData, "field '", name,
                  "' has an undefined tensor in its list; each sample needs one");
    }
    return static_cast<std::int64_t>(list->size());
  }
  if (const auto* packed = std::get_if<PackedTensor>(&field)) return size_of(name, *packed);
  if (const auto* list = std::get_if<Strings>(&field)) {
    return static_cast<std::int64_t>(list->size());
  }
  if (const auto* list = std::get_if<std::vector<Strings>>(&field)) {
    return static_cast<std::int64_t>(list->size());
  }
  const auto& group = std::get<std::shared_ptr<const SampleList>>(field);
  if (group == nullptr || group->fields().empty()) {
    throw Error(ErrorKind::kData, "field '", name, "' is a group ",
                group == nullptr ? "that is null" : "without fields",
                "; a batch's group has at least one field, or is left out");
  }
  return group->batch_size();
}

// Visits the same field of every sample; all must hold a T.
template <class T, class Take>
void for_each_sample(const std::vector<const Sample*>& samples, const std::string& name,
                     Take take) {
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const auto found = samples[i]->fields().find(name);
    if (found == samples[i]->fields().end()) {
      throw Error(ErrorKind::kData, "sample ", i, " of the batch has no field '", name,
                  "', which sample 0 has; all samples of a batch need the same fields");
    }
    const T* value = std::get_if<T>(&found->second);
    if (value == nullptr) {
      throw Error(ErrorKind::kData, "field '", name, "' of sample ", i,
                  " has another kind than that of sample 0");
    }
    take(*value, i);
  }
}

at::Tensor stack(const std::vector<const Sample*>& samples, const std::string& name,
                 HostMemory memory) {
  std::vector<at::Tensor> parts;
  parts.reserve(samples.size());
  for_each_sample<at::Tensor>(samples, name, [&](const at::Tensor& tensor, std::size_t i) {
    if (i > 0 && (tensor.sizes() != parts[0].sizes() || tensor.dtype() != parts[0].dtype())) {
      throw Error(ErrorKind::kData, "field '", name, "' of sample ", i, " is ", tensor.dtype(), " ",
                  tensor.sizes(), ", that of sample 0 is ", parts[0].dtype(), " ", parts[0].sizes(),
                  "; pad them to one shape, or make it a RaggedTensor");
    }
    parts.push_back(tensor);
  });
  const at::NoGradGuard no_grad;  // data learns nothing
  const bool copies = memory == HostMemory::kPageLocked && parts[0].device().is_cpu();
  if (!copies) return at::stack(parts);
  std::vector<std::int64_t> sizes = parts[0].sizes().vec();
  sizes.insert(sizes.begin(), static_cast<std::int64_t>(parts.size()));
  at::Tensor batch = at::empty(sizes, parts[0].options().pinned_memory(true));
  return at::stack_out(batch, parts);
}

std::vector<at::Tensor> ragged_rows(const std::vector<const Sample*>& samples,
                                    const std::string& name) {
  std::vector<at::Tensor> rows;
  rows.reserve(samples.size());
  for_each_sample<RaggedTensor>(samples, name, [&](const RaggedTensor& value, std::size_t i) {
    if (i > 0 && value.tensor.dtype() != rows[0].dtype()) {
      throw Error(ErrorKind::kData, "field '", name, "' of sample ", i, " is ",
                  value.tensor.dtype(), ", that of sample 0 is ", rows[0].dtype(),
                  "; make them of one dtype");
    }
    rows.push_back(value.tensor);
  });
  return rows;
}

SampleList collate_samples(const std::vector<const Sample*>& samples, HostMemory memory) {
  SampleList batch;
  for (const auto& [name, first] : samples[0]->fields()) {
    if (std::holds_alternative<at::Tensor>(first)) {
      batch.add_field(name, stack(samples, name, memory));
    } else if (const auto* ragged = std::get_if<RaggedTensor>(&first)) {
      std::vector<at::Tensor> list = ragged_rows(samples, name);
      if (ragged->form == RaggedTensor::Form::kPacked) {
        batch.add_field(name, PackedTensor::pack(list));
      } else {
        batch.add_field(name, std::move(list));
      }
    } else if (std::holds_alternative<std::string>(first)) {
      Strings list;
      for_each_sample<std::string>(
          samples, name, [&](const std::string& value, std::size_t) { list.push_back(value); });
      batch.add_field(name, std::move(list));
    } else if (std::holds_alternative<Strings>(first)) {
      std::vector<Strings> list;
      for_each_sample<Strings>(samples, name,
                               [&](const Strings& value, std::size_t) { list.push_back(value); });
      batch.add_field(name, std::move(list));
    } else {
      using Group = std::shared_ptr<const Sample>;
      std::vector<const Sample*> group;
      for_each_sample<Group>(
          samples, name, [&](const Group& value, std::size_t) { group.push_back(value.get()); });
      batch.add_field(name, std::make_shared<const SampleList>(collate_samples(group, memory)));
    }
  }
  for (std::size_t i = 1; i < samples.size(); ++i) {
    if (samples[i]->fields().size() == samples[0]->fields().size()) continue;
    for (const auto& [name, value] : samples[i]->fields()) {
      if (samples[0]->has(name)) continue;
      throw Error(ErrorKind::kData, "sample ", i, " of the batch has a field '", name,
                  "', which sample 0 has not; all samples of a batch need the same fields");
    }
  }
  return batch;
}

using Change = std::function<at::Tensor(const at::Tensor&)>;

// `field` with `change` applied to every tensor in it; strings are moved.
Field map_tensors(Field field, const Change& change) {
  if (const auto* tensor = std::get_if<at::Tensor>(&field)) return change(*tensor);
  if (auto* list = std::get_if<std::vector<at::Tensor>>(&field)) {
    for (at::Tensor& tensor : *list) tensor = change(tensor);
  } else if (auto* packed = std::get_if<PackedTensor>(&field)) {
    *packed = PackedTensor{change(packed->values), change(packed->offsets)};
  }
  return field;
}

// `change` that is made once for a tensor, however many fields hold it.
Change once(const Change& change) {
  return [change,
          seen = std::make_shared<std::map<const void*, at::Tensor>>()](const at::Tensor& tensor) {
    if (!tensor.defined()) return tensor;
    at::Tensor& changed = (*seen)[tensor.unsafeGetTensorImpl()];
    if (!changed.defined()) changed = change(tensor);
    return changed;
  };
}

}  // namespace

void Sample::set(std::string name, SampleField value) {
  const auto* group = std::get_if<std::shared_ptr<const Sample>>(&value);
  if (group != nullptr && *group == nullptr) {
    throw Error(ErrorKind::kData, "field '", name,
                "' is a group that is null; set it to a Sample, or leave it out");
  }
  const auto* tensor = std::get_if<at::Tensor>(&value);
  const auto* ragged = std::get_if<RaggedTensor>(&value);
  if ((tensor != nullptr && !tensor->defined()) ||
      (ragged != nullptr && !ragged->tensor.defined())) {
    throw Error(ErrorKind::kData, "field '", name,
                "' is a tensor that is undefined; set it to one with values, or leave it out");
  }
  fields_.insert_or_assign(std::move(name), std::move(value));
}

void Sample::erase(std::string_view name) {
  const auto found = fields_.find(name);
  if (found != fields_.end()) fields_.erase(found);
}

bool Sample::has(std::string_view name) const { return fields_.find(name) != fields_.end(); }

const at::Tensor& Sample::tensor(std::string_view name) const {
  return get_field<at::Tensor>(fields_, name, "sample", "a tensor");
}

const std::string& Sample::string(std::string_view name) const {
  return get_field<std::string>(fields_, name, "sample", "a string");
}

const Strings& Sample::strings(std::string_view name) const {
  return get_field<Strings>(fields_, name, "sample", "a list of strings");
}

const RaggedTensor& Sample::ragged(std::string_view name) const {
  return get_field<RaggedTensor>(fields_, name, "sample", "a ragged tensor");
}

const Sample& Sample::group(std::string_view name) const {
  return *get_field<std::shared_ptr<const Sample>>(fields_, name, "sample", "a group of fields");
}

SampleList SampleList::collate(const std::vector<Sample>& samples, HostMemory memory) {
  PERGOLA_ASSERT(!samples.empty());
  std::vector<const Sample*> pointers;
  pointers.reserve(samples.size());
  for (const Sample& sample : samples) pointers.push_back(&sample);
  return collate_samples(pointers, memory);
}

void SampleList::add_field(std::string name, Field value) {
  if (has(name)) {
    throw Error(ErrorKind::kData, "field '", name,
                "' is already in the batch; use set_field to replace it");
  }
  set_field(std::move(name), std::move(value));
}

void SampleList::set_field(std::string name, Field value) {
  const std::int64_t size = size_of(name, value);
  const bool alone = fields_.empty() || (fields_.size() == 1 && has(name));
  if (!alone && size != batch_size_) {
    throw Error(ErrorKind::kData, "field '", name, "' has ", size, " rows, the batch has ",
                batch_size_, "; all fields of a batch share dimension 0");
  }
  batch_size_ = size;
  fields_.insert_or_assign(std::move(name), std::move(value));
}

bool SampleList::has(std::string_view name) const { return fields_.find(name) != fields_.end(); }

const at::Tensor& SampleList::tensor(std::string_view name) const {
  return get_field<at::Tensor>(fields_, name, "batch", "a tensor");
}

const std::vector<at::Tensor>& SampleList::tensors(std::string_view name) const {
  return get_field<std::vector<at::Tensor>>(fields_, name, "batch", "a list of tensors");
}

const PackedTensor& SampleList::packed(std::string_view name) const {
  return get_field<PackedTensor>(fields_, name, "batch", "a packed tensor");
}

const Strings& SampleList::strings(std::string_view name) const {
  return get_field<Strings>(fields_, name, "batch", "a list of strings");
}

const std::vector<Strings>& SampleList::string_lists(std::string_view name) const {
  return get_field<std::vector<Strings>>(fields_, name, "batch", "a list of lists of strings");
}

const SampleList& SampleList::group(std::string_view name) const {
  return *get_field<std::shared_ptr<const SampleList>>(fields_, name, "batch", "a group of fields");
}

std::vector<std::string> SampleList::fields() const { return keys_of(fields_); }

SampleList SampleList::get_fields(const std::vector<std::string>& names) const {
  SampleList part;
  for (const std::string& name : names) {
    const auto found = fields_.find(name);
    if (found == fields_.end()) {
      throw Error(ErrorKind::kData, "field '", name,
                  "' is not in the batch; it has: ", join(fields()), did_you_mean(name, fields()));
    }
    part.add_field(name, found->second);
  }
  part.set_dataset(dataset_name_, dataset_type_);
  return part;
}

std::int64_t SampleList::batch_size() const {
  if (batch_size_ < 0) throw Error(ErrorKind::kData, "the batch has no field yet, so no size");
  return batch_size_;
}

void SampleList::set_dataset(std::string name, std::string type) {
  dataset_name_ = std::move(name);
  dataset_type_ = std::move(type);
}

void SampleList::for_each_tensor(const std::function<void(const at::Tensor&)>& visit) const {
  for (const auto& [name, field] : fields_) {
    if (const auto* tensor = std::get_if<at::Tensor>(&field)) {
      visit(*tensor);
    } else if (const auto* list = std::get_if<std::vector<at::Tensor>>(&field)) {
      for (const at::Tensor& each : *list) visit(each);
    } else if (const auto* packed = std::get_if<PackedTensor>(&field)) {
      visit(packed->values);
      visit(packed->offsets);
    } else if (const auto* group = std::get_if<std::shared_ptr<const SampleList>>(&field)) {
      (*group)->for_each_tensor(visit);
    }
  }
}

SampleList SampleList::copy() const {
  SampleList result;
  result.fields_ = fields_;
  result.batch_size_ = batch_size_;
  result.set_dataset(dataset_name_, dataset_type_);
  return result;
}

SampleList SampleList::mapped(const Change& change) && {
  for (auto& [name, field] : fields_) {
    auto* group = std::get_if<std::shared_ptr<const SampleList>>(&field);
    if (group != nullptr) {
      *group = std::make_shared<const SampleList>((*group)->copy().mapped(change));
    } else {
      field = map_tensors(std::move(field), change);
    }
  }
  return std::move(*this);
}

SampleList SampleList::to(at::Device device, bool non_blocking) const& {
  return copy().to(device, non_blocking);
}
SampleList SampleList::to(at::Device device, bool non_blocking) && {
  return std::move(*this).mapped(
      once([=](const at::Tensor& tensor) { return tensor.to(device, non_blocking); }));
}

SampleList SampleList::pin_memory() const& { return copy().pin_memory(); }
SampleList SampleList::pin_memory() && {
  return std::move(*this).mapped(once([](const at::Tensor& tensor) {
    return tensor.device().is_cpu() ? tensor.pin_memory() : tensor;
  }));
}

}  // namespace pergola
