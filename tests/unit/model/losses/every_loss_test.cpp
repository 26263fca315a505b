// SPDX-License-Identifier: BSD-3-Clause
// What holds for every loss, with the example of each from the kit.
#include "host/device/autocast.h"
#include "host/device/waiting_operations.h"
#include "unit/model/losses/loss_test_kit.h"

#include <ATen/ATen.h>

#include <gmock/gmock.h>

#include <exception>
#include <limits>

namespace pergola::host::loss_test {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

// Calls check(key) for every loss of the host.
template <class Check>
void for_every_loss(const Check& check) {
  for (const std::string& key : losses().keys(Kind::kLoss)) {
    SCOPED_TRACE(key);
    check(key);
  }
}

Given example_in(at::ScalarType type, const std::string& key) {
  return with_output(example(key), [&](const at::Tensor& t) { return t.to(type); });
}

// The example, with the first row of each of the model's tensors in turn set to `number`.
void expect_not_finite(const std::string& key, double number) {
  const Given given = example_in(at::kFloat, key);
  for (const auto& [name, tensor] : given.output) {
    if (tensor.dim() == 0) continue;  // an infinite temperature makes all alike
    Given changed = given;
    changed.output[name] = tensor.clone();
    changed.output[name].select(0, 0).fill_(number);
    EXPECT_FALSE(std::isfinite(value(changed))) << name;
  }
}

// What a message of the loss begins with: multi leaves the checks to its parts.
std::string begin_of_message(const std::string& key) {
  return "loss " + (key == "multi" ? "mse" : key) + ": ";
}

TEST(EveryLossTest, GradientsAreThoseOfDifferences) {
  for_every_loss([](const std::string& key) { expect_gradients(example(key)); });
}

TEST(EveryLossTest, SecondGradientsAreThoseOfDifferences) {
  for_every_loss([](const std::string& key) { expect_second_gradients(example(key)); });
}

TEST(EveryLossTest, OneSampleHasAFiniteLossWithRightGradients) {
  for_every_loss([](const std::string& key) {
    const Given one = example(key, 1);
    EXPECT_TRUE(std::isfinite(value(one)));
    expect_gradients(one);
  });
}

TEST(EveryLossTest, NoSampleIsAnErrorOfData) {
  for_every_loss([](const std::string& key) {
    const std::string message = error_of(example(key, 0));
    EXPECT_THAT(message, StartsWith(begin_of_message(key) + "found the model's "));
    EXPECT_THAT(message, HasSubstr("[0, "));
    EXPECT_THAT(message, HasSubstr("; expected at least one sample"));
  });
}

TEST(EveryLossTest, InputsAreNotWrittenTo) {
  for_every_loss([](const std::string& key) {
    const Given given = leaves_of(example_in(at::kFloat, key));
    const auto each = [&](const auto& call) {
      for (const auto& [name, tensor] : given.output) call("model's " + name, tensor);
      for (const auto& [name, tensor] : given.batch) call(name, tensor);
    };
    Tensors before;
    std::map<std::string, std::uint32_t> versions;
    each([&](const std::string& name, const at::Tensor& tensor) {
      before[name] = tensor.detach().clone();
      versions[name] = tensor._version();
    });
    total(given).backward();
    each([&](const std::string& name, const at::Tensor& tensor) {
      EXPECT_TRUE(at::equal(tensor, before[name])) << name;
      EXPECT_EQ(tensor._version(), versions[name]) << name << " was written to";
    });
  });
}

TEST(EveryLossTest, NanIsNeverDropped) {
  for_every_loss([](const std::string& key) {
    expect_not_finite(key, std::numeric_limits<double>::quiet_NaN());
  });
}

TEST(EveryLossTest, InfinityIsNeverDropped) {
  for_every_loss([](const std::string& key) {
    expect_not_finite(key, std::numeric_limits<double>::infinity());
  });
}

TEST(EveryLossTest, HalfPrecisionIsComputedInSingle) {
  for_every_loss([](const std::string& key) {
    for (const at::ScalarType type : {at::kHalf, at::kBFloat16}) {
      const Given half = leaves_of(example_in(type, key));
      const at::Tensor found = total(half);
      EXPECT_EQ(found.scalar_type(), at::kFloat);
      const double expected =
          value(with_output(half, [](const at::Tensor& t) { return t.to(at::kFloat); }));
      EXPECT_NEAR(found.item<double>(), expected, 1e-6 * std::abs(expected));
      found.backward();
      for (const auto& [name, tensor] : half.output) {
        ASSERT_TRUE(tensor.grad().defined()) << name;
        EXPECT_EQ(tensor.grad().scalar_type(), type) << name;
        EXPECT_TRUE(tensor.grad().isfinite().all().item<bool>()) << name;
      }
    }
  });
}

// To the last bit: where a loss multiplies matrices, autocast would round to a lower precision.
TEST(EveryLossTest, AutocastChangesNothing) {
  for_every_loss([](const std::string& key) {
    const Given given = leaves_of(example_in(at::kFloat, key));
    const Given same = leaves_of(given);
    const at::Tensor expected = total(given);
    expected.backward();
    for (const Precision precision : {Precision::kBf16, Precision::kFp16}) {
      for (const auto& [name, tensor] : same.output) tensor.mutable_grad().reset();
      at::Tensor found;
      {
        const AutocastScope scope(at::kCPU, precision);
        found = total(same);
      }
      EXPECT_EQ(found.scalar_type(), at::kFloat);
      EXPECT_TRUE(found.equal(expected));
      found.backward();
      for (const auto& [name, tensor] : same.output) {
        EXPECT_TRUE(tensor.grad().equal(given.output.at(name).grad())) << name;
      }
    }
  });
}

TEST(EveryLossTest, HalfPrecisionTargetsAreTakenAsSingle) {
  for_every_loss([](const std::string& key) {
    Given half = example_in(at::kHalf, key);
    for (auto& [name, tensor] : half.batch) {
      if (tensor.is_floating_point()) tensor = tensor.to(at::kHalf);
    }
    Given single = with_output(half, [](const at::Tensor& t) { return t.to(at::kFloat); });
    for (auto& [name, tensor] : single.batch) {
      if (tensor.is_floating_point()) tensor = tensor.to(at::kFloat);
    }
    EXPECT_EQ(value(half), value(single));
  });
}

// 65504 is the highest number of half precision; products of these are beyond it.
TEST(EveryLossTest, LargeHalfPrecisionScoresDoNotOverflow) {
  for_every_loss([](const std::string& key) {
    const bool takes_probabilities = key == "bce" || key == "attention_supervision";
    const double factor = takes_probabilities ? 1 : 300;
    EXPECT_TRUE(std::isfinite(value(with_output(
        example(key), [&](const at::Tensor& t) { return (t * factor).to(at::kHalf); }))));
  });
}

TEST(EveryLossTest, NoOperatorWaitsForTheDevice) {
  for_every_loss([](const std::string& key) {
    const Given given = leaves_of(example_in(at::kFloat, key));
    const auto loss = make_loss(given.loss, given.params);
    const SampleList batch = batch_of(given);
    const ModelOutput output = output_of(given);
    const ::pergola::host::WaitingOperations watch;
    total_loss(loss->compute(batch, output)).backward();
    EXPECT_THAT(watch.counts(), IsEmpty());
  });
}

// As many numbers as VQA 2.0 has in a batch: the sum of 1.6 million must not drift, and it is
// summed in another way on its way back.
TEST(EveryLossTest, SumsOfARealSizeAreThoseInDoublePrecision) {
  at::manual_seed(1);
  constexpr std::int64_t kBatch = 512;
  constexpr std::int64_t kAnswers = 3129;
  const at::Tensor p = at::rand({kBatch, kAnswers}).clamp(1e-4, 1 - 1e-4);
  const at::Tensor t = at::rand({kBatch, kAnswers});
  const Given givens[] = {{"bce", {}, {{"scores", p}}, {{"targets", t}}},
                          {"attention_supervision",
                           {},
                           {{"attentions", p}},
                           {{"targets", t}, {"info.attention_supervision", t}}}};
  const at::Tensor wide_p = p.to(at::kDouble);
  const at::Tensor wide_t = t.to(at::kDouble);
  const at::Tensor each = -(wide_t * wide_p.log() + (1 - wide_t) * at::log1p(-wide_p));
  const at::Tensor of_each = (wide_p - wide_t) / (wide_p * (1 - wide_p) * kBatch);  // its gradient
  for (const Given& given : givens) {
    SCOPED_TRACE(given.loss);
    const at::Tensor weight = given.loss == "bce" ? at::ones_like(wide_t) : wide_t;
    const double expected = (each * weight).sum().item<double>() / kBatch;
    const Given leaves = leaves_of(given);
    const at::Tensor found = total(leaves);
    EXPECT_NEAR(found.item<double>(), expected, 1e-5 * expected);
    found.backward();
    const at::Tensor gradient = leaves.output.begin()->second.grad().to(at::kDouble);
    const at::Tensor expected_gradient = of_each * weight;
    EXPECT_LE((gradient - expected_gradient).norm().item<double>(),
              1e-5 * expected_gradient.norm().item<double>());
  }
}

TEST(EveryLossTest, AnotherBatchSizeIsShownAndNotBroadcast) {
  for_every_loss([](const std::string& key) {
    Given given = example(key);
    at::Tensor& first = given.output.begin()->second;
    for (auto& [name, tensor] : given.output) {
      if (tensor.dim() > 0) tensor = at::cat({tensor, tensor.narrow(0, 0, 1)});
      if (name == "scores" || name == "embedding_1") break;
    }
    const std::string message = error_of(given);
    EXPECT_THAT(message, StartsWith(begin_of_message(key) + "found "));
    EXPECT_THAT(message, HasSubstr(concat(first.sizes(), " Double")));
    EXPECT_THAT(message, HasSubstr("; expected "));
  });
}

TEST(EveryLossTest, AModelThatReturnsNothingIsToldWhatIsMissing) {
  for_every_loss([](const std::string& key) {
    Given given = example(key);
    const std::string name =
        given.output.count("scores") > 0 ? "scores" : given.output.begin()->first;
    given.output.clear();
    const std::string message = error_of(given);
    EXPECT_THAT(message, StartsWith(begin_of_message(key) + "the model returned no "));
    EXPECT_THAT(message, HasSubstr(name));
    EXPECT_THAT(message, HasSubstr("; set ModelOutput::"));
  });
}

TEST(EveryLossTest, UnknownParameterIsRefused) {
  for_every_loss([](const std::string& key) {
    Given given = example(key);
    given.params["wieght"] = 1;
    EXPECT_THAT(error_of(given, ErrorKind::kConfig), HasSubstr("losses[0].params.wieght"));
  });
}

// Operators throw for a number that is none of float32, and that would be to blame the plugin.
TEST(EveryLossTest, NumbersThatAreTakenAreOnesToComputeWith) {
  for_every_loss([](const std::string& key) {
    for (const ParamSpec& param : losses().spec(Kind::kLoss, key)->params) {
      if (param.fallback.type() != Value::Type::kFloat && param.type != Value::Type::kFloat) {
        continue;
      }
      for (const double number : {1e-300, 1e39, 1e300, -1e300}) {
        SCOPED_TRACE(concat(param.name, " = ", number));
        Given given = leaves_of(example_in(at::kFloat, key));
        given.params[param.name] = number;
        try {
          total(given).backward();
        } catch (const Error& error) {
          EXPECT_EQ(error.kind(), ErrorKind::kConfig) << error.what();
        } catch (const std::exception& error) {
          ADD_FAILURE() << error.what();
        }
      }
    }
  });
}

TEST(EveryLossTest, SaysWhatItIsInOneLine) {
  for_every_loss([](const std::string& key) {
    const ComponentSpec spec = losses().spec(Kind::kLoss, key).value();
    EXPECT_FALSE(spec.summary.empty());
    EXPECT_EQ(spec.summary.find('\n'), std::string::npos);
    for (const ParamSpec& param : spec.params) EXPECT_FALSE(param.meaning.empty()) << param.name;
  });
}

TEST(EveryLossTest, IsOneOfThe23OfMmf) { EXPECT_EQ(losses().keys(Kind::kLoss).size(), 23U); }

}  // namespace
}  // namespace pergola::host::loss_test
