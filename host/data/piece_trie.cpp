// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/piece_trie.h"

#include "pergola/error.h"

#include <algorithm>
#include <bit>
#include <numeric>

namespace pergola::host {
namespace {

constexpr unsigned kNodeBits = 28;
constexpr std::uint64_t kNodeMask = (std::uint64_t{1} << kNodeBits) - 1;

std::uint64_t key_of(std::uint32_t node, unsigned char byte) {
  return (std::uint64_t{node} << 8U) | byte;
}

// kNoNode, the root, and one for each byte that no string before has in its place.
std::size_t count_nodes(std::vector<std::string_view> strings) {
  std::sort(strings.begin(), strings.end());
  std::size_t count = 2;
  std::string_view before;
  for (const std::string_view string : strings) {
    const auto shared =
        std::mismatch(before.begin(), before.end(), string.begin(), string.end()).second;
    count += static_cast<std::size_t>(string.end() - shared);
    before = string;
  }
  return count;
}

}  // namespace

PieceTrie::PieceTrie(const std::vector<std::string_view>& strings) {
  const std::size_t nodes = count_nodes(strings);
  PERGOLA_ASSERT(nodes <= kNodeMask);
  edges_.resize(std::bit_ceil(2 * nodes));
  ids_.reserve(nodes);
  ids_.assign(2, kNoId);
  for (std::size_t id = 0; id < strings.size(); ++id) {
    if (strings[id].empty()) continue;
    std::uint32_t node = kRoot;
    for (const char c : strings[id]) {
      const auto byte = static_cast<unsigned char>(c);
      Edge& edge = edges_[slot_of(node, byte)];
      if (edge == 0) {
        edge = (key_of(node, byte) << kNodeBits) | ids_.size();
        ids_.push_back(kNoId);
      }
      node = static_cast<std::uint32_t>(edge & kNodeMask);
    }
    ids_[node] = static_cast<std::int32_t>(id);
  }
}

std::size_t PieceTrie::slot_of(std::uint32_t node, unsigned char byte) const {
  constexpr std::uint64_t kGoldenRatio = 0x9E3779B97F4A7C15;  // of 2^64: spreads small numbers
  const std::uint64_t key = key_of(node, byte);
  std::size_t slot = (key * kGoldenRatio >> 32U) & (edges_.size() - 1);
  while (edges_[slot] != 0 && edges_[slot] >> kNodeBits != key) {
    slot = (slot + 1) & (edges_.size() - 1);
  }
  return slot;
}

std::uint32_t PieceTrie::child(std::uint32_t node, unsigned char byte) const {
  return static_cast<std::uint32_t>(edges_[slot_of(node, byte)] & kNodeMask);
}

std::uint32_t PieceTrie::find(std::string_view prefix) const {
  std::uint32_t node = kRoot;
  for (const char c : prefix) {
    node = child(node, static_cast<unsigned char>(c));
    if (node == kNoNode) return kNoNode;
  }
  return node;
}

PieceTrie::Match PieceTrie::longest(std::uint32_t node, std::string_view text) const {
  Match best{kNoId, 0};
  for (std::size_t i = 0; i < text.size(); ++i) {
    node = child(node, static_cast<unsigned char>(text[i]));
    if (node == kNoNode) break;
    if (ids_[node] != kNoId) best = {ids_[node], i + 1};
  }
  return best;
}

}  // namespace pergola::host
