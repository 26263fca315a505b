// SPDX-License-Identifier: BSD-3-Clause
// zlib's own takes longer than reading the file does. Where the processor multiplies polynomials,
// the bytes are folded instead: 128 at a time, then 16, into 16 that have the same remainder modulo
// the CRC's polynomial P (Gopal et al., "Fast CRC Computation for Generic Polynomials Using
// PCLMULQDQ Instruction", Intel 2009). zlib takes these and the tail.
#include "host/checkpoint/crc32.h"

#include <zlib.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

namespace pergola::host {
namespace {

std::uint32_t zlib_crc32(std::uint32_t crc, const void* bytes, std::size_t size) {
  return static_cast<std::uint32_t>(::crc32_z(crc, static_cast<const Bytef*>(bytes), size));
}

#ifdef __x86_64__

constexpr std::size_t kLane = 16;
constexpr std::size_t kLanes = 8;
constexpr std::size_t kBlock = kLanes * kLane;

// x^n mod P with its bits reflected: n = 1056 and 992 move a lane by eight lanes, 160 and 96 by
// one.
constexpr long long kX1056 = 0x1e88ef372;
constexpr long long kX992 = 0x14a7fe880;
constexpr long long kX160 = 0x1751997d0;
constexpr long long kX96 = 0x0ccaa009e;

__attribute__((target("pclmul"))) __m128i fold(__m128i lane, __m128i by) {
  return _mm_xor_si128(_mm_clmulepi64_si128(lane, by, 0x00), _mm_clmulepi64_si128(lane, by, 0x11));
}

__m128i load(const char* bytes) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)); }

// Both fold `blocks` blocks into the lanes.
__attribute__((target("pclmul"))) void fold_blocks(__m128i* lanes, const char* bytes,
                                                   std::size_t blocks) {
  const __m128i by = _mm_set_epi64x(kX992, kX1056);
  for (; blocks > 0; --blocks, bytes += kBlock) {
    for (std::size_t i = 0; i < kLanes; ++i) {
      lanes[i] = _mm_xor_si128(fold(lanes[i], by), load(bytes + i * kLane));
    }
  }
}

// Two lanes at once.
__attribute__((target("vpclmulqdq,avx2"))) void fold_blocks_wide(__m128i* lanes, const char* bytes,
                                                                 std::size_t blocks) {
  constexpr std::size_t kPairs = kLanes / 2;
  const __m256i by = _mm256_set_epi64x(kX992, kX1056, kX992, kX1056);
  __m256i pairs[kPairs];
  for (std::size_t i = 0; i < kPairs; ++i) {
    pairs[i] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(lanes + 2 * i));
  }
  for (; blocks > 0; --blocks, bytes += kBlock) {
    for (std::size_t i = 0; i < kPairs; ++i) {
      const __m256i next =
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes + i * 2 * kLane));
      pairs[i] = _mm256_xor_si256(_mm256_xor_si256(_mm256_clmulepi64_epi128(pairs[i], by, 0x00),
                                                   _mm256_clmulepi64_epi128(pairs[i], by, 0x11)),
                                  next);
    }
  }
  for (std::size_t i = 0; i < kPairs; ++i) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes + 2 * i), pairs[i]);
  }
}

// REQUIRES: size is a multiple of kLane, and kBlock at least.
__attribute__((target("pclmul"))) std::uint32_t folded_crc32(std::uint32_t crc, const char* bytes,
                                                             std::size_t size) {
  static const bool kWide =
      __builtin_cpu_supports("vpclmulqdq") != 0 && __builtin_cpu_supports("avx2") != 0;
  __m128i lanes[kLanes];
  for (std::size_t i = 0; i < kLanes; ++i) lanes[i] = load(bytes + i * kLane);
  lanes[0] = _mm_xor_si128(lanes[0], _mm_cvtsi32_si128(static_cast<int>(~crc)));
  const std::size_t blocks = size / kBlock - 1;
  (kWide ? fold_blocks_wide : fold_blocks)(lanes, bytes + kBlock, blocks);
  bytes += (1 + blocks) * kBlock;
  size -= (1 + blocks) * kBlock;
  const __m128i by = _mm_set_epi64x(kX96, kX160);
  __m128i last = lanes[0];
  for (std::size_t i = 1; i < kLanes; ++i) last = _mm_xor_si128(fold(last, by), lanes[i]);
  for (; size > 0; bytes += kLane, size -= kLane) {
    last = _mm_xor_si128(fold(last, by), load(bytes));
  }
  // The inverted start is in the lanes already.
  return zlib_crc32(~std::uint32_t{0}, &last, sizeof(last));
}

#endif

}  // namespace

std::uint32_t crc32_of(std::uint32_t crc, const char* bytes, std::size_t size) {
#ifdef __x86_64__
  static const bool kFolds = __builtin_cpu_supports("pclmul") != 0;
  if (kFolds && size >= kBlock) {
    const std::size_t whole = size / kLane * kLane;
    crc = folded_crc32(crc, bytes, whole);
    bytes += whole;
    size -= whole;
  }
#endif
  return zlib_crc32(crc, bytes, size);
}

}  // namespace pergola::host
