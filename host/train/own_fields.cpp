// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/own_fields.h"

#include "host/model/guard.h"
#include "host/train/batch_parts.h"
#include "pergola/error.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>

namespace pergola::host {
namespace {

// NaN equals itself.
bool is_same(const at::Tensor& one, const at::Tensor& other) {
  if (one.sizes() != other.sizes() || one.dtype() != other.dtype()) return false;
  return one.nbytes() == 0 || std::memcmp(one.contiguous().const_data_ptr(),
                                          other.contiguous().const_data_ptr(), one.nbytes()) == 0;
}

std::vector<at::Tensor> tensors_of(const SampleList& batch, const std::string& field) {
  std::vector<at::Tensor> tensors;
  batch.get_fields({field}).for_each_tensor(
      [&tensors](const at::Tensor& tensor) { tensors.push_back(tensor); });
  return tensors;
}

// Shares no memory, for what the hook writes to.
SampleList copy_of(const SampleList& batch) { return SampleList::concat({&batch}); }

void prepare(const BaseModel& model, SampleList& batch) {
  guarded(Hook{"on_before_batch_transfer()", "model", key_of(model)},
          [&] { model.on_before_batch_transfer(batch); });
}

bool is_added(const BaseModel& model, const SampleList& rest, const std::string& name) {
  if (rest.fields().empty()) return false;
  SampleList batch = copy_of(rest);
  try {
    prepare(model, batch);
  } catch (const Error&) {
    // It needs the field, and so is not who adds it; or it came to one that is there already.
  }
  return batch.has(name);
}

// Does the hook make this field of the batch's own again? Strings are not compared.
bool is_made_again(const SampleList& made, const SampleList& batch, const std::string& name) {
  return made.has(name) &&
         std::ranges::equal(tensors_of(made, name), tensors_of(batch, name), is_same);
}

void expect_unchanged(const BaseModel& model, const SampleList& own) {
  SampleList batch = copy_of(own);
  prepare(model, batch);
  for (const std::string& name : own.fields()) {
    if (is_made_again(batch, own, name)) continue;
    throw Error(ErrorKind::kPlugin, "on_before_batch_transfer() of model '", key_of(model),
                "' changes field '", name, "', and it has changed it before: a batch that is too ",
                "large for the memory cannot be prepared again, in parts; let the hook add fields ",
                "and change none, or set training.on_out_of_memory = \"stop\" and a smaller ",
                "training.batch_size");
  }
}

// What the hook adds where it lacks may still be the data set's: a default of the hook's differs.
// Of all samples, since places in a batch depend on the others.
void take_back_defaults(const BaseModel& model, const SampleList& batch,
                        std::vector<std::string>& own) {
  SampleList made = copy_of(batch.get_fields(own).to(at::kCPU));
  prepare(model, made);
  const SampleList found = batch.get_fields(batch.fields()).to(at::kCPU);
  for (const std::string& name : batch.fields()) {
    const bool is_removed = std::ranges::find(own, name) == own.end();
    if (is_removed && !is_made_again(made, found, name)) own.push_back(name);
  }
  std::ranges::sort(own);
}

}  // namespace

std::vector<std::string> own_fields(const BaseModel& model, const SampleList& batch) {
  const SampleList first = rows_of(batch, 0, 1).to(at::kCPU);
  const std::vector<std::string> all = first.fields();
  std::vector<std::string> own = all;
  // Anew after each that is found: the hook may refuse to add a second one that is there.
  for (auto name = own.begin(); name != own.end();) {
    std::vector<std::string> others = own;
    std::erase(others, *name);
    const bool is_models = is_added(model, first.get_fields(others), *name);
    if (is_models) own = std::move(others);
    name = is_models ? own.begin() : std::next(name);
  }
  if (own.size() == all.size()) return own;
  expect_unchanged(model, first.get_fields(own));
  take_back_defaults(model, batch, own);
  return own;
}

}  // namespace pergola::host
