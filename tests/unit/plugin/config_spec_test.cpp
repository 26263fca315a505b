// SPDX-License-Identifier: BSD-3-Clause
// [models.<key>.spec]: what it may say, what configs are held to by it, and how it is printed.
#include "host/plugin/config_spec.h"

#include "fixtures/plugins/plugin_files.h"
#include "host/config/merge.h"
#include "host/config/params_toml.h"
#include "host/config/toml.h"
#include "host/plugin/manifest.h"
#include "pergola/error.h"
#include "unit/support/error_of.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <filesystem>

namespace pergola::host {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

const std::string kTinyPlugin = R"(name = "tiny"
version = "0.1.0"
license = "BSD-3-Clause"
description = ""
[models.tiny]
description = "A small one"
)";

// Of each kind of key one; the config begins in line 8, the spec in line 16.
const std::string kTinyTables = R"([models.tiny.config]
act = "relu"
dropout = 0.1
encoder = "none"
heads = [{ type = "mlp", params = { dim = 8 } }]
sizes = [4, 8]
words = 0
cnn = { dim = 3, other = 1 }
[models.tiny.spec]
act = { meaning = "activation", choices = ["relu", "tanh"] }
dropout = { meaning = "share that is dropped", low = 0, high = 1 }
encoder.meaning = "makes regions"
encoder.type = { choices = ["none", "grid"] }
encoder.params.channels = { meaning = "of each layer", type = "array", low = 1, high = 64 }
heads.type = { choices = ["mlp", "linear"] }
heads.params.dim = { meaning = "width", low = 1 }
sizes = { low = 1 }
words = { meaning = "words", need = "fact", low = 1 }
cnn.dim = { low = 1 }
depth = { meaning = "layers", type = "integer", low = 1 }
)";

ConfigurableManifest tiny(const std::string& tables = kTinyTables) {
  return parse_manifest(kTinyPlugin + tables, "tiny.so:plugin.toml").models.at("tiny");
}

std::string spec_refusal_of(const std::string& spec) {
  const std::string config = "[models.tiny.config]\na = 1\nb = \"x\"\nt = { c = 2 }\n";
  return test::error_of([&] { (void)tiny(config + "[models.tiny.spec]\n" + spec); },
                        ErrorKind::kPlugin);
}

// Checks what a run.toml of [model_config.tiny] would make of the defaults; "" when it is taken.
void check_run(const std::string& config, const std::string& tables = kTinyTables) {
  const ConfigurableManifest model = tiny(tables);
  Value root = model.config;
  merge(root, parse_toml(config, "run.toml"));
  check_params(Config(root, "model_config.tiny"), model.params, "`inspect`");
}
std::string complaint_of_run(const std::string& config, const std::string& tables = kTinyTables) {
  return test::error_of([&] { check_run(config, tables); }, ErrorKind::kConfig);
}

TEST(ConfigSpecTest, FieldsAreThoseOfAParamSpec) {
  const ConfigParams params = tiny().params;
  std::vector<std::string> names;
  for (const ConfigParam& param : params) names.push_back(param.spec.name);
  EXPECT_THAT(names,
              ElementsAre("act", "cnn", "depth", "dropout", "encoder", "heads", "sizes", "words"));
  EXPECT_THAT(params[0].spec.choices, ElementsAre("relu", "tanh"));
  EXPECT_EQ(params[0].spec.fallback, Value("relu"));
  EXPECT_EQ(params[2].spec.type, Value::Type::kInteger);
  EXPECT_TRUE(params[2].spec.fallback.is_null());
  EXPECT_EQ(params[3].spec.meaning, "share that is dropped");
  EXPECT_EQ(params[3].spec.low, 0);
  EXPECT_EQ(params[3].spec.high, 1);
  EXPECT_TRUE(std::isinf(params[6].spec.high));
  EXPECT_EQ(params[7].zero, ConfigParam::Zero::kIsAFact);
}

TEST(ConfigSpecTest, DefaultsAndWhatIsInBoundsAreTaken) {
  check_run("");
  check_run("act = \"tanh\"\ndropout = 1\nsizes = []\ndepth = 3\n");
  check_run("encoder = \"grid\"\nheads = [\"linear\", { type = \"mlp\" }]\n");
  check_run("encoder = { type = \"grid\", params = { channels = [1, 64] } }\n");
}

TEST(ConfigSpecTest, ZeroStandsForAFactOfTheDataSet) {
  check_run("words = 0\n");
  check_run("words = 7\n");
  EXPECT_THAT(complaint_of_run("words = -1\n"),
              HasSubstr("expected at least 1; words: words; where it "
                        "is 0, the data set gives it; `inspect`"));
}

TEST(ConfigSpecTest, ANumberOutOfBoundsIsRefusedWithItsPlaceAndMeaning) {
  EXPECT_EQ(complaint_of_run("dropout = 1.5\n"),
            "model_config.tiny.dropout = 1.5 (run.toml:1:11) is out of range; expected 0 to 1; "
            "dropout: share that is dropped; `inspect` shows all keys");
  EXPECT_THAT(complaint_of_run("sizes = [4, 0]\n"),
              StartsWith("model_config.tiny.sizes[1] = 0 (run.toml:1:13) is out of range; "
                         "expected at least 1; `inspect` shows all keys"));
  EXPECT_THAT(complaint_of_run("dropout = nan\n"), HasSubstr("is not a finite number"));
}

TEST(ConfigSpecTest, AWordThatIsNoChoiceIsRefusedWithTheClosest) {
  EXPECT_EQ(complaint_of_run("act = \"relo\"\n"),
            "model_config.tiny.act = \"relo\" (run.toml:1:7) is not one of relu, tanh; did you "
            "mean 'relu'?; act: activation; `inspect` shows all keys");
}

TEST(ConfigSpecTest, AnotherTypeIsRefused) {
  EXPECT_THAT(complaint_of_run("dropout = \"much\"\n"),
              HasSubstr("is a string; expected a number"));
  EXPECT_THAT(complaint_of_run("act = 3\n"), HasSubstr("is an integer; expected a string"));
  EXPECT_THAT(complaint_of_run("depth = 2.5\n"), HasSubstr("is a float; expected an integer"));
  EXPECT_THAT(complaint_of_run("sizes = 4\n"), HasSubstr("is an integer; expected an array"));
  EXPECT_THAT(complaint_of_run("heads = \"mlp\"\n"), HasSubstr("is a string; expected an array"));
  EXPECT_THAT(complaint_of_run("cnn = 3\n"), HasSubstr("is an integer; expected a table"));
}

TEST(ConfigSpecTest, AnArrayOfNumbersHoldsNothingElse) {
  EXPECT_THAT(complaint_of_run("sizes = [4, 2.5]\n"),
              HasSubstr("sizes[1] = 2.5 (run.toml:1:13) is a float; expected an integer"));
  // Without a default, the bounds say that it is one of numbers.
  EXPECT_THAT(complaint_of_run("encoder = { type = \"grid\", params = { channels = [\"a\"] } }\n"),
              HasSubstr("encoder.params.channels[0] = \"a\" (run.toml:1:51) is a string"));
}

TEST(ConfigSpecTest, KeysWithinTablesAreChecked) {
  EXPECT_THAT(complaint_of_run("cnn = { dim = 0 }\n"),
              StartsWith("model_config.tiny.cnn.dim = 0 (run.toml:1:15) is out of range"));
  EXPECT_THAT(complaint_of_run("cnn = { dmi = 4 }\n"),
              StartsWith("model_config.tiny.cnn.dmi (run.toml:1:15) is not a known key; did you "
                         "mean 'dim'?"));
  check_run(
      "cnn = { other = \"what nobody described\" }\n",
      "[models.tiny.config]\ncnn = { other = \"\" }\n[models.tiny.spec]\ncnn.meaning = \"c\"\n");
}

TEST(ConfigSpecTest, EachTableOfAnArrayIsChecked) {
  EXPECT_THAT(complaint_of_run("heads = [\"mlp\", { type = \"mlp\", params = { dim = 0 } }]\n"),
              StartsWith("model_config.tiny.heads[1].params.dim = 0 (run.toml:1:50) is out"));
  EXPECT_THAT(complaint_of_run("heads = [{ type = \"mpl\" }]\n"),
              AllOf(StartsWith("model_config.tiny.heads[0].type = \"mpl\" (run.toml:1:19)"),
                    HasSubstr("did you mean 'mlp'?")));
  EXPECT_THAT(complaint_of_run("heads = [3]\n"), HasSubstr("expected a name or {type = \"name\""));
}

TEST(ConfigSpecTest, ANameInPlaceOfATableIsCheckedAsItsType) {
  EXPECT_EQ(complaint_of_run("encoder = \"gird\"\n"),
            "model_config.tiny.encoder = \"gird\" (run.toml:1:11) is not one of none, grid; did "
            "you mean 'grid'?; encoder: makes regions; `inspect` shows all keys");
  EXPECT_THAT(complaint_of_run("heads = [\"mlq\"]\n"),
              StartsWith("model_config.tiny.heads[0] = \"mlq\" (run.toml:1:10) is not one of"));
}

TEST(ConfigSpecTest, ARequiredKeyIsMissed) {
  const std::string tables =
      "[models.tiny.spec]\nfile = { meaning = \"weights\", type = \"string\", need = \"required\" "
      "}\n";
  check_run("file = \"a\"\n", tables);
  EXPECT_THAT(complaint_of_run("", tables),
              AllOf(StartsWith("model_config.tiny.file is missing"),
                    EndsWith("; file: weights; `inspect` shows all keys")));
}

TEST(ConfigSpecTest, OfAKeyThatIsNotDescribedTheSortOfANumberIsKnown) {
  const std::string tables =
      "[models.tiny.config]\nn = 1\nx = 0.5\nflag = true\nword = \"a\"\nlist = []\n";
  check_run("n = 0.5\nx = 2\nflag = false\nword = [\"b\"]\nlist = {}\n", tables);
  EXPECT_THAT(complaint_of_run("n = \"a\"\n", tables), HasSubstr("is a string; expected a number"));
  EXPECT_THAT(complaint_of_run("flag = 1\n", tables), HasSubstr("expected true or false"));
  EXPECT_THAT(complaint_of_run("flog = true\n", tables), HasSubstr("did you mean 'flag'?"));
}

TEST(ConfigSpecTest, WhatNobodyBoundsMayBeInfinite) {
  const std::string tables =
      "[models.tiny.config]\nclip = inf\nsteps = [1.0, inf]\n[models.tiny.spec]\n"
      "clip.meaning = \"c\"\n";
  check_run("steps = [inf]\n", tables);
  EXPECT_THAT(complaint_of_run("clip = \"a\"\n", tables), HasSubstr("expected a number"));
  EXPECT_THAT(complaint_of_run("steps = [\"a\"]\n", tables), HasSubstr("expected a number"));
}

TEST(ConfigSpecTest, ATypeMayBeWiderThanThatOfTheDefault) {
  const std::string config = "[models.tiny.config]\nx = 0\ny = \"a\"\n[models.tiny.spec]\n";
  const std::string tables = config + "x = { type = \"float\" }\ny = { type = \"any\" }\n";
  check_run("x = 0.5\ny = [1]\n", tables);
  EXPECT_THAT(complaint_of_run("x = \"a\"\n", tables), HasSubstr("expected a number"));
}

struct BadSpec {
  const char* name;
  const char* text;  // in line 11
  const char* message;
};
void PrintTo(const BadSpec& bad, std::ostream* stream) { *stream << bad.name; }

class BadSpecTest : public ::testing::TestWithParam<BadSpec> {};

TEST_P(BadSpecTest, IsRefusedWithItsPlace) {
  EXPECT_THAT(spec_refusal_of(std::string(GetParam().text) + "\n"),
              AllOf(HasSubstr("tiny.so:plugin.toml:"), HasSubstr(GetParam().message)));
}

INSTANTIATE_TEST_SUITE_P(
    Specs, BadSpecTest,
    ::testing::Values(
        BadSpec{"NoTable", "a = \"width\"",
                "plugin.toml:12:5: 'models.tiny.spec.a' is a string; expected a table such as { "
                "meaning = "},
        BadSpec{"UnknownField", "a = { menaing = \"\" }",
                "12:17: 'models.tiny.spec.a.menaing' says nothing that is known; did you mean "
                "'meaning'?"},
        BadSpec{"TypoOfAKey", "bb = { meaning = \"\" }",
                "12:6: 'models.tiny.spec.bb' is about a key without a default; did you mean 'b'?"},
        BadSpec{"NeitherDefaultNorType", "width = { low = 1 }",
                "is about a key without a default; give it one, or say its type (type = "
                "\"integer\")"},
        BadSpec{"TypoWithinATable", "t.cc = { low = 1 }",
                "'models.tiny.spec.t.cc' is about a key without a default; did you mean 'c'?"},
        BadSpec{"MeaningThatIsNoText", "a = { meaning = 3 }",
                "'models.tiny.spec.a.meaning' is an integer; expected a string"},
        BadSpec{"UnknownType", "a = { type = \"int\" }",
                "'models.tiny.spec.a.type' is 'int'; known are any, boolean, integer, float, "
                "string, array, table"},
        BadSpec{"TypeUnlikeTheDefault", "a = { type = \"string\" }",
                "is 'string', but the key is an integer by its default"},
        BadSpec{"TypeUnlikeTheKeysWithin", "t = { type = \"string\", c = { low = 1 } }",
                "is 'string', but the key is one with keys within, so a table or an array"},
        BadSpec{"BoundThatIsNoNumber", "a = { low = \"1\" }",
                "'models.tiny.spec.a.low' is a string; expected a number"},
        BadSpec{"BoundThatIsNan", "a = { high = nan }", "'models.tiny.spec.a.high' is a float"},
        BadSpec{"BoundOfAString", "b = { high = 3 }",
                "is for numbers and arrays of them, and b is of type string; leave it out"},
        BadSpec{"BoundsTheWrongWayRound", "a = { low = 2, high = 1 }",
                "'models.tiny.spec.a.low' is above 'high'"},
        BadSpec{"ChoicesOfANumber", "a = { choices = [\"1\"] }",
                "is for strings, and a is of type integer"},
        BadSpec{"ChoicesThatAreNoTexts", "b = { choices = [1] }", "expected a string"},
        BadSpec{"NoChoices", "b = { choices = [] }", "'models.tiny.spec.b.choices' is empty"},
        BadSpec{"UnknownNeed", "a = { need = \"require\" }", "did you mean 'required'?"},
        BadSpec{"RequiredWithADefault", "a = { need = \"required\" }",
                "is 'required', but the key has a default"},
        BadSpec{"FactWithinATable", "t.c = { need = \"fact\" }",
                "is 'fact', which is for keys at the top of a model's config"},
        BadSpec{"FactThatIsNoNumber", "b = { need = \"fact\" }", "with an integer as default"},
        BadSpec{"DefaultOutOfBounds", "a = { low = 2 }",
                "models.tiny.config.a = 1 (tiny.so:plugin.toml:8:5) is out of range; expected at "
                "least 2; change the default, or what models.tiny.spec says of it"},
        BadSpec{"DefaultThatIsNoChoice", "b = { choices = [\"y\"] }",
                "models.tiny.config.b = \"x\" (tiny.so:plugin.toml:9:5) is not one of y"},
        BadSpec{"DefaultOutOfBoundsWithinATable", "t.c = { high = 1 }",
                "models.tiny.config.t.c = 2 (tiny.so:plugin.toml:10:11) is out of range"},
        BadSpec{"KeyThatConfigCannotRead", "\"a.b\" = { type = \"integer\" }",
                "only keys of letters, digits, underscores and dashes can"},
        BadSpec{"KeyWithControlCharacters", "\"\\u001b[31m\" = { low = 1 }", "\\x1b[31m"}),
    [](const auto& param) { return std::string(param.param.name); });

TEST(ConfigSpecTest, MessagesArePrintable) {
  const std::string evil = "\\u001b[31m\\u009b";
  for (const std::string& spec :
       {"a = { meaning = \"" + evil + "\", low = 2 }", "b = { choices = [\"" + evil + "\"] }",
        "a = { \"" + evil + "\" = 1 }", "a = { type = \"" + evil + "\" }"}) {
    EXPECT_THAT(spec_refusal_of(spec), AllOf(Not(HasSubstr("\x1b")), Not(HasSubstr("\xc2\x9b"))));
  }
}

TEST(ConfigSpecTest, DataSetsHaveNoFacts) {
  const std::string text =
      kTinyPlugin +
      "[datasets.d]\ndescription = \"\"\nconfig = { n = 0 }\nspec.n = { need = \"fact\" }\n";
  EXPECT_THAT(test::error_of([&] { (void)parse_manifest(text, "d.so"); }, ErrorKind::kPlugin),
              HasSubstr("'datasets.d.spec.n.need' is 'fact'"));
}

TEST(ConfigSpecTest, AComponentIsDescribedInTheSameWords) {
  const std::string head = kTinyPlugin + "[provides.loss.focal]\ndescription = \"\"\n";
  const auto spec_of = [&](const std::string& text) {
    return component_spec(parse_manifest(head + text, "focal.so").all("loss").at("focal"));
  };
  const ComponentSpec spec = spec_of(
      "params = { gamma = 2.0, reduction = \"mean\" }\n[provides.loss.focal.spec]\n"
      "gamma = { meaning = \"how hard\", low = 0 }\nweight = { type = \"array\", low = 0 }\n");
  const auto complaint_of = [&](const Value& params) {
    return test::error_of([&] { (void)spec.complete(Config(params, "params")); });
  };
  EXPECT_EQ(complaint_of(Value::Table{{"gamma", -1}}),
            "params.gamma = -1 is out of range; expected at least 0");
  EXPECT_THAT(complaint_of(Value::Table{{"weight", 1}}), HasSubstr("expected an array"));
  EXPECT_EQ(spec.complete(Config()).get<double>("gamma"), 2.0);
  const auto refusal = [&](const std::string& text) {
    return test::error_of([&] { (void)spec_of(text); }, ErrorKind::kPlugin);
  };
  EXPECT_THAT(refusal("params = { t = { a = 1 } }\nspec.t.a = { low = 0 }\n"),
              HasSubstr("describes keys within, which only models and data sets can"));
  // The registry goes by the default's type.
  EXPECT_THAT(refusal("params = { a = 1 }\nspec.a = { type = \"float\" }\n"),
              HasSubstr("is 'float', but the key is an integer by its default"));
}

// The first TOML block of sdk/docs/authors_guide.md is a whole plugin.toml.
TEST(ConfigSpecTest, TheGuidesManifestIsSound) {
  const std::string guide = test::read_file(PERGOLA_GUIDE);
  const std::size_t begin = guide.find("```toml\n") + std::string("```toml\n").size();
  const std::string text = guide.substr(begin, guide.find("```", begin) - begin);
  const PluginManifest manifest = parse_manifest(text, "guide.toml");
  const ConfigParams& params = manifest.models.at("my_model").params;
  EXPECT_EQ(params.at(0).spec.name, "hidden_size");
  EXPECT_EQ(params.at(0).spec.high, 65536);
}

TEST(ConfigSpecTest, AHostileSpecTakesNoTime) {
  std::string tables = "[models.tiny.config]\nlist = [";
  for (int i = 0; i < 20'000; ++i) tables += concat("{k", i, " = 1},");
  tables += "]\n[models.tiny.spec.list]\n";
  for (int i = 0; i < 20'000; ++i) tables += concat("k", i, " = { low = 0 }\n");
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(tiny(tables).params[0].members.size(), 20'000U);
  // What is quadratic in one of the two takes minutes.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

TEST(ParamsTomlTest, EachKeyStandsUnderWhatIsKnownOfIt) {
  const ConfigurableManifest model = tiny();
  EXPECT_EQ(params_as_toml("model_config.tiny", model.config, model.params),
            R"([model_config.tiny]
# activation (relu or tanh)
act = "relu"
# depth has no default; an integer; layers (at least 1)
# share that is dropped (at least 0, at most 1)
dropout = 0.1
# makes regions
#   params.channels: of each layer (at least 1, at most 64)
#   type: (none or grid)
encoder = "none"
#   params.dim: width (at least 1)
#   type: (mlp or linear)
heads = [{params = {dim = 8}, type = "mlp"}]
# (at least 1)
sizes = [4, 8]
# words; where it is 0, the data set gives it (at least 1)
words = 0

[model_config.tiny.cnn]
# (at least 1)
dim = 3
other = 1
)");
}

TEST(ParamsTomlTest, NumbersAreWrittenOut) {
  ParamSpec spec;
  spec.low = 1e-12;
  spec.high = 134217728;
  EXPECT_EQ(limits_text(spec), "at least 1e-12, at most 134217728");
}

// Every key of what comes along is described, and what is printed reads back to the defaults.
TEST(ParamsTomlTest, ShippedPluginsAreDescribedWhollyAndReadBack) {
  int models = 0;
  for (const auto& entry : std::filesystem::directory_iterator(PERGOLA_PLUGIN_SOURCES)) {
    const std::filesystem::path file = entry.path() / "plugin.toml";
    if (!std::filesystem::exists(file)) continue;
    const PluginManifest manifest = parse_manifest(test::read_file(file), file.string());
    for (const auto& [key, model] : manifest.models) {
      ++models;
      const std::string toml = params_as_toml("model_config." + key, model.config, model.params);
      const Value back = parse_toml(toml, key + ".toml");
      EXPECT_EQ(*back.find("model_config." + key), model.config) << key;
      for (const ConfigParam& param : model.params) {
        const bool is_described = !param.spec.meaning.empty() || !param.members.empty();
        EXPECT_TRUE(is_described) << key << '.' << param.spec.name;
      }
    }
  }
  EXPECT_GE(models, 8);
}

TEST(ParamsTomlTest, KeysOfAnyTextReadBack) {
  const std::string tables =
      "[models.tiny.config]\n\"a b\" = { \"c.d\" = [1.5, inf], e = {} }\n\"\" = \"\\u0001\\n\"\n"
      "[models.tiny.config.t.u]\nx = -1\n";
  const ConfigurableManifest model = tiny(tables);
  const std::string toml = params_as_toml("m.tiny", model.config, model.params);
  EXPECT_EQ(*parse_toml(toml, "m.toml").find("m.tiny"), model.config) << toml;
}

}  // namespace
}  // namespace pergola::host
