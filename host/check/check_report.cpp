// SPDX-License-Identifier: BSD-3-Clause
#include "host/check/check_report.h"

#include "host/support/json.h"
#include "host/support/printable.h"
#include "pergola/error.h"

#include <cstdio>
#include <map>

namespace pergola::host {
namespace {

double seconds_of(const CheckReport& report) {
  double seconds = 0;
  for (const Examined& each : report.examined) seconds += each.seconds;
  return seconds;
}

std::string fixed(double number, int digits) {
  char text[64];
  std::snprintf(text, sizeof(text), "%.*f", digits, number);
  return text;
}

std::string padded(std::string text, std::size_t width) {
  if (text.size() < width) text.resize(width, ' ');
  return text;
}

// Its lines after the first stand below it.
std::string indented(const std::string& text) {
  std::string result;
  for (const char c : text) result += c == '\n' ? "\n    " : std::string(1, c);
  return result;
}

// For an attribute or the content of an element.
std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : printable_lines(text)) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      case '\n':
        result += "&#10;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

std::string test_case(const CheckReport& report, const Examined& examined) {
  const std::string group =
      examined.model.empty() ? report.plugin : concat(report.plugin, ".", examined.model);
  std::string text =
      concat("    <testcase classname=\"", escaped(group), "\" name=\"",
             escaped(examined.examination), "\" time=\"", fixed(examined.seconds, 3), "\"");
  const std::string message = concat(" message=\"", escaped(examined.finding.text), "\"/>");
  switch (examined.finding.verdict) {
    case Verdict::kPassed:
      return text + "/>\n";
    case Verdict::kFailed:
      return concat(text, ">\n      <failure", message, "\n    </testcase>\n");
    case Verdict::kSkipped:
      break;
  }
  return concat(text, ">\n      <skipped", message, "\n    </testcase>\n");
}

std::string test_suite(const CheckReport& whole, const CheckReport& part, const std::string& name) {
  std::string text =
      concat("  <testsuite name=\"", escaped(name), "\" tests=\"", part.examined.size(),
             "\" failures=\"", part.count(Verdict::kFailed), "\" errors=\"0\" skipped=\"",
             part.count(Verdict::kSkipped), "\" time=\"", fixed(seconds_of(part), 3), "\">\n");
  for (const Examined& each : part.examined) text += test_case(whole, each);
  return text + "  </testsuite>\n";
}

}  // namespace

std::string as_lines(const Examined& examined, std::string& model) {
  constexpr std::size_t kVerdictWidth = 9;
  constexpr std::size_t kNameWidth = 18;
  const std::string heading = examined.model == model ? "" : concat("model ", examined.model, '\n');
  model = examined.model;
  return concat(heading, "  ", padded(verdict_name(examined.finding.verdict), kVerdictWidth),
                padded(examined.examination, kNameWidth), indented(examined.finding.text), '\n');
}

std::string as_summary(const CheckReport& report) {
  std::string text;
  for (const Verdict each : kVerdicts) {
    text += concat(text.empty() ? "" : ", ", report.count(each), " ", verdict_name(each));
  }
  return concat(text, " in ", fixed(seconds_of(report), 1), " s\n");
}

std::string as_text(const CheckReport& report) {
  std::string text;
  std::string model;
  for (const Examined& each : report.examined) text += as_lines(each, model);
  return text + as_summary(report);
}

std::string as_json(const CheckReport& report) {
  Value::Array examined;
  for (const Examined& each : report.examined) {
    Value entry = each.finding.to_value();
    entry["model"] = each.model;
    entry["examination"] = each.examination;
    entry["seconds"] = each.seconds;
    examined.push_back(std::move(entry));
  }
  Value all = Value::Table{{"plugin", report.plugin},
                           {"file", report.file.string()},
                           {"sha256", report.sha256},
                           {"examined", std::move(examined)}};
  for (const Verdict each : kVerdicts) all[verdict_name(each)] = report.count(each);
  return to_json(all, /*indent=*/2) + '\n';
}

std::string as_junit(const CheckReport& report) {
  std::map<std::string, CheckReport> by_model;  // "", the plugin's own, is the first
  for (const Examined& each : report.examined) by_model[each.model].examined.push_back(each);
  std::string text =
      concat("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"",
             escaped(report.plugin), "\" tests=\"", report.examined.size(), "\" failures=\"",
             report.count(Verdict::kFailed), "\" time=\"", fixed(seconds_of(report), 3), "\">\n");
  for (const auto& [model, part] : by_model) {
    text += test_suite(report, part, model.empty() ? report.plugin : model);
  }
  return text + "</testsuites>\n";
}

}  // namespace pergola::host
