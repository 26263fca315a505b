// SPDX-License-Identifier: BSD-3-Clause
#include "host/check/check_report.h"

#include "host/support/json.h"
#include "pergola/error.h"

#include <gtest/gtest.h>

#include <cmath>

namespace pergola::host {
namespace {

CheckReport report() {
  CheckReport report{"tiny 0.1.0", "build/tiny.so", "0badcafe", {}};
  report.examined = {{"", "load", passed("1 model is made"), 0.25},
                     {"tiny", "contract", passed("scores [5, 3]", {{"answers", 3}}), 0.5},
                     {"tiny", "nan", failed("a NaN in \"image\" < 1 & gone"), 1.25},
                     {"tiny", "cuda", skipped("no GPU"), 0}};
  return report;
}

TEST(CheckReport, TextHasALineForEachBelowTheNameOfItsModelAndASum) {
  EXPECT_EQ(as_text(report()),
            "  passed   load              1 model is made\n"
            "model tiny\n"
            "  passed   contract          scores [5, 3]\n"
            "  failed   nan               a NaN in \"image\" < 1 & gone\n"
            "  skipped  cuda              no GPU\n"
            "2 passed, 1 failed, 1 skipped in 2.0 s\n");
}

TEST(CheckReport, FurtherLinesOfATextAreIndentedBelowIt) {
  std::string model;
  EXPECT_EQ(as_lines({"", "load", failed("two\nlines"), 0}, model),
            "  failed   load              two\n    lines\n");
}

TEST(CheckReport, JsonHasAllOfItWithTheFigures) {
  const Value json = from_json(as_json(report()), "the report");
  EXPECT_EQ(json.find("plugin")->as_string(), "tiny 0.1.0");
  EXPECT_EQ(json.find("file")->as_string(), "build/tiny.so");
  EXPECT_EQ(json.find("sha256")->as_string(), "0badcafe");
  EXPECT_EQ(json.find("passed")->as_integer(), 2);
  EXPECT_EQ(json.find("failed")->as_integer(), 1);
  EXPECT_EQ(json.find("skipped")->as_integer(), 1);
  EXPECT_EQ(to_json(*json.find("examined[1]")),
            R"({"examination":"contract","figures":{"answers":3.0},"model":"tiny",)"
            R"("seconds":0.5,"text":"scores [5, 3]","verdict":"passed"})");
}

TEST(CheckReport, JunitHasASuiteForEachModelAndWhatIsNoXmlIsEscaped) {
  EXPECT_EQ(as_junit(report()), R"(<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="tiny 0.1.0" tests="4" failures="1" time="2.000">
  <testsuite name="tiny 0.1.0" tests="1" failures="0" errors="0" skipped="0" time="0.250">
    <testcase classname="tiny 0.1.0" name="load" time="0.250"/>
  </testsuite>
  <testsuite name="tiny" tests="3" failures="1" errors="0" skipped="1" time="1.750">
    <testcase classname="tiny 0.1.0.tiny" name="contract" time="0.500"/>
    <testcase classname="tiny 0.1.0.tiny" name="nan" time="1.250">
      <failure message="a NaN in &quot;image&quot; &lt; 1 &amp; gone"/>
    </testcase>
    <testcase classname="tiny 0.1.0.tiny" name="cuda" time="0.000">
      <skipped message="no GPU"/>
    </testcase>
  </testsuite>
</testsuites>
)");
}

TEST(CheckReport, JunitHoldsNoControlCharacters) {
  CheckReport bad = report();
  bad.examined[1].finding = failed("bell \a");
  EXPECT_NE(as_junit(bad).find("bell \\x07"), std::string::npos);
}

TEST(Finding, ComesBackFromItsTableAsItWas) {
  const Finding finding = failed("why", {{"share", 0.5}, {"nothing", std::nan("")}});
  const Finding back = Finding::parse(from_json(to_json(finding.to_value()), "a finding"));
  EXPECT_EQ(back.verdict, Verdict::kFailed);
  EXPECT_EQ(back.text, "why");
  EXPECT_EQ(back.figures, (Figures{{"share", 0.5}}));  // JSON has no NaN
}

TEST(Finding, AnotherTableIsRefused) {
  const auto parse = [](const char* text) {
    static_cast<void>(Finding::parse(from_json(text, "a finding")));
  };
  EXPECT_THROW(parse("{}"), Error);
  EXPECT_THROW(parse(R"({"verdict": "perhaps", "text": "", "figures": {}})"), Error);
  EXPECT_THROW(parse(R"({"verdict": "passed", "text": 3, "figures": {}})"), Error);
  EXPECT_THROW(parse(R"({"verdict": "passed", "text": "", "figures": {"a": "b"}})"), Error);
}

}  // namespace
}  // namespace pergola::host
