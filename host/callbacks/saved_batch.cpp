// SPDX-License-Identifier: BSD-3-Clause
#include "host/callbacks/saved_batch.h"

#include "host/checkpoint/safetensors.h"
#include "host/support/files.h"
#include "host/support/json.h"
#include "pergola/error.h"

#include <utility>
#include <vector>

namespace pergola::host {
namespace {

// The field `name` if it is of the kind that `get` reads, else null: a SampleList does not say of
// which kind a field is.
template <class T>
const T* field_if(const SampleList& batch, const std::string& name,
                  const T& (SampleList::*get)(std::string_view) const) {
  try {
    return &(batch.*get)(name);
  } catch (const Error&) {
    return nullptr;
  }
}

void collect_tensors(const SampleList& batch, const std::string& prefix, StateDict& tensors) {
  for (const std::string& field : batch.fields()) {
    const std::string name = prefix + field;
    if (const auto* tensor = field_if(batch, field, &SampleList::tensor)) {
      tensors.emplace_back(name, tensor->detach());
    } else if (const auto* list = field_if(batch, field, &SampleList::tensors)) {
      for (std::size_t i = 0; i < list->size(); ++i) {
        tensors.emplace_back(concat(name, ".", i), (*list)[i].detach());
      }
    } else if (const auto* packed = field_if(batch, field, &SampleList::packed)) {
      tensors.emplace_back(name + ".values", packed->values.detach());
      tensors.emplace_back(name + ".offsets", packed->offsets);
    } else if (const auto* group = field_if(batch, field, &SampleList::group)) {
      collect_tensors(*group, name + ".", tensors);
    }
  }
}

Value to_value(const Strings& strings) { return Value::Array(strings.begin(), strings.end()); }

void collect_strings(const SampleList& batch, const std::string& prefix, Value& strings) {
  for (const std::string& field : batch.fields()) {
    const std::string name = prefix + field;
    if (const auto* list = field_if(batch, field, &SampleList::strings)) {
      strings[name] = to_value(*list);
    } else if (const auto* lists = field_if(batch, field, &SampleList::string_lists)) {
      Value::Array rows;
      for (const Strings& row : *lists) rows.push_back(to_value(row));
      strings[name] = std::move(rows);
    } else if (const auto* group = field_if(batch, field, &SampleList::group)) {
      collect_strings(*group, name + ".", strings);
    }
  }
}

}  // namespace

StateDict tensors_of(const SampleList& batch) {
  StateDict tensors;
  collect_tensors(batch, "", tensors);
  return tensors;
}

Value strings_of(const SampleList& batch) {
  Value strings{Value::Table{}};
  collect_strings(batch, "", strings);
  return strings;
}

void save_batch(const std::filesystem::path& stem, const SampleList& batch, Value facts) {
  make_directories(stem.parent_path());
  write_safetensors(stem.string() + ".safetensors", tensors_of(batch));
  facts["dataset"] = batch.dataset_name();
  facts["split"] = batch.dataset_type();
  facts["strings"] = strings_of(batch);
  write_file_atomic(stem.string() + ".json", to_json(facts, /*indent=*/2) + '\n');
}

}  // namespace pergola::host
