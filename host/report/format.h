// SPDX-License-Identifier: BSD-3-Clause
// Numbers, sizes and times as people read them. page/chart.js has the same short_number and
// duration. No state; thread-safe.
#pragma once

#include <cstdint>
#include <string>

namespace pergola::host {

// Four digits: "0.5123", "12.35k", "1e-4", "none" for what is not finite.
[[nodiscard]] std::string short_number(double value);
// The same in the unit of another number, the largest of those beside it: "2k" beside "12k".
[[nodiscard]] std::string short_number(double value, double largest);
// "98.4%"
[[nodiscard]] std::string percent(double part);
// "1:02:03"; "?" for what is no time.
[[nodiscard]] std::string duration(double seconds);
// "1.76 MB", in powers of 1000.
[[nodiscard]] std::string size_text(std::uintmax_t bytes);
// "12,345"
[[nodiscard]] std::string grouped(std::int64_t number);
// "2026-11-30 03:33:34 UTC" of seconds since 1970; "?" for what is no time.
[[nodiscard]] std::string date_time(double seconds);
// Of a drawing: with one decimal at most.
[[nodiscard]] std::string coordinate(double value);
// With so many digits, as JSON has it.  REQUIRES: it is finite.
[[nodiscard]] std::string digits_of(double value, int digits);

}  // namespace pergola::host
