// SPDX-License-Identifier: BSD-3-Clause
#include "host/plugin/elf_sections.h"

#include "fixtures/plugins/plugin_files.h"
#include "host/plugin/plugin_file.h"
#include "pergola/abi.h"
#include "pergola/error.h"
#include "unit/support/error_of.h"

#include <elf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <functional>

namespace pergola::host {
namespace {

using test::error_of;
using test::fixture_plugin;
using test::read_file;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr std::size_t kLimit = 1U << 20U;

template <class T>
T read_at(const std::string& bytes, std::size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(value));
  return value;
}

template <class T>
void write_at(std::string& bytes, std::size_t offset, const T& value) {
  std::memcpy(bytes.data() + offset, &value, sizeof(value));
}

class ElfSectionsTest : public ::testing::Test {
 protected:
  // A small plugin, without LibTorch.
  const std::string& plugin() {
    static const std::string bytes = read_file(fixture_plugin("registers_nothing"));
    return bytes;
  }

  // The message when the file cannot be opened.
  std::string refusal_of(const std::filesystem::path& path) {
    return error_of([&] { const ElfFile file(path); }, ErrorKind::kPlugin);
  }
  std::string refusal_of_bytes(std::string_view bytes) {
    return refusal_of(folder_.write("broken.so", bytes));
  }

  // The plugin with its ELF header changed.
  std::string with_header(const std::function<void(Elf64_Ehdr&)>& change) {
    std::string bytes = plugin();
    auto header = read_at<Elf64_Ehdr>(bytes, 0);
    change(header);
    write_at(bytes, 0, header);
    return bytes;
  }

  // The plugin with one section's header changed.
  std::string with_section(std::string_view name, const std::function<void(Elf64_Shdr&)>& change) {
    std::string bytes = plugin();
    const auto header = read_at<Elf64_Ehdr>(bytes, 0);
    const auto section = [&](std::size_t i) { return header.e_shoff + i * sizeof(Elf64_Shdr); };
    const auto names = read_at<Elf64_Shdr>(bytes, section(header.e_shstrndx));
    for (std::size_t i = 0; i < header.e_shnum; ++i) {
      auto found = read_at<Elf64_Shdr>(bytes, section(i));
      if (name != bytes.c_str() + names.sh_offset + found.sh_name) continue;
      change(found);
      write_at(bytes, section(i), found);
      return bytes;
    }
    throw std::runtime_error("no section " + std::string(name));
  }

  test::PluginFolder folder_;
};

TEST_F(ElfSectionsTest, SectionsOfAPluginAreReadWithoutLoadingIt) {
  const ElfFile file(fixture_plugin("good"));
  const auto manifest = file.section(PERGOLA_MANIFEST_SECTION, kLimit);
  ASSERT_TRUE(manifest);
  EXPECT_THAT(*manifest, HasSubstr("[models.boring]"));
  EXPECT_EQ(file.section(PERGOLA_FINGERPRINT_SECTION, kLimit),
            std::string(PERGOLA_FINGERPRINT, sizeof(PERGOLA_FINGERPRINT)));
}

TEST_F(ElfSectionsTest, SectionThatIsNotThereIsNoError) {
  const ElfFile file(fixture_plugin("no_manifest"));
  EXPECT_EQ(file.section(PERGOLA_MANIFEST_SECTION, kLimit), std::nullopt);
}

TEST_F(ElfSectionsTest, MissingFileIsRefusedByName) {
  EXPECT_THAT(refusal_of("/nowhere/x.so"),
              HasSubstr("plugin /nowhere/x.so cannot be read: No such file or directory"));
}

TEST_F(ElfSectionsTest, FolderIsRefused) {
  EXPECT_THAT(refusal_of(folder_.path()), HasSubstr("is a folder; expected a plugin's .so file"));
}

TEST_F(ElfSectionsTest, FifoIsRefusedWithoutWaitingForAWriter) {
  const auto fifo = folder_.path() / "fifo.so";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_THAT(refusal_of(fifo), HasSubstr("is not a regular file"));
}

// It is a hole, so the file takes no room; to hash it would take minutes.
TEST_F(ElfSectionsTest, FileOfMoreThan4GibIsRefused) {
  const auto path = folder_.copy_of("registers_nothing", "huge.so");
  constexpr std::uintmax_t kMost = std::uintmax_t{4} << 30U;
  std::filesystem::resize_file(path, kMost);
  EXPECT_NO_THROW(const ElfFile file(path));
  std::filesystem::resize_file(path, kMost + 1);
  EXPECT_THAT(refusal_of(path), HasSubstr("is 4294967297 bytes; at most 4294967296 are allowed"));
}

TEST_F(ElfSectionsTest, UnreadableFileIsRefused) {
  const auto path = folder_.copy_of("registers_nothing", "secret.so");
  std::filesystem::permissions(path, std::filesystem::perms::none);
  constexpr uid_t kNobody = 65534;
  const uid_t self = ::geteuid();
  if (self == 0 && ::seteuid(kNobody) != 0) GTEST_SKIP() << "root cannot become another user";
  const std::string refusal = refusal_of(path);
  ASSERT_EQ(::seteuid(self), 0);
  EXPECT_THAT(refusal, HasSubstr("secret.so cannot be read: Permission denied; `ls -l`"));
}

TEST_F(ElfSectionsTest, EmptyFileIsRefused) {
  EXPECT_THAT(refusal_of_bytes(""), HasSubstr("broken.so is empty; copy or build it again"));
}

TEST_F(ElfSectionsTest, TextFileIsRefused) {
  EXPECT_THAT(refusal_of_bytes("#!/bin/sh\necho hello\n"), HasSubstr("is not a shared library"));
  EXPECT_THAT(refusal_of_bytes("x"), HasSubstr("is not a shared library"));
}

TEST_F(ElfSectionsTest, GarbageAfterTheMagicNumberIsRefused) {
  EXPECT_THAT(refusal_of_bytes(std::string(ELFMAG) + std::string(4000, '\xAB')),
              HasSubstr("is not a 64-bit little-endian ELF file"));
}

TEST_F(ElfSectionsTest, AnotherProcessorsFileIsRefused) {
  const auto bytes = with_header([](Elf64_Ehdr& header) { header.e_machine = EM_S390; });
  EXPECT_THAT(refusal_of_bytes(bytes), HasSubstr("is for another processor (ELF machine 22)"));
}

TEST_F(ElfSectionsTest, ThirtyTwoBitFileIsRefused) {
  const auto bytes = with_header([](Elf64_Ehdr& header) { header.e_ident[EI_CLASS] = ELFCLASS32; });
  EXPECT_THAT(refusal_of_bytes(bytes), HasSubstr("is not a 64-bit little-endian ELF file"));
}

TEST_F(ElfSectionsTest, ObjectFileIsRefused) {
  const auto bytes = with_header([](Elf64_Ehdr& header) { header.e_type = ET_REL; });
  EXPECT_THAT(refusal_of_bytes(bytes), HasSubstr("is not a shared library (ELF type 1)"));
}

TEST_F(ElfSectionsTest, TablesBeyondTheEndAreRefused) {
  constexpr std::uint64_t kHuge = ~std::uint64_t{0} - 8;  // offset + size would overflow
  EXPECT_THAT(refusal_of_bytes(with_header([](Elf64_Ehdr& header) { header.e_shoff = kHuge; })),
              HasSubstr("its table of sections lies beyond its end"));
  EXPECT_THAT(refusal_of_bytes(with_header([](Elf64_Ehdr& header) { header.e_phoff = kHuge; })),
              HasSubstr("its table of segments lies beyond its end"));
  EXPECT_THAT(refusal_of_bytes(with_header([](Elf64_Ehdr& header) { header.e_shnum = 0; })),
              HasSubstr("has no table of sections"));
}

TEST_F(ElfSectionsTest, SectionBeyondTheEndIsRefused) {
  const auto bytes = with_section(PERGOLA_MANIFEST_SECTION,
                                  [&](Elf64_Shdr& header) { header.sh_offset = plugin().size(); });
  EXPECT_THAT(refusal_of_bytes(bytes),
              HasSubstr("its section .pergola.manifest lies beyond its end"));
}

TEST_F(ElfSectionsTest, SectionThatClaimsTwoGigabytesIsRefused) {
  constexpr std::uint64_t kTwoGigabytes = 2'000'000'000;
  const auto bytes = with_section(PERGOLA_MANIFEST_SECTION,
                                  [](Elf64_Shdr& header) { header.sh_size = kTwoGigabytes; });
  EXPECT_THAT(refusal_of_bytes(bytes),
              HasSubstr("its section .pergola.manifest lies beyond its end"));
  // And also when the file is that long (a hole: it takes no space).
  const auto path = folder_.write("sparse.so", bytes);
  std::filesystem::resize_file(path, 2 * kTwoGigabytes);
  const ElfFile file(path);
  EXPECT_THAT(
      error_of([&] { (void)file.section(PERGOLA_MANIFEST_SECTION, kLimit); }, ErrorKind::kPlugin),
      HasSubstr("has a section .pergola.manifest of 2000000000 bytes; at most 1048576"));
}

TEST_F(ElfSectionsTest, NamesThatClaimTwoGigabytesAreRefused) {
  const auto bytes =
      with_section(".shstrtab", [](Elf64_Shdr& header) { header.sh_size = 2'000'000'000; });
  const auto path = folder_.write("sparse.so", bytes);
  std::filesystem::resize_file(path, 4'000'000'000);
  EXPECT_THAT(refusal_of(path), HasSubstr("the names of its sections lie beyond its end"));
}

// A linked file ends with a section or with the table of sections: each cut loses a part of it.
TEST_F(ElfSectionsTest, EveryTruncationIsRefused) {
  const auto path = folder_.write("cut.so", plugin());
  for (std::size_t length = plugin().size(); length-- > 0;) {
    if (length > 200 && length % 23 != 0) continue;
    std::filesystem::resize_file(path, length);
    EXPECT_THAT(refusal_of(path), Not(IsEmpty())) << "cut to " << length << " bytes";
  }
}

// A changed header may leave a usable file; it must not end in anything but a verdict.
TEST_F(ElfSectionsTest, NoChangedHeaderByteCrashes) {
  const auto header = read_at<Elf64_Ehdr>(plugin(), 0);
  const auto path = folder_.write("flipped.so", plugin());
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  int refused = 0;
  const auto try_byte = [&](std::size_t offset) {
    const char original = plugin()[offset];
    for (const char changed : {static_cast<char>(~original), '\0', '\x7f', '\xff'}) {
      file.seekp(static_cast<std::streamoff>(offset)).put(changed).flush();
      if (!inspect_plugin(path).usable()) ++refused;
    }
    file.seekp(static_cast<std::streamoff>(offset)).put(original).flush();
  };
  for (std::size_t i = 0; i < sizeof(header); ++i) try_byte(i);
  const std::size_t segments_end = header.e_phoff + header.e_phnum * sizeof(Elf64_Phdr);
  for (std::size_t i = header.e_phoff; i < segments_end; ++i) try_byte(i);
  const std::size_t sections_end = header.e_shoff + header.e_shnum * sizeof(Elf64_Shdr);
  for (std::size_t i = header.e_shoff; i < sections_end; ++i) try_byte(i);
  EXPECT_GT(refused, 100);  // the four bytes of the magic number alone are 16 refusals
  EXPECT_TRUE(inspect_plugin(path).usable()) << "all bytes are back";
}

TEST_F(ElfSectionsTest, ControlCharactersOfAPathAreEscapedInMessages) {
  EXPECT_THAT(refusal_of(folder_.write("\x1b[31m.so", "")), HasSubstr("\\x1b[31m.so is empty"));
}

TEST_F(ElfSectionsTest, IdentityFollowsTheFileAndNotItsName) {
  const auto path = folder_.write("a.so", plugin());
  const auto link = folder_.path() / "b.so";
  std::filesystem::create_symlink(path, link);
  EXPECT_EQ(identify(path), identify(link));
  EXPECT_EQ(ElfFile(link).identity(), identify(path));
  EXPECT_EQ(identify(folder_.path() / "missing.so"), std::nullopt);
}

}  // namespace
}  // namespace pergola::host
