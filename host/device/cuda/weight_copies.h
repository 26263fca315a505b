// SPDX-License-Identifier: BSD-3-Clause
// bfloat16 copies of float32 weights, one for the whole process and each weight, in memory that
// stays where it is: a forward pass under autocast need not make its own, and a recorded one reads
// what is there when it is replayed. A copy is made again when the weight's version or memory has
// changed since, and for each forward pass that is not recorded unless the fused optimizers write
// it along with the weight. Any thread whose streams are ordered.
#pragma once

#include <ATen/core/Tensor.h>

namespace pergola::cuda {

// The copy of a leaf, of its shape and dense; of another tensor, one for the caller alone. Its
// memory goes on, with zeros, until the first dimension is a multiple of 8. It is read and not
// written to, and is what the weight was when it was last asked for. Its version counts when its
// numbers change, so that a backward pass throws that would read others than the forward pass.
// While a graph is recorded, one that is out of date is made by the graph, at each replay.
// REQUIRES: weight is float32, on a GPU.
[[nodiscard]] at::Tensor low_precision_copy(const at::Tensor& weight);

// Makes all copies again that are out of date. Called before a graph is recorded or replayed:
// weights may have changed in between, by averaging or a checkpoint. Once steps are recorded,
// weights that learn, but not by an optimizer that writes their copies, count as changed.
void refresh_weight_copies();

// Called after a graph is recorded: one that changes weights is a step.
void note_recorded_work();

// What such an optimizer does. The memory of the weight's copy, or null where there is none:
[[nodiscard]] void* begin_copy_of(const at::Tensor& weight, bool recording);
// and when the weight, its copy and its version are written, or recorded:
void end_copy_of(const at::Tensor& weight, bool recording);

}  // namespace pergola::cuda
