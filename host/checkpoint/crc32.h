// SPDX-License-Identifier: BSD-3-Clause
// The CRC-32 of ZIP files, at the speed at which memory is read. Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pergola::host {

// Of the bytes that `crc` is of and these after them; 0 is that of no bytes. The same number as
// zlib's crc32.
[[nodiscard]] std::uint32_t crc32_of(std::uint32_t crc, const char* bytes, std::size_t size);

}  // namespace pergola::host
