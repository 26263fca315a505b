// SPDX-License-Identifier: BSD-3-Clause
#include "host/report/html.h"

#include "host/report/assets.h"
#include "host/support/printable.h"
#include "pergola/error.h"

#include <algorithm>
#include <vector>

namespace pergola::host {
namespace {

constexpr std::string_view kOpen = "{{";
constexpr std::string_view kClose = "}}";

std::string_view find_part(std::string_view name) {
  const std::string_view all = assets::parts_html();
  const std::string head = concat("<!-- part: ", name, " -->\n");
  const std::size_t found = all.find(head);
  PERGOLA_ASSERT(found != std::string_view::npos);
  const std::size_t begin = found + head.size();
  const std::size_t end = all.find("<!-- part: ", begin);
  std::string_view part = all.substr(begin, end - begin);  // npos - begin is "to the end", too
  part.remove_suffix(part.ends_with('\n') ? 1 : 0);
  return part;
}

Html fill_text(std::string_view text, std::initializer_list<Slot> slots) {
  std::string markup;
  std::vector<bool> used(slots.size(), false);
  for (std::size_t open = text.find(kOpen); open != std::string_view::npos;
       open = text.find(kOpen)) {
    const std::size_t close = text.find(kClose, open);
    PERGOLA_ASSERT(close != std::string_view::npos);
    const std::string_view name = text.substr(open + kOpen.size(), close - open - kOpen.size());
    const auto* const slot =
        std::ranges::find_if(slots, [&](const Slot& each) { return each.name == name; });
    PERGOLA_ASSERT(slot != slots.end());
    used[static_cast<std::size_t>(slot - slots.begin())] = true;
    markup.append(text.substr(0, open)).append(slot->html.markup());
    text.remove_prefix(close + kClose.size());
  }
  PERGOLA_ASSERT(std::ranges::find(used, false) == used.end());
  return Html(markup.append(text));
}

}  // namespace

Html escape(std::string_view text) {
  std::string markup;
  markup.reserve(text.size());
  for (const char c : printable_lines(text)) {
    switch (c) {
      case '&':
        markup += "&amp;";
        break;
      case '<':
        markup += "&lt;";
        break;
      case '>':
        markup += "&gt;";
        break;
      case '"':
        markup += "&quot;";
        break;
      case '\'':
        markup += "&#39;";
        break;
      default:
        markup += c;
    }
  }
  return Html(std::move(markup));
}

Html script_json(std::string_view json) {
  std::string markup;
  markup.reserve(json.size());
  for (const char c : json) {
    if (c == '<')
      markup += "\\u003c";  // in JSON, `<` stands in strings only
    else
      markup += c;
  }
  return Html(std::move(markup));
}

Html fill(std::string_view part, std::initializer_list<Slot> slots) {
  return fill_text(find_part(part), slots);
}

Html fill_page(std::initializer_list<Slot> slots) { return fill_text(assets::page_html(), slots); }

}  // namespace pergola::host
