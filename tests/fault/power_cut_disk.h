// SPDX-License-Identifier: BSD-3-Clause
// A disk whose power may go at any moment. It lets every operation through to the real file system
// and keeps account of what a disk owes us afterwards: a file's bytes once the file was synced, and
// a name once its folder was. All the rest may be there or not.
// Not thread-safe: what is tested saves in the thread of the test.
#pragma once

#include "host/support/file_ops.h"

#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace pergola::host::fault_test {

// What is found below the root after a cut: each file's content by its path, each folder's name
// with a '/' at its end, relative to the root.
using Outcome = std::map<std::string, std::string>;

// Makes `folder` hold exactly `outcome`.
void materialise(const Outcome& outcome, const std::filesystem::path& folder);

class PowerCutDisk final : public FileOps {
 public:
  // What is below `root` now is on the disk. Operations elsewhere pass unrecorded.
  explicit PowerCutDisk(std::filesystem::path root);

  // Is called before each operation that changes something, the moments when power may go.
  std::function<void()> on_moment = [] {};

  // All that may be found if it goes now. Of the names that were not synced, each folder has all or
  // none; of the bytes that were not, files have all, none, the first half, or zeros in their
  // place.
  [[nodiscard]] std::set<Outcome> outcomes() const;

  int open(const char* path, int flags, mode_t mode) override;
  ssize_t write(int fd, const void* bytes, std::size_t size) override;
  int ftruncate(int fd, off_t size) override;
  int fsync(int fd) override;
  int close(int fd) override;
  int rename(const char* from, const char* to) override;
  int exchange(const char* a, const char* b) override;
  int link(const char* from, const char* to) override;
  int mkdir(const char* path, mode_t mode) override;
  int unlink(const char* path) override;
  int rmdir(const char* path) override;

 private:
  struct Node;
  using NodePtr = std::shared_ptr<Node>;
  using Names = std::map<std::string, NodePtr>;
  // A file or a folder, whatever names it has: what programs see, and what is on the disk.
  struct Node {
    bool is_folder = false;
    std::string now, synced;
    Names names_now, names_synced;
  };
  using Folders = std::set<const Node*>;
  // A name in a folder, and what it leads to from now on; null when it is removed.
  struct Entry {
    NodePtr folder;
    std::string name;
    NodePtr node;
  };
  using Change = std::vector<Entry>;  // all of it happens or nothing
  struct Descriptor {
    NodePtr node;
    std::size_t offset;
    bool append;
  };
  enum class Unsynced { kAll, kNone, kFirstHalf, kHole, kZeros };

  [[nodiscard]] static NodePtr scan(const std::filesystem::path& path);
  [[nodiscard]] bool is_inside(const char* path) const;
  [[nodiscard]] Entry find(const char* path) const;
  void apply(Change change);
  int remove_name(const char* path, int result);

  [[nodiscard]] std::vector<bool> made_sure_by(Folders folders) const;
  [[nodiscard]] std::vector<const Node*> unsure_folders() const;
  [[nodiscard]] std::map<const Node*, Names> names_if(const Folders& written) const;
  [[nodiscard]] static std::string content_if(const Node& file, Unsynced bytes);
  [[nodiscard]] Outcome outcome_if(const std::map<const Node*, Names>& changed,
                                   Unsynced bytes) const;

  std::filesystem::path root_path_;
  NodePtr root_;
  std::vector<Change> changes_;  // that no folder's sync has made sure yet, oldest first
  std::map<int, Descriptor> open_;
};

}  // namespace pergola::host::fault_test
