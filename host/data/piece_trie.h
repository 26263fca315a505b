// SPDX-License-Identifier: BSD-3-Clause
// Finds the longest of many byte strings that a text begins with, in one pass over it: a trie whose
// edges lie in one hash table. Constant once built; thread-safe then.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace pergola::host {

class PieceTrie {
 public:
  static constexpr std::uint32_t kNoNode = 0;  // nothing leads from it
  static constexpr std::uint32_t kRoot = 1;
  static constexpr std::int32_t kNoId = -1;

  // The strings' ids are their places; of equal ones the last counts, empty ones are left out.
  explicit PieceTrie(const std::vector<std::string_view>& strings);

  // The node that `prefix` leads to, or kNoNode.
  [[nodiscard]] std::uint32_t find(std::string_view prefix) const;

  struct Match {
    std::int32_t id;
    std::size_t size;
  };
  // The longest string that is the way to `node` and then a part of `text`, at least one byte;
  // {kNoId, 0} when there is none.
  [[nodiscard]] Match longest(std::uint32_t node, std::string_view text) const;

 private:
  // The node, the byte, where to: 28, 8 and 28 bits. 0 where there is no edge.
  using Edge = std::uint64_t;

  [[nodiscard]] std::size_t slot_of(std::uint32_t node, unsigned char byte) const;
  [[nodiscard]] std::uint32_t child(std::uint32_t node, unsigned char byte) const;

  std::vector<Edge> edges_;        // open addressing; a power of 2, at most half full
  std::vector<std::int32_t> ids_;  // of the nodes
};

}  // namespace pergola::host
