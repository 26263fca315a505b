// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/rng.h"

#include "pergola/error.h"

#include <numeric>
#include <utility>

namespace pergola {
namespace {

constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15;  // 2^64 / golden ratio, odd

std::uint64_t mix(std::uint64_t z) noexcept {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

}  // namespace

Rng::Rng(std::uint64_t seed, std::uint64_t stream, std::uint64_t index) noexcept
    : state_(mix(mix(mix(seed + kGolden) + stream + kGolden) + index + kGolden)) {}

std::uint64_t Rng::next() noexcept { return mix(state_ += kGolden); }

double Rng::uniform() noexcept { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

std::uint64_t Rng::below(std::uint64_t bound) noexcept {
  const std::uint64_t rest = (0 - bound) % bound;  // 2^64 mod bound: those draws are thrown away
  std::uint64_t draw = next();
  while (draw < rest) draw = next();
  return draw % bound;
}

std::vector<std::int64_t> permutation(std::int64_t size, std::uint64_t seed, std::uint64_t stream) {
  PERGOLA_ASSERT(size >= 0);
  std::vector<std::int64_t> order(static_cast<std::size_t>(size));
  std::iota(order.begin(), order.end(), 0);
  Rng rng(seed, stream);
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[rng.below(i)]);
  return order;
}

}  // namespace pergola
