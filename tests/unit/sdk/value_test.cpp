// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/value.h"

#include "pergola/error.h"

#include <gtest/gtest.h>

#include <string>

namespace pergola {
namespace {

TEST(ValueTest, FindFollowsKeysAndIndices) {
  const Value value =
      Value::Table{{"a", Value::Table{{"b", Value::Array{1, Value::Table{{"c", "x"}}}}}}};
  ASSERT_NE(value.find("a.b[1].c"), nullptr);
  EXPECT_EQ(value.find("a.b[1].c")->as_string(), "x");
  EXPECT_EQ(value.find("a.b[0]")->as_integer(), 1);
}

TEST(ValueTest, FindReturnsNullForWhatIsNotThere) {
  const Value value = Value::Table{{"a", Value::Array{1}}};
  for (const char* path : {"b", "a.b", "a[1]", "a[-1]", "a[x]", "a[", "a[0].b", "a..b", "[0]"}) {
    EXPECT_EQ(value.find(path), nullptr) << path;
  }
}

TEST(ValueTest, AnIndexIsDigitsInBracketsAndNothingElse) {
  const Value value = Value::Table{{"a", Value::Array{1}}};
  for (const char* path : {"a[0", "a[00x", "a[0)", "a[0]b", "a[]", "a[+0]", "a[ 0]", "a[0 ]",
                           "a[99999999999999999999]", "a.[0]", "a[0].", "a."}) {
    EXPECT_EQ(value.find(path), nullptr) << path;
  }
  const Value array = Value::Array{5};
  for (const char* path : {"[", "]", "[0", "[0][0]"}) EXPECT_EQ(array.find(path), nullptr) << path;
  EXPECT_EQ(array.find("[0]")->as_integer(), 5);
}

TEST(ValueTest, ABooleanLiteralIsNotTakenForAString) {
  EXPECT_EQ(Value("false").type(), Value::Type::kString);
  EXPECT_EQ(Value(false).type(), Value::Type::kBoolean);
}

TEST(ValueTest, ToStringIsTomlThatKeepsTheType) {
  EXPECT_EQ(to_string(Value(1.0)), "1.0");  // not 1, which would read back as an integer
  EXPECT_EQ(to_string(Value(0.1)), "0.1");
  EXPECT_EQ(to_string(Value("a\"b\\c\n\x01")), "\"a\\\"b\\\\c\\n\\u0001\"");
  EXPECT_EQ(to_string(Value::Table{{"a b", Value::Array{1, true}}}), "{\"a b\" = [1, true]}");
  EXPECT_EQ(to_string(Value::Array{}), "[]");
  EXPECT_EQ(to_string(Value::Table{}), "{}");
}

TEST(ValueTest, IndexingMakesTablesOnTheWay) {
  Value value;
  value["a"]["b"] = 3;
  EXPECT_EQ(value.find("a.b")->as_integer(), 3);
}

TEST(ValueTest, OriginsDoNotCountInComparisons) {
  Value here(1);
  here.set_origin("here.toml:1:1");
  EXPECT_TRUE(here == Value(1));
  EXPECT_FALSE(Value(1) == Value(1.0));
}

std::string saved_state_error(const Value& value) {
  try {
    static_cast<void>(value.as_float());
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kCheckpoint);
    return error.what();
  }
  return "(no error)";
}

TEST(ValueTest, WrongTypeIsAnErrorThatSaysWhatThereIs) {
  Value placed(Value::Array{1});
  placed.set_origin("run/state.json");
  EXPECT_EQ(saved_state_error("x"),
            "a saved value is \"x\", a string; expected a float; use a checkpoint that the same "
            "version of the model wrote");
  EXPECT_EQ(saved_state_error(placed),
            "a saved value is [1], an array (run/state.json); expected a float; use a checkpoint "
            "that the same version of the model wrote");
}

TEST(ValueTest, ANanThatWasSavedIsExplained) {
  EXPECT_EQ(saved_state_error(Value()),
            "a saved value is null; expected a float, and a NaN is saved as null; use a checkpoint "
            "that the same version of the model wrote");
}

}  // namespace
}  // namespace pergola
