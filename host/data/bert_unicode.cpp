// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/bert_unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <iterator>

namespace pergola::host {
namespace {

struct CodeRange {
  char32_t first;
  char32_t last;
};

// In these, what utf8proc calls a mark without a width is none. Ranges are as long as nothing in
// them is one for `tokenizers`, here and below. The test of all code points tells what misses.
constexpr CodeRange kNoAccents[] = {
    {0x7FD, 0x7FD},     {0x898, 0x8E1},     {0x9FE, 0x9FE},     {0xAFA, 0xAFF},
    {0xB55, 0xB55},     {0xC04, 0xC3C},     {0xD00, 0xD00},     {0xD3B, 0xD3C},
    {0xD81, 0xD81},     {0xEBA, 0xEBA},     {0xECE, 0xECE},     {0x180F, 0x1886},
    {0x1ABF, 0x1ACE},   {0x1DF6, 0x1DFB},   {0xA82C, 0xA82C},   {0xA8C5, 0xA8C5},
    {0xA8FF, 0xA8FF},   {0xA9BD, 0xA9BD},   {0x10D24, 0x10F85}, {0x11070, 0x11074},
    {0x110C2, 0x110C2}, {0x111C9, 0x111C9}, {0x111CF, 0x111CF}, {0x1123E, 0x11241},
    {0x1133B, 0x1133B}, {0x11438, 0x1145E}, {0x1182F, 0x13455}, {0x16F4F, 0x16F4F},
    {0x16FE4, 0x16FE4}, {0x1CF00, 0x1CF46}, {0x1E000, 0x1E4EF}, {0x1E944, 0x1E94A}};
constexpr char32_t kFormerAccent = 0x1734;  // has a width since Unicode 14

constexpr CodeRange kNoPunctuation[] = {{0x61D, 0x61D},     {0x9FD, 0xA76},     {0xC77, 0xC84},
                                        {0x1B7D, 0x1B7E},   {0x2E43, 0x2E5D},   {0x10EAD, 0x10F89},
                                        {0x1144B, 0x1145D}, {0x11660, 0x116B9}, {0x1183B, 0x11FFF},
                                        {0x12FF1, 0x12FF2}, {0x16E97, 0x16FE2}, {0x1E95E, 0x1E95F}};
// Were punctuation before Unicode 12 and 11.
constexpr char32_t kFormerPunctuation[] = {0x166D, 0x111C9};

constexpr CodeRange kNoFormats[] = {{0x890, 0x8E2}, {0x110CD, 0x1343F}};

// Marks that came after Unicode 9, and so have no class.
constexpr CodeRange kNoCombiningClass[] = {
    {0x7FD, 0x7FD},     {0x898, 0x8D3},     {0x9FE, 0x9FE},     {0xC3C, 0xC3C},
    {0xD3B, 0xD3C},     {0xEBA, 0xEBA},     {0x1715, 0x1715},   {0x1ABF, 0x1ACE},
    {0x1DF6, 0x1DFA},   {0xA82C, 0xA82C},   {0x10D24, 0x10F85}, {0x11070, 0x11070},
    {0x1133B, 0x1133B}, {0x1145E, 0x1145E}, {0x11839, 0x11A99}, {0x11D42, 0x11F42},
    {0x16FF0, 0x16FF1}, {0x1E08F, 0x1E4EF}};

constexpr char32_t kNoDecomposition = 0x11938;  // came with Unicode 13

// Capitals that came with Unicode 16 and 17.
struct LowerCase {
  CodeRange capitals;
  char32_t first;
};
constexpr LowerCase kNewCapitals[] = {{{0x1C89, 0x1C89}, 0x1C8A},    {{0xA7CB, 0xA7CB}, 0x264},
                                      {{0xA7CC, 0xA7CC}, 0xA7CD},    {{0xA7CE, 0xA7CE}, 0xA7CF},
                                      {{0xA7D2, 0xA7D2}, 0xA7D3},    {{0xA7D4, 0xA7D4}, 0xA7D5},
                                      {{0xA7DA, 0xA7DA}, 0xA7DB},    {{0xA7DC, 0xA7DC}, 0x19B},
                                      {{0x10D50, 0x10D65}, 0x10D70}, {{0x16EA0, 0x16EB8}, 0x16EBB}};

template <std::size_t n>
bool is_in(const CodeRange (&ranges)[n], char32_t code) {
  const auto* const after =
      std::upper_bound(std::begin(ranges), std::end(ranges), code,
                       [](char32_t value, const CodeRange& range) { return value < range.first; });
  return after != std::begin(ranges) && code <= std::prev(after)->last;
}

const utf8proc_property_t& properties_of(char32_t code) {
  return *utf8proc_get_property(static_cast<utf8proc_int32_t>(code));
}

bool is_ideograph(char32_t code) {
  // BERT's own list: extension E begins 0x100 late in it, and what came after E is not in it.
  static constexpr CodeRange kRanges[] = {
      {0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFAFF},  {0x20000, 0x2A6DF},
      {0x2A700, 0x2B81F}, {0x2B920, 0x2CEAF}, {0x2F800, 0x2FA1F}};
  return is_in(kRanges, code);
}

}  // namespace

BertClass bert_class(char32_t code) noexcept {
  if (code == '\t' || code == '\n' || code == '\r') return BertClass::kSpace;
  if (code == 0 || code == 0xFFFD) return BertClass::kDropped;
  switch (properties_of(code).category) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CO:
      return BertClass::kDropped;
    case UTF8PROC_CATEGORY_CF:
      return is_in(kNoFormats, code) ? BertClass::kOther : BertClass::kDropped;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return BertClass::kSpace;
    default:
      return is_ideograph(code) ? BertClass::kIdeograph : BertClass::kOther;
  }
}

bool is_bert_punctuation(char32_t code) noexcept {
  if (code < 0x80) {
    return (code >= '!' && code <= '/') || (code >= ':' && code <= '@') ||
           (code >= '[' && code <= '`') || (code >= '{' && code <= '~');
  }
  switch (properties_of(code).category) {
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
      return !is_in(kNoPunctuation, code);
    default:
      return code == kFormerPunctuation[0] || code == kFormerPunctuation[1];
  }
}

bool is_bert_accent(char32_t code) noexcept {
  if (properties_of(code).category == UTF8PROC_CATEGORY_MN) return !is_in(kNoAccents, code);
  return code == kFormerAccent;
}

std::uint8_t combining_class_of(char32_t code) noexcept {
  const auto order = static_cast<std::uint8_t>(properties_of(code).combining_class);
  return order != 0 && is_in(kNoCombiningClass, code) ? std::uint8_t{0} : order;
}

Decomposition decompose(char32_t code) noexcept {
  Decomposition result{{static_cast<utf8proc_int32_t>(code)}, 1};
  const utf8proc_property_t& properties = properties_of(code);
  const bool is_hangul = code >= 0xAC00 && code <= 0xD7A3;  // by a formula, not by a table
  const bool has_one = properties.decomp_seqindex != UINT16_MAX && properties.decomp_type == 0;
  if ((!is_hangul && !has_one) || code == kNoDecomposition) return result;
  int boundary_class = 0;  // for graphemes; not asked for
  const utf8proc_ssize_t size = utf8proc_decompose_char(
      result.codes[0], result.codes.data(), static_cast<utf8proc_ssize_t>(result.codes.size()),
      UTF8PROC_DECOMPOSE, &boundary_class);
  result.size = static_cast<std::size_t>(size);
  return result;
}

char32_t lower_case_of(char32_t code) noexcept {
  if (properties_of(code).category == UTF8PROC_CATEGORY_CN) {  // utf8proc does not know it
    for (const auto& [capitals, first] : kNewCapitals) {
      if (code >= capitals.first && code <= capitals.last) return first + (code - capitals.first);
    }
  }
  return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code)));
}

}  // namespace pergola::host
