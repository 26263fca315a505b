// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/callback.h"

namespace pergola {

Callback::Callback() = default;
Callback::~Callback() = default;
void Callback::on_init_start(TrainerState& /*state*/) {}
void Callback::on_init_end(TrainerState& /*state*/) {}
void Callback::on_train_start(TrainerState& /*state*/) {}
void Callback::on_update_start(TrainerState& /*state*/) {}
void Callback::on_batch_start(TrainerState& /*state*/, const SampleList& /*batch*/) {}
void Callback::on_batch_end(TrainerState& /*state*/, const SampleList& /*batch*/,
                            const ModelOutput& /*output*/) {}
void Callback::on_step_start(TrainerState& /*state*/) {}
void Callback::on_update_end(TrainerState& /*state*/, const SampleList& /*batch*/,
                             const ModelOutput& /*output*/) {}
void Callback::on_validation_start(TrainerState& /*state*/) {}
void Callback::on_validation_batch_start(TrainerState& /*state*/, const SampleList& /*batch*/) {}
void Callback::on_validation_batch_end(TrainerState& /*state*/, const SampleList& /*batch*/,
                                       const ModelOutput& /*output*/) {}
void Callback::on_validation_end(TrainerState& /*state*/, const Numbers& /*metrics*/) {}
void Callback::on_update_complete(TrainerState& /*state*/) {}
void Callback::on_train_end(TrainerState& /*state*/) {}
void Callback::on_prediction_start(TrainerState& /*state*/) {}
void Callback::on_test_start(TrainerState& /*state*/) {}
void Callback::on_test_batch_start(TrainerState& /*state*/, const SampleList& /*batch*/) {}
void Callback::on_test_batch_end(TrainerState& /*state*/, const SampleList& /*batch*/,
                                 const ModelOutput& /*output*/) {}
void Callback::on_test_end(TrainerState& /*state*/, const Numbers& /*metrics*/) {}
void Callback::on_prediction_end(TrainerState& /*state*/) {}
void Callback::on_exception(TrainerState& /*state*/, const std::string& /*message*/) noexcept {}
void Callback::teardown(TrainerState& /*state*/) noexcept {}
Value Callback::state_dict() const { return Value(Value::Table{}); }
void Callback::load_state_dict(const Value& /*state*/) {}
std::map<std::string, at::Tensor> Callback::tensors() const { return {}; }
void Callback::load_tensors(const std::map<std::string, at::Tensor>& /*tensors*/) {}

}  // namespace pergola
