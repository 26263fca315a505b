// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/bert_words.h"

#include "host/data/bert_unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

namespace pergola::host {
namespace {

enum class ByteClass : std::uint8_t { kDropped, kSpace, kPunctuation, kLetter, kNotAscii };

// bert_class() and is_bert_punctuation() of ASCII, which is most of all text.
constexpr ByteClass byte_class_of(unsigned byte) {
  if (byte >= 0x80) return ByteClass::kNotAscii;
  if (byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r') return ByteClass::kSpace;
  if (byte < ' ' || byte == 0x7F) return ByteClass::kDropped;
  const bool is_letter =
      (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9');
  return is_letter ? ByteClass::kLetter : ByteClass::kPunctuation;
}

constexpr auto kByteClasses = [] {
  std::array<ByteClass, 0x100> classes{};
  for (unsigned byte = 0; byte < classes.size(); ++byte) classes[byte] = byte_class_of(byte);
  return classes;
}();

ByteClass byte_class(char c) { return kByteClasses[static_cast<unsigned char>(c)]; }

class Splitter {
 public:
  Splitter(Casing casing, BertWords& words) : casing_(casing), words_(words) {
    words_.letters.clear();
    words_.extents.clear();
  }

  void split(std::string_view text) {
    while (!text.empty()) text.remove_prefix(take(text));
    flush_marks();
    end_word();
  }

 private:
  // Takes what `text` begins with; returns how many bytes that was. So do take_*.
  std::size_t take(std::string_view text) {
    switch (byte_class(text.front())) {
      case ByteClass::kNotAscii:
        return take_code(text);
      case ByteClass::kLetter:
        return take_ascii_letters(text);
      case ByteClass::kSpace:
        flush_marks();
        end_word();
        return 1;
      case ByteClass::kPunctuation:
        flush_marks();
        put_alone(static_cast<unsigned char>(text.front()));
        return 1;
      case ByteClass::kDropped:
        return 1;
    }
    return 1;
  }

  std::size_t take_code(std::string_view text) {
    utf8proc_int32_t value = 0;
    const utf8proc_ssize_t size =
        utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                         static_cast<utf8proc_ssize_t>(text.size()), &value);
    if (size < 0) return 1;  // no valid UTF-8
    const auto code = static_cast<char32_t>(value);
    switch (bert_class(code)) {
      case BertClass::kDropped:
        break;
      case BertClass::kSpace:
        flush_marks();
        end_word();
        break;
      case BertClass::kIdeograph:
        flush_marks();
        end_word();
        put_cased(code);
        end_word();
        break;
      case BertClass::kOther:
        put_cased(code);
        break;
    }
    return static_cast<std::size_t>(size);
  }

  std::size_t take_ascii_letters(std::string_view text) {
    flush_marks();
    const auto* const end = std::find_if(
        text.begin(), text.end(), [](char c) { return byte_class(c) != ByteClass::kLetter; });
    const auto size = static_cast<std::size_t>(end - text.begin());
    words_.letters.append(text.substr(0, size));
    codes_ += size;
    if (casing_ == Casing::kLower) {
      const auto last = words_.letters.end();
      std::transform(
          last - static_cast<std::ptrdiff_t>(size), last, last - static_cast<std::ptrdiff_t>(size),
          [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    }
    return size;
  }

  void put_cased(char32_t code) {
    if (casing_ == Casing::kKept) {
      put(code);
      return;
    }
    const Decomposition parts = decompose(code);
    for (std::size_t i = 0; i < parts.size; ++i) {
      const auto part = static_cast<char32_t>(parts.codes[i]);
      const std::uint8_t order = combining_class_of(part);
      if (order == 0) flush_marks();
      if (is_bert_accent(part)) continue;
      if (order == 0)
        put(lower_case_of(part));
      else
        marks_.emplace_back(order, part);
    }
  }

  // Marks that are no accents stay, in the order of their classes (NFD).
  void flush_marks() {
    if (marks_.empty()) return;
    std::stable_sort(marks_.begin(), marks_.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    for (const auto& [order, code] : marks_) put(lower_case_of(code));
    marks_.clear();
  }

  void put(char32_t code) {
    if (is_bert_punctuation(code))
      put_alone(code);
    else
      append(code);
  }

  void put_alone(char32_t code) {
    end_word();
    append(code);
    end_word();
  }

  void append(char32_t code) {
    std::array<utf8proc_uint8_t, 4> bytes{};
    const auto size = utf8proc_encode_char(static_cast<utf8proc_int32_t>(code), bytes.data());
    words_.letters.append(bytes.begin(), bytes.begin() + size);
    ++codes_;
  }

  void end_word() {
    if (codes_ == 0) return;
    words_.extents.push_back({words_.letters.size() - begin_, codes_});
    begin_ = words_.letters.size();
    codes_ = 0;
  }

  Casing casing_;
  BertWords& words_;
  std::size_t begin_ = 0;  // of the word that is being made, in letters
  std::size_t codes_ = 0;  // of that word
  std::vector<std::pair<std::uint8_t, char32_t>> marks_;  // with their classes, since a letter
};

}  // namespace

void split_bert_words(std::string_view text, Casing casing, BertWords& words) {
  Splitter(casing, words).split(text);
}

}  // namespace pergola::host
