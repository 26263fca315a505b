// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/autocast.h"

#include <ATen/Context.h>
#include <ATen/Version.h>
#include <ATen/autocast_mode.h>

namespace pergola::host {
namespace {

// Autocast hands an LSTM to oneDNN also where that has none in this type: in fp16 on nearly all
// processors, in bf16 on those without AVX-512. LibTorch's own LSTM has them all.
bool needs_librarys_own(c10::DeviceType type, Precision precision) {
  static const bool has_avx512 = at::get_cpu_capability() == "AVX512";
  return type == c10::kCPU && (precision == Precision::kFp16 || !has_avx512);
}

}  // namespace

AutocastScope::AutocastScope(c10::Device device, Precision precision)
    : active_(precision == Precision::kBf16 || precision == Precision::kFp16),
      type_(device.type()) {
  if (!active_) return;
  was_enabled_ = at::autocast::is_autocast_enabled(type_);
  dtype_before_ = at::autocast::get_autocast_dtype(type_);
  at::autocast::set_autocast_enabled(type_, true);
  at::autocast::set_autocast_dtype(type_,
                                   precision == Precision::kBf16 ? at::kBFloat16 : at::kHalf);
  at::autocast::increment_nesting();
  onednn_before_ = at::globalContext().userEnabledMkldnn();
  if (needs_librarys_own(type_, precision)) at::globalContext().setUserEnabledMkldnn(false);
}

AutocastScope::~AutocastScope() {
  if (!active_) return;
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(type_, was_enabled_);
  at::autocast::set_autocast_dtype(type_, dtype_before_);
  at::globalContext().setUserEnabledMkldnn(onednn_before_);
}

void apply_precision(Precision precision, c10::Device device) {
  if (device.is_cpu()) return;
  // Both of LibTorch's ways to say it agree then; it throws where they do not.
  at::globalContext().setAllowTF32CuBLAS(precision == Precision::kTf32);
  at::globalContext().setAllowTF32CuDNN(precision == Precision::kTf32);
}

}  // namespace pergola::host
