// SPDX-License-Identifier: BSD-3-Clause
#include "host/checkpoint/crc32.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <random>
#include <string>

namespace pergola::host {
namespace {

std::uint32_t of_zlib(std::uint32_t crc, const char* bytes, std::size_t size) {
  return static_cast<std::uint32_t>(
      ::crc32_z(crc, reinterpret_cast<const Bytef*>(bytes), static_cast<z_size_t>(size)));
}

TEST(Crc32Test, IsThatOfZlibForEveryLengthPlaceAndBegin) {
  std::mt19937 random(3);
  std::string bytes(2000, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  for (std::size_t size = 0; size < 1500; ++size) {
    const char* begin = bytes.data() + size % 19;
    for (const std::uint32_t crc : {0U, 1U, 0xffffffffU, 0x12345678U}) {
      ASSERT_EQ(crc32_of(crc, begin, size), of_zlib(crc, begin, size)) << size << " bytes";
    }
  }
}

// The check value of the CRC's definition.
TEST(Crc32Test, TheCheckValueIsThatOfTheStandard) {
  EXPECT_EQ(crc32_of(0, "123456789", 9), 0xcbf43926);
}

TEST(Crc32Test, PiecesGiveTheCrcOfTheWhole) {
  const std::string bytes(777, 'x');
  const std::uint32_t first = crc32_of(0, bytes.data(), 300);
  EXPECT_EQ(crc32_of(first, bytes.data() + 300, 477), crc32_of(0, bytes.data(), 777));
}

}  // namespace
}  // namespace pergola::host
