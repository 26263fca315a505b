// SPDX-License-Identifier: BSD-3-Clause
// [models.<key>.fields] and [models.<key>.check]: what they may say, and how it is told.
#include "host/plugin/field_spec.h"

#include "host/plugin/manifest.h"
#include "pergola/error.h"
#include "unit/support/error_of.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

namespace pergola::host {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// The model's tables begin in line 7, what a test adds in line 14.
const std::string kSmallPlugin = R"(name = "small"
version = "0.1.0"
license = "BSD-3-Clause"
description = ""
[models.small]
description = "A small one"
[models.small.config]
words = 0
act = "relu"
image = { dim = 8, layers = [4, 6] }
[models.small.spec]
words = { meaning = "number of words", need = "fact", low = 1 }
depth = { meaning = "layers", type = "integer", low = 1 }
)";

ModelInputs inputs_of(const std::string& tables) {
  return parse_manifest(kSmallPlugin + tables, "small.so:plugin.toml").models.at("small").inputs;
}

std::string inputs_refusal_of(const std::string& tables) {
  return test::error_of([&] { (void)inputs_of(tables); }, ErrorKind::kPlugin);
}

const std::string kAllSorts = R"([models.small.fields]
text = { dtype = "int64", shape = ["T"], low = 1, below = "words", meaning = "the words" }
text_len = { dtype = "int64", length = "T" }
regions = { shape = ["R", "image.dim"], pad = -0.5 }
pixels = { shape = [3, 4, "image.layers[1]"], low = 0, high = 1.5 }
info.detail.mask = { dtype = "bool", mask = "R" }
info.kind = { dtype = "string" }
flags = { dtype = "bool", shape = ["T"], pad = true }
labels = { dtype = "int64", low = -1, high = 3 }
targets = { shape = ["words"], one_hot = true }
[models.small.check]
config = { words = 20, depth = 2, image = { layers = [2, 3] } }
sizes = { T = [2, 9] }
without_gradient = ["pooler"]
)";

TEST(FieldSpecTest, AllThatIsSaidOfAFieldIsKept) {
  const ModelInputs inputs = inputs_of(kAllSorts);
  std::vector<std::string> texts;
  for (const FieldSpec& field : inputs.fields) texts.push_back(field_text(field));
  EXPECT_THAT(texts,
              ElementsAre("flags: bool [T]",
                          "info.detail.mask: bool [R], 1 for the sample's own and then 0",
                          "info.kind: string", "labels: int64 [], at least -1, at most 3",
                          "pixels: float32 [3, 4, image.layers[1]], at least 0.0, at most 1.5",
                          "regions: float32 [R, image.dim]",
                          "targets: float32 [words], one 1 in the last dimension",
                          "text: int64 [T], at least 1, below words; the words",
                          "text_len: int64, how many of T are the sample's own"));
  EXPECT_EQ(inputs.fields[0].pad, 1.0);
  EXPECT_EQ(inputs.fields[5].pad, -0.5);
  EXPECT_FALSE(inputs.fields[5].low.has_value());
}

TEST(FieldSpecTest, SizesHaveTheRangeThatIsSaidOrOneToEight) {
  const ModelInputs inputs = inputs_of(kAllSorts);
  EXPECT_THAT(inputs.without_gradient, ElementsAre("pooler"));
  ASSERT_EQ(inputs.sizes.size(), 2U);
  EXPECT_EQ(inputs.sizes.at("T").low, 2);
  EXPECT_EQ(inputs.sizes.at("T").high, 9);
  EXPECT_EQ(inputs.sizes.at("R").low, 1);
  EXPECT_EQ(inputs.sizes.at("R").high, 8);
}

TEST(FieldSpecTest, ASizeIsCountedByALengthOrAMask) {
  const ModelInputs inputs = inputs_of(kAllSorts);
  EXPECT_TRUE(is_counted(inputs, "T"));
  EXPECT_TRUE(is_counted(inputs, "R"));
  EXPECT_FALSE(is_counted(inputs_of("[models.small.fields]\ntext = { shape = [\"T\"] }\n"), "T"));
}

TEST(FieldSpecTest, TheConfigOfTheCheckIsKept) {
  const ModelInputs inputs = inputs_of(kAllSorts);
  EXPECT_EQ(inputs.check_config.find("words")->as_integer(), 20);
  EXPECT_EQ(inputs.check_config.find("depth")->as_integer(), 2);
  EXPECT_EQ(inputs.check_config.find("image.layers[0]")->as_integer(), 2);
}

TEST(FieldSpecTest, WithoutTheTablesNothingIsKnown) {
  const ModelInputs inputs = inputs_of("");
  EXPECT_THAT(inputs.fields, IsEmpty());
  EXPECT_THAT(inputs.sizes, IsEmpty());
  EXPECT_THAT(inputs.check_config.as_table(), IsEmpty());
}

// A length without dtype is int64, as is a mask, and an integer without `low` begins at 0.
TEST(FieldSpecTest, WhatIsLeftOutIsTheUsual) {
  const ModelInputs inputs = inputs_of(
      "[models.small.fields]\na = {}\nb = { length = \"T\" }\nc = { mask = \"T\" }\n"
      "d = { dtype = \"int64\", shape = [\"T\"], below = 7 }\n");
  EXPECT_EQ(field_text(inputs.fields.at(0)), "a: float32 []");
  EXPECT_EQ(inputs.fields.at(1).type, FieldType::kInt64);
  EXPECT_EQ(inputs.fields.at(2).type, FieldType::kInt64);
  EXPECT_EQ(field_text(inputs.fields.at(3)), "d: int64 [T], at least 0, below 7");
}

struct BadTable {
  const char* name;
  const char* text;  // in the lines from 15 on, under [models.small.fields]
  const char* message;
};
void PrintTo(const BadTable& bad, std::ostream* stream) { *stream << bad.name; }

class BadFieldTest : public ::testing::TestWithParam<BadTable> {};

TEST_P(BadFieldTest, IsRefusedWithItsPlace) {
  const std::string text = GetParam().text;
  EXPECT_THAT(inputs_refusal_of("[models.small.fields]\n" + text + "\n"),
              AllOf(HasSubstr("small.so:plugin.toml:1"), HasSubstr(GetParam().message)));
}

std::string name_of_case(const ::testing::TestParamInfo<BadTable>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(
    Fields, BadFieldTest,
    ::testing::Values(
        BadTable{"NoTable", "a = \"int64\"",
                 "plugin.toml:15:5: 'models.small.fields.a' is a string; expected a table such as "
                 "{ dtype = \"int64\", shape = [] }"},
        BadTable{"UnknownKey", "a = { dtyp = \"int64\" }",
                 "15:14: unknown key 'models.small.fields.a.dtyp'; did you mean 'dtype'?"},
        BadTable{"FieldThatIsAGroup", "a = { dtype = \"bool\", b = { shape = [] } }",
                 "'models.small.fields.a' has fields in it and is one itself"},
        BadTable{"NameWithADot", "\"a.b\" = { shape = [] }", "is no name of a field"},
        BadTable{"UnknownType", "a = { dtype = \"int46\" }",
                 "'models.small.fields.a.dtype' is 'int46'; did you mean 'int64'?"},
        BadTable{"TypeThatIsNoText", "a = { dtype = 64 }", "is an integer; expected a string"},
        BadTable{"ShapeThatIsNoArray", "a = { shape = 3 }",
                 "'models.small.fields.a.shape' is an integer; expected an array of numbers"},
        BadTable{"DimensionOfNothing", "a = { shape = [3, 0] }",
                 "has 0 in it; expected numbers from 1 to 16777216, keys of the config and sizes"},
        BadTable{"DimensionThatIsAFloat", "a = { shape = [1.5] }", "has 1.5 in it"},
        BadTable{"DimensionOfNoKey", "a = { shape = [\"wrods\"] }",
                 "names 'wrods', which is neither a key of the model's config nor a size, whose "
                 "name begins with a capital letter; did you mean 'words'?"},
        BadTable{"DimensionOfNoKeyWithin", "a = { shape = [\"image.din\"] }",
                 "did you mean 'image.dim'?"},
        BadTable{"DimensionOfAKeyThatIsNoNumber", "a = { shape = [\"act\"] }",
                 "names 'act', which is a string in the model's config; expected an integer"},
        BadTable{"BelowOfNoKey", "a = { dtype = \"int64\", below = \"word\" }",
                 "'models.small.fields.a.below' names 'word'"},
        BadTable{"BelowOfAFloat", "a = { below = 3 }",
                 "'models.small.fields.a.below' cannot be beside dtype = \"float32\""},
        BadTable{"BelowThatIsNothing", "a = { dtype = \"int64\", below = 0 }",
                 "is 0; expected an integer of 1 or more, or a key of the config"},
        BadTable{"BelowThatIsAFloat", "a = { dtype = \"int64\", below = 2.5 }", "is 2.5; expected"},
        BadTable{"BelowAndHigh", "a = { dtype = \"int64\", below = 3, high = 2 }",
                 "'models.small.fields.a.high' cannot be beside 'below'; leave it out"},
        BadTable{"BelowThatIsLow", "a = { dtype = \"int64\", low = 3, below = 3 }",
                 "'models.small.fields.a.below' is not more than 'low'"},
        BadTable{"IntegerWithoutAnEnd", "a = { dtype = \"int64\", low = 1 }",
                 "'models.small.fields.a' has no upper bound, and an index beyond a table ends a "
                 "model; add below = "},
        BadTable{"LowAboveHigh", "a = { low = 2, high = 1 }",
                 "'models.small.fields.a.high' is less than 'low'"},
        BadTable{"HalfOfTheBounds", "a = { low = 2 }", "is one bound of two; add the other"},
        BadTable{"BoundThatIsNoNumber", "a = { low = \"0\", high = 1 }",
                 "is \"0\"; expected a finite number, as dtype is float32"},
        BadTable{"BoundThatIsInfinite", "a = { low = 0, high = inf }", "is inf; expected a finite"},
        BadTable{"BoundThatIsNan", "a = { low = nan, high = 1 }", "is nan; expected a finite"},
        BadTable{"FractionOfAnInteger", "a = { dtype = \"int64\", low = 0, high = 1.5 }",
                 "is 1.5; expected an integer, as dtype is int64"},
        BadTable{"IntegerThatADoubleHasNot", "a = { dtype = \"int64\", high = 9007199254740994 }",
                 "expected an integer"},
        BadTable{"BoundsOfABoolean", "a = { dtype = \"bool\", low = 0 }",
                 "'models.small.fields.a.low' cannot be beside dtype = \"bool\""},
        BadTable{"ShapeOfAText", "a = { dtype = \"string\", shape = [2] }",
                 "'models.small.fields.a.shape' cannot be beside dtype = \"string\""},
        BadTable{"LengthWithAShape", "a = { length = \"T\", shape = [\"T\"] }",
                 "'models.small.fields.a.shape' cannot be beside 'length'"},
        BadTable{"MaskWithAShape", "a = { mask = \"T\", shape = [\"T\"] }",
                 "'models.small.fields.a.shape' cannot be beside 'mask'"},
        BadTable{"LengthAndMask", "a = { length = \"T\", mask = \"T\" }",
                 "'models.small.fields.a.mask' cannot be beside 'length'"},
        BadTable{"LengthOfNoSize", "a = { length = \"t\" }",
                 "is 't'; expected the name of a size, which begins with a capital letter"},
        BadTable{"LengthOfASizeThatNobodyHas", "a = { shape = [\"Tx\"] }\nb = { length = \"Ty\" }",
                 "plugin.toml:16:16: 'models.small.fields.b.length' is 'Ty', a size that no field "
                 "has in its shape; did you mean 'Tx'?"},
        BadTable{"LengthThatIsAFloat", "a = { length = \"T\", dtype = \"float32\" }",
                 "is 'float32'; expected int64, as it is a length"},
        BadTable{"MaskThatIsAText", "a = { mask = \"T\", dtype = \"string\" }",
                 "is 'string'; expected int64, bool or float32, as it is a mask"},
        BadTable{"OneHotOfIntegers", "a = { dtype = \"int64\", shape = [3], one_hot = true }",
                 "'models.small.fields.a.dtype' is 'int64'; expected float32, as it is one_hot"},
        BadTable{"OneHotThatIsNoBoolean", "a = { shape = [3], one_hot = 1 }",
                 "is an integer; expected true or false"},
        BadTable{"OneHotWithoutAShape", "a = { one_hot = true }",
                 "'models.small.fields.a.one_hot' is for a field with a shape"},
        BadTable{"OneHotWithBounds", "a = { shape = [3], one_hot = true, low = 0, high = 1 }",
                 "'models.small.fields.a.low' cannot be beside 'one_hot'"},
        BadTable{"PadWithoutPadding", "a = { shape = [\"T\"], pad = 1 }",
                 "is for padding, and no size in the shape has a length or a mask"},
        BadTable{"PadOfAnotherType",
                 "a = { dtype = \"bool\", shape = [\"T\"], pad = 1 }\nb = { length = \"T\" }",
                 "is 1; expected true or false"},
        BadTable{"TwoFieldsOfOneName", "a = { shape = [] }\na = { shape = [] }", "16"}),
    name_of_case);

class BadCheckTest : public ::testing::TestWithParam<BadTable> {};

TEST_P(BadCheckTest, IsRefusedWithItsPlace) {
  const std::string text = GetParam().text;
  const std::string fields = "[models.small.fields]\ntext = { shape = [\"T\"] }\n";
  EXPECT_THAT(inputs_refusal_of(fields + "[models.small.check]\n" + text + "\n"),
              AllOf(HasSubstr("small.so:plugin.toml:17"), HasSubstr(GetParam().message)));
}

INSTANTIATE_TEST_SUITE_P(
    Checks, BadCheckTest,
    ::testing::Values(
        BadTable{"UnknownKey", "confg = {}",
                 "unknown key 'models.small.check.confg'; did you mean 'config'?"},
        BadTable{"ConfigThatIsNoTable", "config = 3",
                 "'models.small.check.config' is an integer; expected a table"},
        BadTable{"KeyThatTheModelHasNot", "config = { wrods = 3 }",
                 "models.small.check.config.wrods (small.so:plugin.toml:17:20) is not a known key; "
                 "did you mean 'words'?"},
        BadTable{"ValueOutOfBounds", "config = { words = -1 }",
                 "models.small.check.config.words = -1 (small.so:plugin.toml:17:20) is out of "
                 "range; expected at least 1"},
        BadTable{"ValueOfAnotherType", "config = { depth = \"deep\" }",
                 "is a string; expected an integer"},
        BadTable{"WithoutGradientThatIsNoArray", "without_gradient = \"pooler\"",
                 "without_gradient"},
        BadTable{"SizesThatAreNoTable", "sizes = [1, 2]",
                 "'models.small.check.sizes' is an array; expected a table"},
        BadTable{"SizeThatNoFieldHas", "sizes = { TT = [1, 2] }",
                 "'models.small.check.sizes.TT' is a size that no field has in its shape"},
        BadTable{"SizeThatIsANumber", "sizes = { T = 3 }",
                 "is 3; expected [least, most], each from 1 to 1048576"},
        BadTable{"SizeOfThree", "sizes = { T = [1, 2, 3] }", "expected [least, most]"},
        BadTable{"SizeOfNothing", "sizes = { T = [0, 2] }", "is [0, 2]; expected"},
        BadTable{"SizeThatIsAFloat", "sizes = { T = [1, 2.5] }", "is [1, 2.5]; expected"},
        BadTable{"SizeFromMoreToLess", "sizes = { T = [3, 2] }",
                 "is [3, 2], which is from more to less; swap the two"}),
    name_of_case);

TEST(FieldSpecTest, AnUnknownKeyWithinATableOfTheCheckIsRefused) {
  const std::string tables = R"([models.other]
description = ""
[models.other.config]
heads = [{ type = "mlp", params = { dim = 8 } }]
[models.other.spec]
heads.params.dim = { low = 1 }
[models.other.check]
config = { heads = [{ type = "mlp" }, { params = { dmi = 4 } }] }
)";
  EXPECT_THAT(
      inputs_refusal_of(tables),
      HasSubstr("models.other.check.config.heads[1].params.dmi (small.so:plugin.toml:21:58) "
                "is not a known key; did you mean 'dim'?"));
}

TEST(FieldSpecTest, DataSetsHaveNoFields) {
  EXPECT_THAT(inputs_refusal_of("[datasets.d]\ndescription = \"\"\nfields = {}\n"),
              HasSubstr("unknown key 'datasets.d.fields'"));
}

TEST(FieldSpecTest, MessagesArePrintable) {
  const std::string evil = "\\u001b[31m\\u009b";
  for (const std::string& field :
       {"a = { dtype = \"" + evil + "\" }", "a = { shape = [\"" + evil + "\"] }",
        "a = { \"" + evil + "\" = 1 }", "\"" + evil + "\" = {}",
        "a = { length = \"" + evil + "\" }",
        "a = { dtype = \"int64\", below = \"" + evil + "\" }"}) {
    EXPECT_THAT(inputs_refusal_of("[models.small.fields]\n" + field + "\n"),
                AllOf(Not(HasSubstr("\x1b")), Not(HasSubstr("\xc2\x9b"))));
  }
}

// What is quadratic in the fields, or in the keys of config and check.config, takes minutes.
TEST(FieldSpecTest, AHostileManifestTakesNoTime) {
  std::string tables = "[models.big]\ndescription = \"\"\n[models.big.config]\n";
  for (int i = 0; i < 10'000; ++i) tables += concat("k", i, " = 1\n");
  tables += "[models.big.check.config]\n";
  for (int i = 0; i < 10'000; ++i) tables += concat("k", i, " = 2\n");
  tables += "[models.big.fields]\n";
  for (int i = 0; i < 10'000; ++i) tables += concat("f", i, " = { shape = [\"T", i, "\"] }\n");
  const auto start = std::chrono::steady_clock::now();
  const PluginManifest manifest = parse_manifest(kSmallPlugin + tables, "big.so");
  EXPECT_EQ(manifest.models.at("big").inputs.fields.size(), 10'000U);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

}  // namespace
}  // namespace pergola::host
