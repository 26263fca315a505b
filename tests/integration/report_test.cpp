// SPDX-License-Identifier: BSD-3-Clause
// `pergola report`, from the command line to what a browser makes of its page.
#include "integration/browser.h"
#include "integration/easy_vqa_files.h"
#include "integration/run_test.h"

#include <png.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>

namespace pergola::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

class ReportTest : public RunTest {
 protected:
  [[nodiscard]] Result report(const Words& more = {}) const {
    Words words = {"report", "run"};
    words.insert(words.end(), more.begin(), more.end());
    return pergola(words);
  }
};

// 6 images with 2 questions each, as predicted; the data set says what is right.
TEST_F(ReportTest, ShowsCurvesConfigAndPredictionsOfARun) {
  expect_success(train());
  const Result result = report();
  expect_success(result);
  EXPECT_EQ(result.out, "run/report.html\n");
  const std::string page = text("run/report.html");
  EXPECT_THAT(page, AllOf(HasSubstr("<h1 dir=\"auto\">tiny</h1>"), HasSubstr(">finished</span>"),
                          HasSubstr("boring on easy_vqa"), HasSubstr("easy_vqa/accuracy"),
                          HasSubstr("training.batch_size"), HasSubstr("12 rows: "),
                          HasSubstr("is the shape red?"), HasSubstr("data:image/png;base64,"),
                          Not(HasSubstr("they do not say what is right"))));
}

TEST_F(ReportTest, ACopyOfARunHasAReportElsewhere) {
  expect_success(train({"run_type=train"}));
  fs::rename(path("run"), path("copy"));
  fs::remove_all(path("data"));
  expect_success(pergola({"report", "copy", "--output", "page.html", "--samples", "3"}));
  EXPECT_THAT(text("page.html"), HasSubstr("</html>"));
  EXPECT_FALSE(fs::exists(path("copy/report.html")));
}

// As root, the rename of a page into its place would take away a device, too.
TEST_F(ReportTest, OnlyFilesAreReplaced) {
  write("run/metrics.jsonl", "");
  write("page.html", "old");
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  fs::create_symlink("page.html", path("link.html"));
  expect_error(report({"--output", "pipe"}), kCheckpoint,
               {"cannot write the report to pipe: it is a pipe or a device, and no regular file; "
                "name a file with --output"});
  EXPECT_TRUE(fs::is_fifo(path("pipe")));
  const Result result = report({"--output", "link.html"});
  expect_success(result);
  EXPECT_EQ(result.out, "link.html\n");
  EXPECT_TRUE(fs::is_symlink(path("link.html")));
  EXPECT_THAT(text("page.html"), HasSubstr("</html>"));
}

TEST_F(ReportTest, PredictionsAreEnoughForAReport) {
  expect_success(pergola({"train", "boring.toml", "--run-dir", "run", "training.max_updates=1"}));
  expect_success(pergola({"predict", "boring.toml", "--run-dir", "other", "--checkpoint", "run"}));
  expect_success(pergola({"report", "other", "--output", "page.html"}));
  EXPECT_THAT(text("page.html"),
              AllOf(HasSubstr("easy_vqa_test"), HasSubstr("data:image/png;base64,"),
                    HasSubstr("env.data_dir")));
}

TEST_F(ReportTest, WhatIsNoRunIsRefused) {
  expect_error(
      report(), kCheckpoint,
      {"there is no folder run; name the folder that `pergola train` printed behind `run`"});
  expect_error(pergola({"report"}), kConfig, {"RUN, the folder of a run, is missing; usage: "});
  expect_error(report({"--samples", "-1"}), kConfig,
               {"--samples -1 is not a number of samples; expected a whole number from 0"});
  expect_error(report({"--plugin-path", "x"}), kConfig, {"'--plugin-path' is not an option here"});
}

// ---- in a browser ----

const std::string kHostile = R"(</script><img src=x onerror=\"alert(1)\">)";

struct Picture {
  double brightness = 0;    // mean of red, green and blue, 0 to 255
  std::size_t colours = 0;  // of 16 shades each
  double most_common = 0;   // the part of that one
};

Picture look_at(const std::string& png) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  if (png_image_begin_read_from_memory(&image, png.data(), png.size()) == 0) return {};
  image.format = PNG_FORMAT_RGB;
  std::vector<png_byte> pixels(PNG_IMAGE_SIZE(image));
  if (png_image_finish_read(&image, nullptr, pixels.data(), 0, nullptr) == 0) return {};
  std::map<int, std::size_t> counts;
  Picture picture;
  for (std::size_t i = 0; i < pixels.size(); i += 3) {
    ++counts[pixels[i] / 16 * 256 + pixels[i + 1] / 16 * 16 + pixels[i + 2] / 16];
    picture.brightness += (pixels[i] + pixels[i + 1] + pixels[i + 2]) / 3.0;
  }
  const double all = static_cast<double>(pixels.size()) / 3;
  picture.brightness /= all;
  picture.colours = counts.size();
  for (const auto& [colour, count] : counts) {
    picture.most_common = std::max(picture.most_common, static_cast<double>(count) / all);
  }
  return picture;
}

// A report of a run that is written by hand: 300 lines of training, of which the 11th has no
// number, 3 validations, and 12 predictions of which each third is wrong.
class ReportInBrowserTest : public ReportTest {
 protected:
  void SetUp() override {
    const fs::path program = Browser::find();
    if (program.empty()) {
      GTEST_SKIP() << "there is no Chromium; tools/setup installs it where the distribution has "
                      "the package `chromium`";
    }
    write_run();
    expect_success(report());
    browser_ = std::make_unique<Browser>(program);
  }

  void write_run() const {
    std::string lines;
    for (int i = 1; i <= 300; ++i) {
      const Json loss = i == 11 ? Json() : Json(30.0 / i);
      const Json row = {{"epoch", i / 100},
                        {"lr", 0.1 / i},
                        {"split", "train"},
                        {"time", 1000 + i * i / 100},
                        {"update", i},
                        {"train/total_loss", loss},
                        {"system", {{"seconds/forward", 1.5}, {"seconds/data", 0.5}}}};
      lines += row.dump() + "\n";
      if (i % 100 != 0) continue;
      lines += Json{{"epoch", i / 100},           {"split", "val"},
                    {"time", 1000 + i * i / 100}, {"update", i},
                    {"val/total_loss", 40.0 / i}, {"val/d/accuracy", i / 400.0}}
                   .dump() +
               "\n";
    }
    write("run/metrics.jsonl", lines);
    write("run/config.toml", "model = \"m\"  # command line\ntraining.experiment_name = \"" +
                                 kHostile + "\"\ntraining.seed = 1  # defaults\nenv.data_dir = \"" +
                                 path("data").string() + "\"\n");
    std::string rows = "[\n";
    for (int i = 0; i < 12; ++i) {
      rows += "{\"answer\":\"red\",\"target\":\"" + std::string(i % 3 == 0 ? "blue" : "red") +
              "\",\"probability\":" + std::to_string(0.01 * i) + ",\"question\":\"" + kHostile +
              "\",\"image\":\"" + path("data/easy_vqa/test/images/0.png").string() + "\"}" +
              (i < 11 ? ",\n" : "\n]\n");
    }
    write("run/predictions/d_test.json", rows);
  }

  void open(int width, Scheme scheme) { browser_->open(path("run/report.html"), width, scheme); }
  // How many points a path of the first chart has; "M1 2L3 4" has two.
  [[nodiscard]] Json points(const std::string& path_class) {
    return browser_->evaluate("document.querySelector('#chart-0 ." + path_class +
                              "').getAttribute('d').match(/[ML]/g).length");
  }
  [[nodiscard]] Json text_of(const std::string& selector) {
    return browser_->evaluate("document.querySelector('" + selector + "').textContent.trim()");
  }
  [[nodiscard]] Json line() {
    return browser_->evaluate("document.querySelector('#chart-0 .smooth').getAttribute('d')");
  }
  void expect_nothing_foreign() {
    EXPECT_THAT(browser_->complaints(), IsEmpty());
    EXPECT_THAT(browser_->requests(),
                Each(::testing::AnyOf(StartsWith("file://" + path("run/report.html").string()),
                                      StartsWith("data:image/png;base64,"))));
    EXPECT_EQ(browser_->evaluate("document.querySelectorAll('img[src=x]').length"), 0);
  }

  std::unique_ptr<Browser> browser_;
};

TEST_F(ReportInBrowserTest, CurvesAreDrawnOnScreensAndPhonesInLightAndDark) {
  for (const int width : {1280, 390}) {
    for (const Scheme scheme : {Scheme::kLight, Scheme::kDark}) {
      SCOPED_TRACE(testing::Message() << width << (scheme == Scheme::kDark ? " dark" : " light"));
      open(width, scheme);
      EXPECT_EQ(browser_->evaluate("document.querySelectorAll('.chart').length"), 3);
      EXPECT_EQ(points("raw"), 299);  // 300 lines less the one without a number
      EXPECT_EQ(points("dots"), 3);
      EXPECT_EQ(points("bad"), 1);
      EXPECT_LE(browser_->evaluate("document.documentElement.scrollWidth").get<int>(), width);
      EXPECT_EQ(text_of("h1"), "</script><img src=x onerror=\"alert(1)\">");
      expect_nothing_foreign();
      const Picture picture = look_at(browser_->screenshot());
      EXPECT_GT(picture.colours, 20U);
      EXPECT_LT(picture.most_common, 0.98);
      if (scheme == Scheme::kDark)
        EXPECT_LT(picture.brightness, 80);
      else
        EXPECT_GT(picture.brightness, 200);
    }
  }
}

TEST_F(ReportInBrowserTest, CurvesAndTablesAreThereWithoutScripts) {
  browser_->run_scripts(false);
  open(390, Scheme::kLight);
  EXPECT_EQ(points("raw"), 299);
  EXPECT_EQ(browser_->evaluate("document.querySelectorAll('.samples tbody tr').length"), 12);
  EXPECT_EQ(browser_->evaluate("getComputedStyle(document.querySelector('.toolbar')).display"),
            "none");
  const std::string shown =
      "[...document.querySelectorAll('.samples tbody tr')]"
      ".filter((row) => getComputedStyle(row).display !== 'none').length";
  browser_->evaluate("document.querySelector('.pick-wrong').click()");
  EXPECT_EQ(browser_->evaluate(shown), 4);
  browser_->evaluate("document.querySelector('.pick-right').click()");
  EXPECT_EQ(browser_->evaluate(shown), 8);
}

// What the script draws along updates is what the page came with, to a tenth of a pixel.
TEST_F(ReportInBrowserTest, AxesScaleAndSmoothingRedrawTheCurves) {
  open(1280, Scheme::kLight);
  const std::string html = "document.querySelector('#chart-0 svg').innerHTML";
  const Json original = browser_->evaluate(html + ".replace(/<\\/?g[^>]*>|\\s+/g, '')");
  browser_->evaluate("drawAll()");
  EXPECT_EQ(browser_->evaluate(html + ".replace(/<\\/?g[^>]*>|\\s+/g, '')"), original);
  const Json updates = line();
  browser_->evaluate("document.querySelector('input[value=time]').click()");
  EXPECT_THAT(text_of("#chart-0 .grid"), HasSubstr("0:10:00"));
  EXPECT_NE(line(), updates);  // updates become slower
  browser_->evaluate("document.querySelector('input[value=epoch]').click()");
  EXPECT_EQ(line(), updates);  // along the same way
  browser_->evaluate("document.getElementById('log').click()");
  const Json log = line();
  EXPECT_NE(log, updates);
  browser_->evaluate(
      "smoothing.value = 0; smoothing.dispatchEvent(new Event('input', {bubbles: true}))");
  EXPECT_NE(line(), log);
  EXPECT_EQ(browser_->evaluate("document.querySelectorAll('#chart-0 .raw').length"), 0);
  expect_nothing_foreign();
}

// The loss at update 150 is 30 / 150.
TEST_F(ReportInBrowserTest, PointerAndKeysShowValues) {
  open(1280, Scheme::kLight);
  const Json box = browser_->evaluate(
      "(() => { const b = document.querySelector('#chart-0 svg').getBoundingClientRect();"
      " return [b.left, b.top, b.width, b.height]; })()");
  // 50 to 408 of 420 are the updates 1 to 300.
  const double along = (50 + (150.0 - 1) / 299 * 358) / 420;
  browser_->move_pointer(box[0].get<double>() + along * box[2].get<double>(),
                         box[1].get<double>() + 0.5 * box[3].get<double>());
  EXPECT_EQ(text_of("#chart-0 .at"), "update 150");
  EXPECT_EQ(text_of("#chart-0 .key.train output"), "0.2");
  browser_->move_pointer(1, 1);
  EXPECT_EQ(text_of("#chart-0 .at"), "");
  EXPECT_EQ(text_of("#chart-0 .key.train output"), "0.1");  // the last one again
  browser_->evaluate("document.querySelector('#chart-0 svg').focus()");
  browser_->press("ArrowRight");
  EXPECT_EQ(text_of("#chart-0 .at"), "update 1");
  EXPECT_EQ(text_of("#chart-0 .key.train output"), "30");
  browser_->evaluate("document.querySelector('#chart-0 .key.train').click()");
  EXPECT_EQ(browser_->evaluate("document.querySelectorAll('#chart-0 .raw').length"), 0);
}

TEST_F(ReportInBrowserTest, TheConfigIsSearchedAndPredictionsAreOrdered) {
  open(390, Scheme::kDark);
  browser_->evaluate(
      "(() => { const field = document.getElementById('config-search'); field.value = 'SEED';"
      " field.dispatchEvent(new Event('input')); })()");
  EXPECT_EQ(text_of("#config-count"), "1 shown");
  const std::string first = "document.querySelector('.samples tbody tr').dataset.p";
  EXPECT_EQ(browser_->evaluate(first), "0.09");  // of the wrong ones, which are 0, 3, 6 and 9
  browser_->evaluate(
      "(() => { const order = document.querySelector('.order select'); order.value = '1';"
      " order.dispatchEvent(new Event('change')); })()");
  EXPECT_EQ(browser_->evaluate(first), "0");
  expect_nothing_foreign();
}

}  // namespace
}  // namespace pergola::test
