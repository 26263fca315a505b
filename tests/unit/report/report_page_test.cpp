// SPDX-License-Identifier: BSD-3-Clause
#include "fixtures/temp_folder.h"
#include "host/report/report.h"
#include "host/support/files.h"
#include "pergola/error.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <optional>
#include <regex>
#include <string>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

const std::string kHostile = "</script><img src=x onerror=alert(1)>";
const std::string kEscaped = "&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;";

class ReportPageTest : public ::testing::Test {
 protected:
  void write(const std::string& name, const std::string& content) const {
    folder_.write(name, content);
  }
  [[nodiscard]] std::string page() const { return report_page(folder_.path()); }
  fixtures::TempFolder folder_;
};

TEST_F(ReportPageTest, HasAPartForAllThatIsKnown) {
  write("metrics.jsonl",
        "{\"epoch\":1,\"split\":\"train\",\"time\":1000,\"train/total_loss\":2,\"update\":10,"
        "\"system\":{\"seconds/data\":1,\"seconds/forward\":3}}\n"
        "{\"checkpoint\":\"best\",\"split\":\"test\",\"test/d/accuracy\":0.75,\"update\":10}\n");
  write("summary.json",
        R"re({"status":"finished","updates":10,"device":"cpu (2 threads)","version":"0.1.0",)re"
        R"re("plugin":{"name":"p","version":"1.2","sha256":"abc","file":"/p.so"}})re");
  write("config.toml",
        "model = \"m\"  # runs/a.toml:1:9\ndataset = [\"d\", \"e\"]\n"
        "training.experiment_name = \"trial\"\n");
  write("log.txt", "[run] begun\n");
  write("predictions/d_test.json", "[\n{\"answer\":\"red\",\"target\":\"red\"}\n]\n");
  write("checkpoints/last/MANIFEST.json", "{}");
  const std::string html = page();
  EXPECT_THAT(html, StartsWith("<!DOCTYPE html>"));
  for (const char* id :
       {"curves", "results", "predictions", "time", "checkpoints", "system", "config", "log"}) {
    EXPECT_THAT(html, HasSubstr(concat("<section id=\"", id, "\"")));
  }
  EXPECT_THAT(html, AllOf(HasSubstr("<h1 dir=\"auto\">trial</h1>"), HasSubstr(">finished</span>"),
                          HasSubstr("m on d, e, begun 1970-01-01 00:16:40 UTC"), HasSubstr("p 1.2"),
                          HasSubstr("abc"), HasSubstr("runs/a.toml:1:9"),
                          HasSubstr("data 25.0%, forward 75.0%"), HasSubstr(">0.75<"),
                          HasSubstr("✓ right"), HasSubstr("[run] begun")));
  EXPECT_THAT(html, Not(HasSubstr("{{")));
}

TEST_F(ReportPageTest, WithoutLogLinesTheSummarySaysWhereTimeWent) {
  write("summary.json", R"({"status":"finished","time":{"data":1.0,"forward":4.0,"odd":null}})");
  EXPECT_THAT(page(), HasSubstr("aria-label=\"data 20.0%, forward 80.0%\""));
}

TEST_F(ReportPageTest, ARunThatHasJustBegunHasAPage) {
  write("metrics.jsonl", "");
  EXPECT_THAT(page(), AllOf(HasSubstr("no end recorded"), HasSubstr("</html>"),
                            Not(HasSubstr("<section"))));
}

// Every text that comes from a file of the run, or from its name.
TEST_F(ReportPageTest, NoTextOfARunBecomesMarkup) {
  const std::string json = R"("</script><img src=x onerror=alert(1)>")";
  write("metrics.jsonl", "{\"split\":" + json + ",\"update\":1," + json + ":1,\"time\":9}\n" +
                             "{\"checkpoint\":" + json + ",\"split\":\"test\",\"update\":1," +
                             "\"test/</script><img src=x onerror=alert(1)>\":1}\n");
  write("summary.json", "{\"status\":\"failed\",\"updates\":1,\"error\":" + json + ",\"device\":" +
                            json + ",\"version\":" + json + ",\"plugin\":{\"name\":" + json +
                            "},\"best\":{\"criteria\":" + json + ",\"value\":1,\"update\":1}}");
  write("config.toml", "model = " + json + " # " + kHostile + "\ndataset = " + json + "\n[" + json +
                           "]\na = 1\n[training]\nexperiment_name = " + json + "\n");
  write("log.txt", kHostile + "\nwarning: " + kHostile + "\n");
  write("predictions/<img src=x onerror=alert(1)>.json",
        "[\n{\"answer\":" + json + ",\"target\":" + json + ",\"question\":" + json +
            ",\"image\":" + json + "," + json + ":" + json + "}\n]\n");
  fs::create_directories(folder_ / "checkpoints/<img src=x onerror=alert(1)>");
  const std::string html = page();
  EXPECT_THAT(html, HasSubstr(kEscaped));
  EXPECT_THAT(html, Not(HasSubstr("<img src=x")));
  // The page's own two, and none besides.
  std::size_t ends = 0;
  for (std::size_t at = html.find("</script"); at != std::string::npos;
       at = html.find("</script", at + 1)) {
    ++ends;
  }
  EXPECT_EQ(ends, 2U);
}

TEST_F(ReportPageTest, LoadsNothingFromAnywhere) {
  write("metrics.jsonl", "{\"split\":\"train\",\"update\":1,\"a\":1}\n");
  write("predictions/d_test.json", "[\n{\"image\":\"http://example.org/a.png\"}\n]\n");
  const std::string html = page();
  const std::regex loads(
      R"re((src|href|srcset|action|data)\s*=\s*["'](?!#|data:)|url\(|@import|<iframe)re");
  std::smatch found;
  EXPECT_FALSE(std::regex_search(html, found, loads)) << found.str();
  EXPECT_THAT(html, HasSubstr("default-src 'none'"));
}

TEST_F(ReportPageTest, ImagesAreInThePage) {
  write("metrics.jsonl", "");
  const fs::path image = folder_.write("a.png", "\x89PNG\r\n\x1a\n");
  write("predictions/d_test.json", "[\n{\"image\":\"" + image.string() + "\"}\n]\n");
  EXPECT_THAT(page(), HasSubstr("<img src=\"data:image/png;base64,iVBORw0KGgo=\" alt=\"a.png\">"));
}

TEST_F(ReportPageTest, ImagesAreThoseOfTheConfigsDataAndOfTheRun) {
  const std::string png = "\x89PNG\r\n\x1a\n";
  const fixtures::TempFolder data;
  const fixtures::TempFolder disk;
  const fixtures::TempFolder own;
  fs::create_directory_symlink(disk.path(), data / "d");
  write("metrics.jsonl", "");
  write("config.toml", "dataset = [\"d\", \"e\"]\nenv.data_dir = \"" + data.path().string() +
                           "\"\ndataset_config.e.data_dir = \"" + own.path().string() + "\"\n");
  const fixtures::TempFolder elsewhere;
  std::string rows;
  for (const fixtures::TempFolder* folder : {&data, &disk, &own, &elsewhere}) {
    const std::string image = folder->write("a.png", png).string();
    rows += (rows.empty() ? "[\n{\"image\":\"" : ",\n{\"image\":\"") + image + "\"}";
  }
  write("predictions/d_test.json", rows + "\n]\n");
  const std::string html = page();
  std::size_t shown = 0;
  for (std::size_t at = html.find("<img src=\"data:"); at != std::string::npos;
       at = html.find("<img src=\"data:", at + 1)) {
    ++shown;
  }
  EXPECT_EQ(shown, 3U);
  EXPECT_THAT(html, HasSubstr("<span dir=\"auto\">" + (elsewhere / "a.png").string() +
                              "</span> left out: it is outside of the folders"));
}

TEST_F(ReportPageTest, CheckpointsAreCompleteOrSayWhatIsWrong) {
  write("checkpoints/best/MANIFEST.json",
        R"({"files":{"model.safetensors":{"size":1},"trainer.safetensors":{"size":1},)"
        R"("state.json":{"size":2}}})");
  write("checkpoints/best/model.safetensors", "1");
  write("checkpoints/best/trainer.safetensors", "1");
  write("checkpoints/best/state.json", "{}");
  write("checkpoints/last/MANIFEST.json", "{}");
  EXPECT_THAT(page(), AllOf(HasSubstr("<td>complete</td>"),
                            HasSubstr("<td>damaged: its MANIFEST.json has no size of model."),
                            Not(HasSubstr("whole<"))));
}

// `evaluation.predict` may write a table beside each file.
TEST_F(ReportPageTest, TablesOfPredictionsAreNotReadAgain) {
  write("metrics.jsonl", "");
  write("predictions/d_test.json", "[\n{\"answer\":\"red\",\"target\":\"red\"}\n]\n");
  write("predictions/d_test.csv", "answer,target\nred,red\n");
  write("predictions/e_test.csv", "answer,target\nred,red\n");
  const std::string html = page();
  EXPECT_THAT(html, AllOf(HasSubstr("1 row: 1 right (100.0%), 0 wrong"), Not(HasSubstr("e_test")),
                          Not(HasSubstr("class=\"notes\""))));
  EXPECT_EQ(html.find(">d_test<"), html.rfind(">d_test<"));
}

// 200,000 lines of five numbers, and as many predictions.
TEST_F(ReportPageTest, ALongRunHasASmallPage) {
  std::string metrics;
  std::string predictions = "[\n";
  for (int i = 1; i <= 200'000; ++i) {
    metrics +=
        concat("{\"epoch\":", i / 1000, ",\"lr\":0.001,\"split\":\"train\",\"time\":", i,
               ",\"train/total_loss\":", 1.0 / i, ",\"train/total_loss/avg\":1,\"update\":", i,
               ",\"system\":{\"samples_per_second\":", i % 977, "}}\n");
    if (i % 10 == 0) predictions += "{\"answer\":\"a\",\"target\":\"a\",\"probability\":0.5},\n";
  }
  write("metrics.jsonl", metrics);
  write("predictions/d_test.json", predictions + "]\n");
  const std::string html = page();
  EXPECT_LT(html.size(), 500'000U);
  EXPECT_THAT(html, HasSubstr("20,000 rows: 20,000 right (100.0%), 0 wrong. Below are 40"));
}

TEST_F(ReportPageTest, IsWrittenWhole) {
  write("metrics.jsonl", "");
  EXPECT_EQ(write_report(folder_.path(), std::nullopt, 1), folder_ / "report.html");
  EXPECT_THAT(folder_.read("report.html"), HasSubstr("</html>"));
  EXPECT_EQ(write_report(folder_.path(), folder_ / "other.html", 1), folder_ / "other.html");
  EXPECT_THROW((void)write_report(folder_.path(), folder_ / "gone/a.html", 1), Error);
}

class ReportOutputTest : public ReportPageTest {
 protected:
  ReportOutputTest() { write("metrics.jsonl", ""); }
  // Why the page is not written there.
  [[nodiscard]] std::string refusal(const std::optional<fs::path>& output) const {
    try {
      (void)write_report(folder_.path(), output, 1);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kCheckpoint);
      return error.what();
    }
    return "nothing was thrown";
  }
  [[nodiscard]] static std::string message(const std::string& path, const std::string& why) {
    return "cannot write the report to " + path + ": " + why +
           "; name a file with --output, such as --output page.html";
  }
};

// To root, /dev/full is such a name, too.
TEST_F(ReportOutputTest, APipeStaysAPipe) {
  const fs::path pipe = folder_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  fs::create_symlink("pipe", folder_ / "link");
  for (const char* name : {"pipe", "link"}) {
    EXPECT_EQ(refusal(folder_ / name),
              message(pipe.string(), "it is a pipe or a device, and no regular file"));
  }
  EXPECT_TRUE(fs::is_fifo(pipe));
  EXPECT_EQ(refusal(folder_.path()), message(folder_.path().string(), "it is a folder"));
}

TEST_F(ReportOutputTest, ALinkStaysALinkAndItsTargetIsWritten) {
  fs::create_directory(folder_ / "www");
  write("www/page.html", "old");
  fs::create_symlink("www/page.html", folder_ / "there.html");
  fs::create_symlink("there.html", folder_ / "link.html");
  fs::create_symlink("www/new.html", folder_ / "new.html");
  EXPECT_EQ(write_report(folder_.path(), folder_ / "link.html", 1), folder_ / "link.html");
  EXPECT_EQ(write_report(folder_.path(), folder_ / "new.html", 1), folder_ / "new.html");
  for (const char* name : {"there.html", "link.html", "new.html"}) {
    EXPECT_TRUE(fs::is_symlink(folder_ / name)) << name;
  }
  EXPECT_THAT(folder_.read("www/page.html"), HasSubstr("</html>"));
  EXPECT_THAT(folder_.read("www/new.html"), HasSubstr("</html>"));
  fs::create_symlink("circle", folder_ / "circle");
  EXPECT_THAT(refusal(folder_ / "circle"),
              HasSubstr("cannot write " + (folder_ / "circle").string()));
}

// Who made the run's folder may have put the link there, to a file of who makes the report.
TEST_F(ReportOutputTest, ALinkOfTheRunIsNotFollowed) {
  const fixtures::TempFolder home;
  home.write("mine", "mine");
  fs::create_symlink(home / "mine", folder_ / "report.html");
  EXPECT_EQ(refusal(std::nullopt),
            message((folder_ / "report.html").string(),
                    "it is a link, and these are followed only where you name them"));
  EXPECT_EQ(home.read("mine"), "mine");
}

// As /dev/stdout, which leads there.
TEST_F(ReportOutputTest, TheStandardOutputAndOtherOpenFilesAreRefused) {
  EXPECT_EQ(refusal("-"),
            message("-", "the report goes to a file, and not to the standard output"));
  const UniqueFd file(::open(folder_.write("open", "old").c_str(), O_WRONLY | O_CLOEXEC));
  const std::string name = concat("/proc/self/fd/", file.get());
  EXPECT_EQ(refusal(name), message(name, "it stands for a file that a process has open"));
  EXPECT_EQ(folder_.read("open"), "old");
}

}  // namespace
}  // namespace pergola::host
