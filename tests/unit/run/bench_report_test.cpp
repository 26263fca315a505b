// SPDX-License-Identifier: BSD-3-Clause
#include "host/run/bench_report.h"

#include "fixtures/temp_folder.h"
#include "host/support/json.h"
#include "pergola/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pergola::host {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// On a GPU, with all that can be measured.
BenchReport report() {
  BenchReport report;
  report.version = "0.1.0";
  report.conditions = {"tiny", "dots", "cuda:0 (NVIDIA H200)", "bf16",
                       64,     1,      BenchWork::kTraining,   1000};
  report.warm_up = 3;
  report.steps = 10;
  report.samples_per_second = {1000, 500, 900};
  report.tokens_per_second = {9000, 4500, 8100};
  report.step_ms = {70, 64, 128};
  report.data_wait = 0.032;
  report.replayed = 0.75;
  report.loop_ms = 70.07;
  report.replay_ms = 70;
  report.flops_per_sample = 1.1e11;
  report.peak_flops = 9.9e14;
  report.waits = {{"aten::nonzero", 0.5}, {"aten::_local_scalar_dense", 2}};
  report.kernels = 812;
  report.peak_bytes = std::int64_t{3} << 30;
  report.on_gpu = true;
  return report;
}

// On a CPU, of batches that have no text.
BenchReport report_of_cpu() {
  BenchReport changed = report();
  changed.conditions.device = "cpu (2 threads)";
  changed.conditions.precision = "fp32";
  changed.conditions.update_frequency = 2;
  changed.tokens_per_second.clear();
  changed.peak_flops.reset();
  changed.kernels.reset();
  changed.replayed.reset();
  changed.loop_ms.reset();
  changed.replay_ms.reset();
  changed.waits.clear();
  changed.on_gpu = false;
  return changed;
}

Comparison beside(double samples_per_second, double tolerance) {
  const Baseline baseline{"old.json", samples_per_second, report().conditions.to_value()};
  return compare_with(baseline, report(), tolerance);
}

TEST(BenchSpread, LiesBetweenTwoNumbersInProportion) {
  // Of 0, 1, ..., 5: the median is between 2 and 3, a tenth of the way from 0 to 5 is 0.5.
  const Spread spread = spread_of({5, 3, 1, 0, 2, 4});
  EXPECT_DOUBLE_EQ(spread.median, 2.5);
  EXPECT_DOUBLE_EQ(spread.p10, 0.5);
  EXPECT_DOUBLE_EQ(spread.p90, 4.5);
}

TEST(BenchSpread, OfOneNumberIsThatNumber) {
  const Spread spread = spread_of({7});
  EXPECT_EQ(spread.median, 7);
  EXPECT_EQ(spread.p10, 7);
  EXPECT_EQ(spread.p90, 7);
}

// 1.1e11 FLOPs x 900 samples/s = 9.9e13, a tenth of the peak. 70.07 / 70 = 1.001.
TEST(BenchReport, TextHasALineForEachNumber) {
  EXPECT_EQ(as_text(report(), nullptr),
            "tiny on dots, cuda:0 (NVIDIA H200), bf16, batch size 64: median of 3 x 10 steps, "
            "after 3\n"
            "  samples/s         900 (windows 500 to 1000)\n"
            "  tokens/s          8100 (windows 4500 to 9000), without padding\n"
            "  step              70 ms (p10 64, p90 128)\n"
            "  data wait         3.2% of the time\n"
            "  FLOPs             110 GFLOP a sample, 99 TFLOP/s\n"
            "  MFU               10.0% = FLOP/s / the device's peak of 990 TFLOP/s in bf16\n"
            "  synchronisations  2.5 a step: 2 x aten::_local_scalar_dense, 0.5 x aten::nonzero\n"
            "  CUDA graphs       75.0% of the steps were replayed\n"
            "  loop overhead     0.10%: 70.07 beside 70 ms of a bare replay\n"
            "  kernels           812 a step\n"
            "  peak memory       3072 MiB on the GPU\n");
}

TEST(BenchReport, TextLeavesOutWhatIsNotKnown) {
  const std::string text = as_text(report_of_cpu(), nullptr);
  EXPECT_THAT(text, HasSubstr("batch size 64 x 2: "));
  EXPECT_THAT(text, Not(HasSubstr("tokens")));
  EXPECT_THAT(text, Not(HasSubstr("kernels")));
  EXPECT_THAT(text, Not(HasSubstr("overhead")));
  EXPECT_THAT(text,
              HasSubstr("  MFU               not known: this device's peak is not in the table\n"));
  EXPECT_THAT(text, HasSubstr("  synchronisations  0 a step (counted on the CPU"));
  EXPECT_THAT(text, HasSubstr("3072 MiB of the process\n"));
}

TEST(BenchReport, JsonHasAllOfItWithTheFormula) {
  const Value json = from_json(as_json(report(), nullptr), "the report");
  EXPECT_EQ(json.find("samples_per_second")->as_float(), 900);
  EXPECT_EQ(json.find("tokens_per_second")->as_float(), 8100);
  EXPECT_EQ(to_json(*json.find("windows")), "[1000.0,500.0,900.0]");
  EXPECT_EQ(to_json(*json.find("step_ms")), R"({"median":70.0,"p10":64.0,"p90":128.0})");
  EXPECT_EQ(to_json(*json.find("conditions")),
            R"json({"batch_size":64,"dataset":"dots","device":"cuda:0 (NVIDIA H200)",)json"
            R"("model":"tiny","parameters":1000,"precision":"bf16","update_frequency":1,)"
            R"("work":"training"})");
  EXPECT_DOUBLE_EQ(json.find("mfu")->as_float(), 0.1);
  EXPECT_EQ(json.find("utilization_formula")->as_string(),
            "mfu = flops_per_sample * samples_per_second / peak_flops_per_second");
  EXPECT_EQ(json.find("peak_flops_per_second")->as_float(), 9.9e14);
  EXPECT_EQ(json.find("synchronisations_per_step")->as_float(), 2.5);
  EXPECT_EQ(json.find("synchronisations")->as_table().at("aten::nonzero").as_float(), 0.5);
  EXPECT_EQ(json.find("kernels_per_step")->as_float(), 812);
  EXPECT_EQ(json.find("replayed_share")->as_float(), 0.75);
  EXPECT_EQ(json.find("loop_ms")->as_float(), 70.07);
  EXPECT_EQ(json.find("replay_ms")->as_float(), 70);
  EXPECT_NEAR(json.find("loop_overhead")->as_float(), 0.001, 1e-12);
  EXPECT_EQ(json.find("peak_device_bytes")->as_integer(), std::int64_t{3} << 30);
  EXPECT_EQ(json.find("baseline"), nullptr);
}

TEST(BenchReport, JsonLeavesOutWhatIsNotKnown) {
  const Value json = from_json(as_json(report_of_cpu(), nullptr), "the report");
  for (const char* key :
       {"tokens_per_second", "kernels_per_step", "mfu", "peak_flops_per_second",
        "peak_device_bytes", "utilization_formula", "loop_ms", "replay_ms", "loop_overhead"}) {
    EXPECT_EQ(json.find(key), nullptr) << key;
  }
  EXPECT_NE(json.find("peak_process_bytes"), nullptr);
}

// A prediction has its batch on the device: there is nothing to wait for.
TEST(BenchReport, OfPredictionsTellsTheirLatency) {
  BenchReport predictions = report();
  predictions.conditions.work = BenchWork::kPrediction;
  predictions.data_wait.reset();
  const std::string text = as_text(predictions, nullptr);
  EXPECT_THAT(text, HasSubstr("median of 3 x 10 predictions, after 3\n"));
  EXPECT_THAT(text, HasSubstr("\n  latency           70 ms (p10 64, p90 128)\n"));
  EXPECT_THAT(text, Not(HasSubstr("data wait")));
  const Value json = from_json(as_json(predictions, nullptr), "the report");
  EXPECT_EQ(json.find("conditions.work")->as_string(), "prediction");
  EXPECT_EQ(json.find("data_wait_share"), nullptr);
  EXPECT_THAT(
      compare_with({"old.json", 1000, report().conditions.to_value()}, predictions, 5).differences,
      ElementsAre("work was \"training\" and is \"prediction\""));
}

// What is computed once more is no work of the model's.
TEST(BenchReport, WithRecomputeTheUtilisationIsTheHardwares) {
  BenchReport recomputed = report();
  recomputed.recompute = true;
  const Value json = from_json(as_json(recomputed, nullptr), "the report");
  EXPECT_EQ(json.find("mfu"), nullptr);
  EXPECT_DOUBLE_EQ(json.find("hfu")->as_float(), 0.1);
  EXPECT_THAT(as_text(recomputed, nullptr), HasSubstr("  HFU               10.0%"));
}

// 900 beside 1000 is 10 % less.
TEST(BenchComparison, IsSlowerBeyondTheToleranceAlone) {
  EXPECT_TRUE(beside(1000, 9.5).is_slower());
  EXPECT_FALSE(beside(1000, 10.5).is_slower());
  EXPECT_FALSE(beside(800, 0).is_slower());
  EXPECT_FALSE(beside(900, 0).is_slower());
}

TEST(BenchComparison, IsALineOfTheTextAndATableOfTheJson) {
  const Comparison comparison = beside(1000, 5);
  EXPECT_THAT(as_text(report(), &comparison),
              HasSubstr("  baseline          -10.0% samples/s beside 1000 in old.json: slower than "
                        "is tolerated, -5%\n"));
  const Value json = from_json(as_json(report(), &comparison), "the report");
  EXPECT_EQ(json.find("baseline.samples_per_second")->as_float(), 1000);
  EXPECT_NEAR(json.find("baseline.change_percent")->as_float(), -10, 1e-9);
  EXPECT_TRUE(json.find("baseline.is_slower")->as_boolean());
  const Comparison tolerated = beside(1000, 12);
  EXPECT_THAT(as_text(report(), &tolerated), HasSubstr("within what is tolerated, -12%\n"));
}

TEST(BenchComparison, NamesWhatWasMeasuredDifferently) {
  EXPECT_THAT(beside(1000, 5).differences, IsEmpty());
  Baseline other{"old.json", 1000, report().conditions.to_value()};
  other.conditions["batch_size"] = 32;
  other.conditions["parameters"] = 4000;
  other.conditions.as_table().erase("precision");
  EXPECT_THAT(compare_with(other, report(), 5).differences,
              ElementsAre("batch_size was 32 and is 64", "parameters was 4000 and is 1000",
                          "precision was not said and is \"bf16\""));
}

class BenchBaseline : public ::testing::Test {
 protected:
  [[nodiscard]] std::string refusal(const std::string& content) const {
    try {
      static_cast<void>(read_baseline(folder_.write("old.json", content)));
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kConfig);
      return error.what();
    }
    return "";
  }
  fixtures::TempFolder folder_;
};

TEST_F(BenchBaseline, IsReadAsItWasWritten) {
  const Baseline read = read_baseline(folder_.write("old.json", as_json(report(), nullptr)));
  EXPECT_EQ(read.samples_per_second, 900);
  EXPECT_THAT(compare_with(read, report(), 0).differences, IsEmpty());
}

TEST_F(BenchBaseline, RefusesWhatIsNoReport) {
  for (const char* content :
       {"{}", "[]", "3", R"({"conditions": {}, "samples_per_second": null})",
        R"({"conditions": {}, "samples_per_second": 0})", R"({"samples_per_second": 3})",
        R"({"conditions": 1, "samples_per_second": 3})"}) {
    EXPECT_THAT(refusal(content), HasSubstr("old.json is no report of a bench: expected"))
        << content;
  }
  EXPECT_THAT(refusal("{"), HasSubstr("old.json"));
  EXPECT_THROW(static_cast<void>(read_baseline(folder_ / "none.json")), Error);
}

}  // namespace
}  // namespace pergola::host
