// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/memory.h"

#include "host/support/log.h"
#include "pergola/error.h"

#include <c10/core/AllocatorConfig.h>
#include <c10/core/CachingDeviceAllocator.h>

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <exception>

namespace pergola::host {

namespace {

// LibTorch's interface of all caching allocators: the host links nothing of CUDA. Null on the CPU.
c10::DeviceAllocator* allocator_of(c10::Device device) {
  if (device.is_cpu()) return nullptr;
  return dynamic_cast<c10::DeviceAllocator*>(c10::GetAllocator(device.type()));
}

}  // namespace

std::optional<DeviceMemory> device_memory(c10::Device device) {
  c10::DeviceAllocator* const allocator = allocator_of(device);
  if (allocator == nullptr || !allocator->initialized()) return std::nullopt;
  const auto stats = allocator->getDeviceStats(device.index());
  constexpr auto kAll = static_cast<std::size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  const c10::CachingAllocator::Stat& allocated = stats.allocated_bytes[kAll];
  const c10::CachingAllocator::Stat& reserved = stats.reserved_bytes[kAll];
  return DeviceMemory{allocated.current, allocated.peak, reserved.current, reserved.peak,
                      stats.num_alloc_retries};
}

std::optional<DeviceRoom> device_room(c10::Device device) {
  c10::DeviceAllocator* const allocator = allocator_of(device);
  if (allocator == nullptr) return std::nullopt;
  const auto [free, total] = allocator->getMemoryInfo(device.index());
  return DeviceRoom{static_cast<std::int64_t>(total), static_cast<std::int64_t>(free)};
}

std::string describe(const DeviceMemory& memory) {
  return concat("at most ", bytes_text(memory.peak), " in tensors, ",
                bytes_text(memory.reserved_peak), " reserved; ", memory.retries,
                memory.retries == 1 ? " time" : " times",
                " memory kept unused had to be given back");
}

void release_unused_memory(c10::Device device) {
  c10::DeviceAllocator* const allocator = allocator_of(device);
  if (allocator != nullptr && allocator->initialized()) allocator->emptyCache();
}

std::string bytes_text(std::int64_t bytes) {
  constexpr std::array kUnits = {"KiB", "MiB", "GiB", "TiB"};
  if (bytes < 1024) return concat(bytes, bytes == 1 ? " byte" : " bytes");
  double number = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  for (; number >= 1023.995 && unit + 1 < kUnits.size(); ++unit) number /= 1024;
  char text[32];
  std::snprintf(text, sizeof(text), "%.2f %s", number, kUnits.at(unit));
  return text;
}

void set_allocator(const std::string& settings) {
  for (const char* variable : {"PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"}) {
    const char* const own = std::getenv(variable);
    if (own == nullptr) continue;
    log::info("[device] ", variable, " = ", own, " sets LibTorch's memory on the GPU",
              settings.empty() ? "" : ", and training.cuda_allocator has no effect");
    return;
  }
  if (settings.empty()) return;
  try {
    c10::CachingAllocator::setAllocatorSettings(settings);
  } catch (const std::exception& error) {
    const std::string text = error.what();  // LibTorch's go on with a stack trace
    throw Error(ErrorKind::kConfig, "training.cuda_allocator = \"", settings,
                "\" is not what LibTorch's allocator takes: ", text.substr(0, text.find('\n')),
                "; expected settings such as \"expandable_segments:True\" or "
                "\"max_split_size_mb:256\", with commas between them");
  }
}

std::int64_t process_memory() noexcept {
  const int fd = ::open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  char text[128] = {};
  const ssize_t count = ::read(fd, text, sizeof(text) - 1);
  ::close(fd);
  long long size = 0;
  long long resident = 0;  // pages, as is the first
  if (count <= 0 || std::sscanf(text, "%lld %lld", &size, &resident) != 2) return 0;
  return resident * ::sysconf(_SC_PAGESIZE);
}

}  // namespace pergola::host
