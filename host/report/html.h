// SPDX-License-Identifier: BSD-3-Clause
// Markup and text, kept apart by their types: what a run's files say is text, whoever wrote it, and
// becomes markup only through escape(). Markup itself is in page/. No state; thread-safe.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

namespace pergola::host {

class Html {
 public:
  Html() = default;
  // REQUIRES: it is markup of ours, with all text in it escaped.
  explicit Html(std::string markup) : markup_(std::move(markup)) {}

  [[nodiscard]] const std::string& markup() const noexcept { return markup_; }
  [[nodiscard]] bool empty() const noexcept { return markup_.empty(); }
  Html& operator+=(const Html& more) {
    markup_ += more.markup_;
    return *this;
  }

 private:
  std::string markup_;
};

// Text as it stands in an element or in a quoted attribute. Control characters and bytes that are
// not UTF-8 are shown as printable_lines() shows them.
[[nodiscard]] Html escape(std::string_view text);

// JSON as it stands in a <script>: no `<` is left with which the element could be ended.
[[nodiscard]] Html script_json(std::string_view json);

// What {{name}} is replaced by: markup, or text, which is escaped.
struct Slot {
  Slot(std::string_view slot, const Html& markup) : name(slot), html(markup) {}
  Slot(std::string_view slot, std::string_view text) : name(slot), html(escape(text)) {}
  Slot(std::string_view slot, const std::string& text) : Slot(slot, std::string_view(text)) {}
  Slot(std::string_view slot, const char* text) : Slot(slot, std::string_view(text)) {}

  std::string_view name;
  Html html;
};

// The part of that name in page/parts.html, filled; what is filled in is not looked at again.
// REQUIRES: there is such a part, with exactly these slots, each as often as it likes.
[[nodiscard]] Html fill(std::string_view part, std::initializer_list<Slot> slots);

// The same for page/page.html.
[[nodiscard]] Html fill_page(std::initializer_list<Slot> slots);

}  // namespace pergola::host
