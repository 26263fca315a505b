// SPDX-License-Identifier: BSD-3-Clause
#include "host/check/finding.h"

#include "pergola/error.h"

namespace pergola::host {
namespace {

const Value& member(const Value& table, const char* key) {
  const Value* value = table.find(key);
  if (value == nullptr) throw Error(ErrorKind::kCheckpoint, "a finding has no '", key, "'");
  return *value;
}

}  // namespace

const char* verdict_name(Verdict verdict) noexcept {
  switch (verdict) {
    case Verdict::kPassed:
      return "passed";
    case Verdict::kFailed:
      return "failed";
    case Verdict::kSkipped:
      break;
  }
  return "skipped";
}

Value Finding::to_value() const {
  Value::Table numbers;
  for (const auto& [name, number] : figures) numbers[name] = number;
  return Value::Table{
      {"verdict", verdict_name(verdict)}, {"text", text}, {"figures", std::move(numbers)}};
}

Finding Finding::parse(const Value& value) {
  Finding finding;
  const std::string& word = member(value, "verdict").as_string();
  bool is_known = false;
  for (const Verdict each : kVerdicts) {
    if (word != verdict_name(each)) continue;
    finding.verdict = each;
    is_known = true;
  }
  if (!is_known) throw Error(ErrorKind::kCheckpoint, "'", word, "' is no verdict");
  finding.text = member(value, "text").as_string();
  for (const auto& [name, number] : member(value, "figures").as_table()) {
    if (!number.is_null()) finding.figures[name] = number.as_float();
  }
  return finding;
}

}  // namespace pergola::host
