// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pergola {
namespace {

using testing::ElementsAre;

class ConfigTest : public testing::Test {
 protected:
  static Value placed(Value value, const char* origin) {
    value.set_origin(origin);
    return value;
  }

  // What `read` throws.
  template <class Read>
  static std::string error_of(Read read) {
    try {
      read();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kConfig);
      return error.what();
    }
    return "(no error)";
  }

  Config config_{
      Value::Table{
          {"count", placed(3, "x.toml:1:9")},
          {"rate", placed(0.5, "x.toml:2:8")},
          {"name", placed("lamp", "x.toml:3:8")},
          {"on", true},
          {"steps", Value::Array{10, 20}},
          {"mixed", placed(Value::Array{1, placed("two", "x.toml:6:13")}, "x.toml:6:9")},
          {"losses", Value::Array{"plain", Value::Table{{"type", "full"},
                                                        {"params", Value::Table{{"a", 1}}}}}},
          {"inner", Value::Table{{"deep", 7}}}},
      "model_config.m"};
};

TEST_F(ConfigTest, ReadsEveryType) {
  EXPECT_EQ(config_.get<std::int64_t>("count"), 3);
  EXPECT_EQ(config_.get<double>("rate"), 0.5);
  EXPECT_EQ(config_.get<double>("count"), 3.0);  // an integer is a number
  EXPECT_EQ(config_.get<std::string>("name"), "lamp");
  EXPECT_TRUE(config_.get<bool>("on"));
  EXPECT_THAT(config_.get<std::vector<std::int64_t>>("steps"), ElementsAre(10, 20));
  EXPECT_EQ(config_.get<std::int64_t>("inner.deep"), 7);
  EXPECT_EQ(config_.table("inner").get<std::int64_t>("deep"), 7);
}

TEST_F(ConfigTest, FallbackCountsOnlyWhenTheKeyIsMissing) {
  EXPECT_EQ(config_.get<std::int64_t>("missing", 5), 5);
  EXPECT_EQ(config_.get<std::int64_t>("count", 5), 3);
  EXPECT_FALSE(config_.find<double>("missing").has_value());
}

TEST_F(ConfigTest, WrongTypeNamesKeyValuePlaceAndExpectation) {
  EXPECT_EQ(error_of([&] { static_cast<void>(config_.get<std::int64_t>("name")); }),
            "model_config.m.name = \"lamp\" (x.toml:3:8) is a string; expected an integer");
  EXPECT_EQ(error_of([&] { static_cast<void>(config_.get<std::vector<std::int64_t>>("mixed")); }),
            "model_config.m.mixed[1] = \"two\" (x.toml:6:13) is a string; expected an integer");
}

TEST_F(ConfigTest, MissingKeyIsNamedWithItsPath) {
  EXPECT_EQ(error_of([&] { static_cast<void>(config_.get<bool>("inner.x")); }),
            "model_config.m.inner.x is missing; set it in the config or on the command line");
}

TEST_F(ConfigTest, BoundsAndChoicesAreChecked) {
  EXPECT_EQ(error_of([&] { static_cast<void>(config_.get_integer("count", 1, 4)); }),
            "model_config.m.count = 3 (x.toml:1:9) is out of range; expected at least 4");
  EXPECT_EQ(error_of([&] { static_cast<void>(config_.get_float("rate", 0, 1, 2)); }),
            "model_config.m.rate = 0.5 (x.toml:2:8) is out of range; expected 1 to 2");
  EXPECT_EQ(
      error_of([&] {
        static_cast<void>(config_.get_choice("name", "", {"lamb", "goat"}));
      }),
      "model_config.m.name = \"lamp\" (x.toml:3:8) is not one of lamb, goat; did you mean 'lamb'?");
}

TEST_F(ConfigTest, AFactIsANumberThatTheDataSetHasFilledIn) {
  const Config config(Value::Table{{"filled", 3}, {"empty", 0}, {"absurd", INT64_MAX}}, "m");
  EXPECT_EQ(config.get_fact("filled", "words"), 3);
  for (const char* key : {"empty", "absent"}) {
    EXPECT_THAT(error_of([&] { static_cast<void>(config.get_fact(key, "words")); }),
                testing::HasSubstr(" must be the number of words; the data set gives it, and this "
                                   "one has none: set it, or choose another data set"));
  }
  EXPECT_THAT(error_of([&] { static_cast<void>(config.get_fact("absurd", "words")); }),
              testing::HasSubstr("is out of range; expected 1 to 134217728"));
}

TEST_F(ConfigTest, TypedListTakesNamesAndTables) {
  const std::vector<TypedConfig> losses = config_.typed_list("losses");
  ASSERT_EQ(losses.size(), 2U);
  EXPECT_EQ(losses[0].type, "plain");
  EXPECT_FALSE(losses[0].params.has("a"));
  EXPECT_EQ(losses[1].type, "full");
  EXPECT_EQ(losses[1].params.get<std::int64_t>("a"), 1);
  EXPECT_EQ(losses[1].params.path(), "model_config.m.losses[1].params");
}

TEST_F(ConfigTest, AMissingParameterOfABareNameIsNamedWhereItWouldStand) {
  const TypedConfig plain = config_.typed_list("losses")[0];
  EXPECT_EQ(
      error_of([&] { static_cast<void>(plain.params.get<double>("gamma")); }),
      "model_config.m.losses[0].params.gamma is missing; set it in the config or on the command "
      "line");
  EXPECT_EQ(plain.options.path(), "model_config.m.losses[0]");
}

// Other types are a compile-time sentence, where they were an undefined symbol of the linker.
TEST_F(ConfigTest, OnlyTypesOfTheConfigAreRead) {
  static_assert(kIsConfigType<bool> && kIsConfigType<std::int64_t> && kIsConfigType<double>);
  static_assert(kIsConfigType<std::string> && kIsConfigType<std::vector<std::string>>);
  static_assert(!kIsConfigType<int> && !kIsConfigType<float> && !kIsConfigType<const char*>);
  static_assert(!kIsConfigType<std::vector<bool>> && !kIsConfigType<std::vector<int>>);
}

TEST_F(ConfigTest, AConfigThatIsNoTableIsADefectOfWhoeverMadeIt) {
  try {
    static_cast<void>(Config(Value(3)));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUnexpected);
    EXPECT_THAT(error.what(), testing::StartsWith("a defect of "));
    EXPECT_THAT(error.what(), testing::HasSubstr("config.cpp:"));
    EXPECT_THAT(error.what(),
                testing::EndsWith(": 'node_->is_table()' does not hold; please report it to its "
                                  "author with the command and the config"));
  }
}

TEST_F(ConfigTest, UnknownKeyIsRefusedWithTheClosestOne) {
  EXPECT_EQ(
      error_of([&] {
        config_.allow_only({"counts", "rate", "name", "on", "steps", "mixed", "losses", "inner"});
      }),
      "model_config.m.count (x.toml:1:9) is not a known key; did you mean 'counts'?");
}

TEST_F(ConfigTest, AViewKeepsItsTreeAlive) {
  const Config inner = Config(Value::Table{{"t", Value::Table{{"x", 1}}}}).table("t");
  EXPECT_EQ(inner.get<std::int64_t>("x"), 1);
}

}  // namespace
}  // namespace pergola
