// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/device_failure.h"

#include "host/support/log.h"
#include "pergola/error.h"

#include <array>
#include <atomic>
#include <cstdlib>
#include <new>
#include <string_view>

namespace pergola::host {
namespace {

constexpr const char* kBlocking = "CUDA_LAUNCH_BLOCKING";

struct Failure {
  std::string sentence;
  int code;
};

// Never freed: a terminate handler may look at it.
std::atomic<const Failure*> noted = nullptr;
std::atomic<bool> is_told = false;

[[noreturn]] void end_process() noexcept {
  const Failure& failure = *noted.load();
  if (!is_told.exchange(true)) log::write(LogLevel::kError, failure.sentence);
  std::_Exit(failure.code);
}

}  // namespace

std::string device_failure(const std::exception& error) {
  constexpr std::string_view kBegin = "CUDA error: ";
  // cudaGetErrorString() of the errors after which a context is of no more use.
  constexpr std::array<std::string_view, 11> kFatal = {
      "an illegal memory access",   "device-side assert",
      "unspecified launch failure", "misaligned address",
      "an illegal instruction",     "operation not supported on global/shared",
      "invalid program counter",    "hardware stack error",
      "the launch timed out",       "uncorrectable ECC error",
      "uncorrectable NVLink error"};
  const std::string_view text = error.what();
  const std::size_t begin = text.find(kBegin);
  const std::string_view line = text.substr(0, text.find('\n'));
  if (begin == std::string_view::npos || begin >= line.size()) return "";
  const std::string_view what = line.substr(begin + kBegin.size());
  for (const std::string_view fatal : kFatal) {
    if (what.find(fatal) != std::string_view::npos) return std::string(what);
  }
  return "";
}

std::string explain_device_failure(const std::string& failure) {
  const char* const blocking = std::getenv(kBlocking);
  const bool is_late = blocking == nullptr || std::string_view(blocking) != "1";
  return concat("the GPU reports '", failure, "', ",
                is_late ? "which CUDA tells late, so that work of before may be the cause: run "
                          "again with the variable CUDA_LAUNCH_BLOCKING=1, or with "
                          "training.detect_anomaly = true, to see where it happens"
                        : "and with CUDA_LAUNCH_BLOCKING=1 this is where it happened",
                "; this process can use the GPU no more");
}

void note_device_failure(const std::string& sentence, int code) noexcept {
  const auto* const failure = new (std::nothrow) Failure{sentence, code};
  const Failure* none = nullptr;
  if (failure == nullptr || !noted.compare_exchange_strong(none, failure)) return;
  std::set_terminate(&end_process);
}

void device_failure_was_told() noexcept { is_told = true; }

bool device_has_failed() noexcept { return noted.load() != nullptr; }

void tell_device_errors_at_once() { ::setenv(kBlocking, "1", /*overwrite=*/0); }

}  // namespace pergola::host
