// SPDX-License-Identifier: BSD-3-Clause
#include "host/report/format.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace pergola::host {
namespace {

std::string printed(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof(text), format, value);
  return text;
}

// With so many digits, and without an exponent.
std::string rounded(int digits, double value) {
  return printed("%g", std::strtod(digits_of(value, digits).c_str(), nullptr));
}

// "1.50e-04" → "1.5e-4"
std::string short_exponent(const std::string& text) {
  const std::size_t e = text.find('e');
  std::string digits = text.substr(0, e);
  if (digits.find('.') != std::string::npos) {
    digits.erase(digits.find_last_not_of('0') + 1);
    if (digits.ends_with('.')) digits.pop_back();
  }
  return digits + "e" + std::to_string(std::stoi(text.substr(e + 1)));
}

struct Unit {
  double scale;
  const char* name;
};

}  // namespace

std::string short_number(double value) { return short_number(value, value); }

std::string short_number(double value, double largest) {
  if (!std::isfinite(value)) return "none";
  if (value == 0) return "0";
  const double size = std::abs(largest);
  if (size >= 1e15 || size < 1e-3) return short_exponent(printed("%.2e", value));
  static constexpr std::array<Unit, 3> kUnits = {{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}}};
  for (const Unit& unit : kUnits) {
    const double least = unit.scale == 1e3 ? 1e4 : unit.scale;  // 1000 to 9999 are read as they are
    if (size >= least) return rounded(4, value / unit.scale) + unit.name;
  }
  return rounded(4, value);
}

std::string percent(double part) {
  return std::isfinite(part) ? printed("%.1f%%", 100 * part) : "none";
}

std::string duration(double seconds) {
  constexpr double kMost = 1e12;
  if (!std::isfinite(seconds) || seconds < 0 || seconds > kMost) return "?";
  const long long whole = std::llround(seconds);
  char text[64];
  std::snprintf(text, sizeof(text), "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60,
                whole % 60);
  return text;
}

std::string size_text(std::uintmax_t bytes) {
  static constexpr std::array<Unit, 4> kUnits = {
      {{1e12, "TB"}, {1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}}};
  for (const Unit& unit : kUnits) {
    const auto size = static_cast<double>(bytes);
    if (size >= unit.scale) return rounded(3, size / unit.scale) + " " + unit.name;
  }
  return std::to_string(bytes) + " bytes";
}

std::string grouped(std::int64_t number) {
  std::string text = std::to_string(number);
  const std::size_t first = text.starts_with('-') ? 1 : 0;
  for (std::size_t at = text.size(); at > first + 3;) text.insert(at -= 3, ",");
  return text;
}

std::string date_time(double seconds) {
  constexpr double kMost = 1e11;  // the year 5138
  if (!(seconds > 0 && seconds < kMost)) return "?";
  const auto whole = static_cast<std::time_t>(seconds);
  std::tm parts{};
  char text[64];
  if (gmtime_r(&whole, &parts) == nullptr) return "?";
  std::strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &parts);
  return text;
}

std::string coordinate(double value) {
  std::string text = printed("%.1f", value);
  if (text.ends_with(".0")) text.resize(text.size() - 2);
  return text == "-0" ? "0" : text;
}

std::string digits_of(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof(text), "%.*g", digits, value);
  return text;
}

}  // namespace pergola::host
