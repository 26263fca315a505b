// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/component.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace pergola {
namespace {

using testing::HasSubstr;

// One param of each kind.
ComponentSpec lamp() {
  return {
      "gives light",
      {{.name = "power", .fallback = 5, .meaning = "watts", .low = 1, .high = 100},
       {.name = "warmth", .fallback = 0.5, .meaning = "of the light"},
       {.name = "on", .fallback = true, .meaning = "does it shine?"},
       {.name = "socket", .fallback = "E27", .meaning = "it fits in", .choices = {"E14", "E27"}},
       {.name = "steps", .fallback = Value::Array{0.25, 1}, .meaning = "to dim", .low = 0},
       {.name = "cover", .fallback = Value::Table{}, .meaning = "around it"},
       {.name = "limit",
        .fallback = {},
        .meaning = "none when left out",
        .low = 0,
        .type = Value::Type::kFloat},
       {.name = "name",
        .fallback = {},
        .meaning = "on the box",
        .type = Value::Type::kString,
        .need = ParamSpec::Need::kRequired}}};
}

Config completed(Value::Table params) {
  params.emplace("name", "l");
  return lamp().complete(Config(std::move(params), "lamp.params"));
}

std::string error_with(const Value::Table& params) {
  try {
    static_cast<void>(completed(params));
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfig);
    return error.what();
  }
  return "(no error)";
}

TEST(ComponentSpecTest, WhatIsLeftOutBecomesTheDefault) {
  const Config params = completed({{"power", 7}});
  EXPECT_EQ(params.get<std::int64_t>("power"), 7);
  EXPECT_EQ(params.get<double>("warmth"), 0.5);
  EXPECT_TRUE(params.get<bool>("on"));
  EXPECT_EQ(params.get<std::string>("socket"), "E27");
  EXPECT_EQ(params.get<std::vector<double>>("steps"), (std::vector<double>{0.25, 1}));
  EXPECT_FALSE(params.has("limit"));
  EXPECT_EQ(params.value().as_table().size(), lamp().params.size());  // null where there is none
  EXPECT_EQ(params.path(), "lamp.params");
  EXPECT_EQ(params.value().find("warmth")->origin(), "default");
}

TEST(ComponentSpecTest, UnknownKeysAreRefusedWithTheClosest) {
  EXPECT_EQ(error_with({{"powr", 7}}),
            "lamp.params.powr is not a known key; did you mean 'power'?");
}

TEST(ComponentSpecTest, AMissingOneThatIsRequiredIsAnError) {
  EXPECT_THROW(static_cast<void>(lamp().complete(Config())), Error);
}

TEST(ComponentSpecTest, TypesAreThoseOfTheDefaults) {
  EXPECT_THAT(error_with({{"power", 1.5}}), HasSubstr("expected an integer"));
  EXPECT_THAT(error_with({{"warmth", "hot"}}), HasSubstr("expected a number"));
  EXPECT_THAT(error_with({{"on", 1}}), HasSubstr("expected true or false"));
  EXPECT_THAT(error_with({{"socket", 27}}), HasSubstr("expected a string"));
  EXPECT_THAT(error_with({{"steps", 1}}), HasSubstr("expected an array"));
  EXPECT_THAT(error_with({{"cover", 1}}), HasSubstr("expected a table"));
  EXPECT_THAT(error_with({{"limit", "high"}}), HasSubstr("expected a number"));
  EXPECT_EQ(completed({{"warmth", 1}}).get<double>("warmth"), 1);  // a float takes integers
}

TEST(ComponentSpecTest, BoundsAndChoicesHold) {
  EXPECT_EQ(error_with({{"power", 0}}), "lamp.params.power = 0 is out of range; expected 1 to 100");
  EXPECT_EQ(error_with({{"limit", -1.0}}),
            "lamp.params.limit = -1.0 is out of range; expected at least 0");
  EXPECT_EQ(error_with({{"steps", Value::Array{0.5, -2.0}}}),
            "lamp.params.steps[1] = -2.0 is out of range; expected at least 0");
  for (const double number : {std::numeric_limits<double>::infinity(), std::nan("")}) {
    EXPECT_THAT(error_with({{"warmth", number}}), HasSubstr("is not a finite number"));
    EXPECT_THAT(error_with({{"steps", Value::Array{0.5, number}}}), HasSubstr("steps[1]"));
  }
  EXPECT_THAT(error_with({{"socket", "E40"}}), HasSubstr("is not one of E14, E27"));
  EXPECT_THAT(error_with({{"power", 101}}), HasSubstr("1 to 100"));
  EXPECT_EQ(error_with({{"power", 1}}), "(no error)");
  EXPECT_EQ(error_with({{"power", 100}}), "(no error)");
}

}  // namespace
}  // namespace pergola
