// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/memory.h"

#include <c10/core/CachingDeviceAllocator.h>

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>

namespace pergola::host {

std::optional<DeviceMemory> device_memory(c10::Device device) {
  if (device.is_cpu()) return std::nullopt;
  // LibTorch's interface of all caching allocators: the host links nothing of CUDA.
  auto* allocator = dynamic_cast<c10::DeviceAllocator*>(c10::GetAllocator(device.type()));
  if (allocator == nullptr || !allocator->initialized()) return std::nullopt;
  const auto stats = allocator->getDeviceStats(device.index());
  constexpr auto kAll = static_cast<std::size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  const c10::CachingAllocator::Stat& bytes = stats.allocated_bytes[kAll];
  return DeviceMemory{bytes.current, bytes.peak};
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
