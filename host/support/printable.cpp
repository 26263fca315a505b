// SPDX-License-Identifier: BSD-3-Clause
#include "host/support/printable.h"

#include <cstddef>
#include <cstdint>

namespace pergola::host {
namespace {

bool is_continuation(unsigned char byte) { return (byte & 0xC0) == 0x80; }

// U+200E, U+200F, U+2028 to U+202E and U+2066 to U+2069, which begin with E2: they let a terminal
// show what follows in another order, or on another line.
bool reorders(unsigned char second, unsigned char third) {
  if (second == 0x81) return third >= 0xA6 && third <= 0xA9;
  return second == 0x80 && ((third >= 0xA8 && third <= 0xAE) || third == 0x8E || third == 0x8F);
}

// The length of the printable UTF-8 character that `text` begins with; 0 when there is none.
std::size_t printable_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return lead >= 0x20 && lead != 0x7F ? 1 : 0;
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if (!is_continuation(byte(i))) return 0;
  }
  // Overlong forms, surrogates, beyond U+10FFFF, and the C1 controls, which terminals obey too.
  if (lead == 0xC2 && byte(1) < 0xA0) return 0;
  if ((lead == 0xE0 && byte(1) < 0xA0) || (lead == 0xED && byte(1) > 0x9F)) return 0;
  if (lead == 0xE2 && reorders(byte(1), byte(2))) return 0;
  if ((lead == 0xF0 && byte(1) < 0x90) || (lead == 0xF4 && byte(1) > 0x8F)) return 0;
  return length;
}

std::string escaped(std::string_view text, std::string_view kept) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length =
        kept.find(text[0]) != std::string_view::npos ? 1 : printable_length(text);
    if (length == 0) {
      const auto byte = static_cast<std::uint8_t>(text[0]);
      out += {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
      text.remove_prefix(1);
      continue;
    }
    out += text.substr(0, length);
    text.remove_prefix(length);
  }
  return out;
}

}  // namespace

std::string printable(std::string_view text) { return escaped(text, ""); }

std::string printable_lines(std::string_view text) { return escaped(text, "\n\t"); }

}  // namespace pergola::host
