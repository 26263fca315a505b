// SPDX-License-Identifier: BSD-3-Clause
#include "host/config/duration.h"

#include "pergola/error.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

namespace pergola::host {
namespace {

using Unit = Duration::Unit;

constexpr double kMost = 1e12;
constexpr double kMostUpdates = 9e18;   // a number of 64 bits
constexpr double kSmallestPart = 1e-6;  // of an update; less is what multiplication rounds
constexpr double kMinute = 60;
constexpr double kHour = 60 * kMinute;
constexpr double kDay = 24 * kHour;

struct UnitName {
  std::string_view name;  // in the singular
  Unit unit;
  double factor;
};
constexpr UnitName kUnits[] = {
    {"update", Unit::kUpdates, 1},   {"epoch", Unit::kEpochs, 1},
    {"second", Unit::kSeconds, 1},   {"minute", Unit::kSeconds, kMinute},
    {"hour", Unit::kSeconds, kHour}, {"day", Unit::kSeconds, kDay},
};

// The number that `text` begins with; what follows it is left in `text`.
std::optional<double> take_number(std::string_view& text) {
  double number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (error != std::errc() || !std::isfinite(number)) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return number;
}

// "1:30:00" and "1:00:00:00", in seconds.
std::optional<double> parse_clock(std::string_view text) {
  std::vector<double> fields;
  for (;;) {
    const std::optional<double> number = take_number(text);
    if (!number || *number < 0 || *number != std::floor(*number)) return std::nullopt;
    fields.push_back(*number);
    if (text.empty()) break;
    if (text.front() != ':') return std::nullopt;
    text.remove_prefix(1);
  }
  constexpr double kInNext[] = {60, 60, 24};  // seconds in a minute, ...
  if (fields.size() != 3 && fields.size() != 4) return std::nullopt;
  double seconds = 0;
  double unit = 1;
  for (std::size_t i = 0; i < fields.size(); ++i) {  // from the right
    const double field = fields[fields.size() - 1 - i];
    const bool is_first = i + 1 == fields.size();
    if (!is_first && field >= kInNext[i]) return std::nullopt;
    seconds += field * unit;
    if (!is_first) unit *= kInNext[i];
  }
  return seconds;
}

std::optional<Duration> parse_text(std::string_view text) {
  if (text.find(':') != std::string_view::npos) {
    const std::optional<double> seconds = parse_clock(text);
    return seconds ? std::optional(Duration{*seconds, Unit::kSeconds}) : std::nullopt;
  }
  const std::optional<double> number = take_number(text);
  if (!number) return std::nullopt;
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  if (text.ends_with('s')) text.remove_suffix(1);
  for (const UnitName& unit : kUnits) {
    if (text == unit.name) return Duration{*number * unit.factor, unit.unit};
  }
  return std::nullopt;
}

}  // namespace

Duration Duration::parse(const Config& config, std::string_view key) {
  const Value& value = *config.value().find(key);
  std::optional<Duration> duration;
  if (value.type() == Value::Type::kInteger) {
    duration = Duration{static_cast<double>(value.as_integer()), Unit::kUpdates};
  } else if (value.is_string()) {
    duration = parse_text(value.as_string());
  }
  if (!duration) {
    throw config.error(key,
                       "is no duration; expected a number of updates, or text such as \"500 "
                       "updates\", \"0.5 epochs\", \"30 minutes\", \"2 hours\" or \"1:30:00\"");
  }
  if (duration->amount < 0 || duration->amount > kMost) {
    throw config.error(key, "is out of range; expected at least 0, and at most 10^12");
  }
  if (duration->unit == Unit::kUpdates && duration->amount != std::floor(duration->amount)) {
    throw config.error(key, "is a part of an update; expected a whole number of updates");
  }
  return *duration;
}

std::int64_t Duration::to_updates(std::int64_t updates_per_epoch) const {
  PERGOLA_ASSERT(unit != Unit::kSeconds);
  const double epoch = unit == Unit::kEpochs ? static_cast<double>(updates_per_epoch) : 1;
  // 0.07 of 100 updates are 7.000000000000001 of them.
  return static_cast<std::int64_t>(
      std::min(std::ceil(amount * epoch - kSmallestPart), kMostUpdates));
}

std::int64_t updates_in_epoch(std::int64_t num_batches, std::int64_t update_frequency) {
  return std::max<std::int64_t>(1, (num_batches + update_frequency - 1) / update_frequency);
}

}  // namespace pergola::host
