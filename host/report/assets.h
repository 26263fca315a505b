// SPDX-License-Identifier: BSD-3-Clause
// The files of host/report/page/, as embed.cmake has put them into the program. Thread-safe.
#pragma once

#include <string_view>

namespace pergola::host::assets {

[[nodiscard]] std::string_view page_html() noexcept;
[[nodiscard]] std::string_view parts_html() noexcept;
[[nodiscard]] std::string_view page_css() noexcept;
[[nodiscard]] std::string_view chart_js() noexcept;
[[nodiscard]] std::string_view page_js() noexcept;

}  // namespace pergola::host::assets
