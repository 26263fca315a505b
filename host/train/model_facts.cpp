// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/model_facts.h"

#include <algorithm>
#include <unordered_set>

namespace pergola::host {

ModelFacts::ModelFacts(BaseModel& model) : model_(model) { renew(); }

bool ModelFacts::hold() const {
  return model_.is_training() == trains_ &&
         std::all_of(places_.begin(), places_.end(),
                     [](const Place& place) {
                       return place.tensor.const_data_ptr() == place.memory &&
                              place.tensor.requires_grad() == place.trained;
                     }) &&
         std::all_of(modes_.begin(), modes_.end(),
                     [](const Mode& mode) { return mode.module->is_training() == mode.trains; });
}

void ModelFacts::renew() {
  trains_ = model_.is_training();
  places_.clear();
  modes_.clear();
  for (const auto& tensors : {model_.parameters(), model_.buffers()}) {
    for (const at::Tensor& tensor : tensors) {
      if (!tensor.defined()) continue;
      places_.push_back({tensor, tensor.const_data_ptr(), tensor.requires_grad()});
    }
  }
  // Without the model itself, which may be nobody's shared_ptr.
  for (const auto& module : model_.modules(/*include_self=*/false)) {
    modes_.push_back({module, module->is_training()});
  }
}

std::string ModelFacts::parameter_beside(const std::vector<at::Tensor>& known) const {
  std::unordered_set<const void*> impls;
  for (const at::Tensor& tensor : known) impls.insert(tensor.unsafeGetTensorImpl());
  for (const auto& item : model_.named_parameters()) {
    const at::Tensor& parameter = item.value();
    if (parameter.requires_grad() && !impls.contains(parameter.unsafeGetTensorImpl())) {
      return item.key();
    }
  }
  return "";
}

}  // namespace pergola::host
