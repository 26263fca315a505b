// SPDX-License-Identifier: BSD-3-Clause
// What a plugin file says about itself, in two ELF sections that the host reads without loading it:
// the author's plugin.toml, and the fingerprint of the build. Nothing here includes LibTorch's
// heavy headers.
#pragma once

#include "pergola/version.h"

#include <torch/headeronly/version.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>

// Section names; both hold text.
#define PERGOLA_MANIFEST_SECTION ".pergola.manifest"
#define PERGOLA_FINGERPRINT_SECTION ".pergola.fingerprint"

#define PERGOLA_TEXT_(x) #x
#define PERGOLA_TEXT(x) PERGOLA_TEXT_(x)

#if defined(__clang__)
#define PERGOLA_COMPILER "clang " PERGOLA_TEXT(__clang_major__)
#else
#define PERGOLA_COMPILER "gcc " PERGOLA_TEXT(__GNUC__)
#endif

// GCC defines macros, Clang answers __has_feature.
#if !defined(__has_feature)
#define PERGOLA_HAS_FEATURE_(x) 0
#else
#define PERGOLA_HAS_FEATURE_(x) __has_feature(x)
#endif
#if defined(__SANITIZE_ADDRESS__) || PERGOLA_HAS_FEATURE_(address_sanitizer)
#define PERGOLA_SANITIZERS "address"
#elif defined(__SANITIZE_THREAD__) || PERGOLA_HAS_FEATURE_(thread_sanitizer)
#define PERGOLA_SANITIZERS "thread"
#else
#define PERGOLA_SANITIZERS "none"
#endif

// The fingerprint of the unit that this is used in: "field = value" lines. Host and plugin must
// agree in every field, because C++ classes cross the border (sdk/docs/abi.md has the reasons).
#define PERGOLA_FINGERPRINT \
  "pergola-fingerprint = 1\n"                                           \
  "sdk_abi = " PERGOLA_TEXT(PERGOLA_ABI_VERSION) "\n"                   \
  "libtorch = " TORCH_VERSION "\n"                                      \
  "compiler = " PERGOLA_COMPILER "\n"                                   \
  "cxx_abi = " PERGOLA_TEXT(__GXX_ABI_VERSION) "\n"                     \
  "libstdcxx_cxx11_abi = " PERGOLA_TEXT(_GLIBCXX_USE_CXX11_ABI) "\n"    \
  "sanitizers = " PERGOLA_SANITIZERS "\n"                               \
  "architecture = " PERGOLA_ARCHITECTURE "\n"

#if defined(__x86_64__)
#define PERGOLA_ARCHITECTURE "x86_64"
#elif defined(__aarch64__)
#define PERGOLA_ARCHITECTURE "aarch64"
#else
#error "Pergola supports x86_64 and aarch64"
#endif

namespace pergola {

// The one symbol that a plugin exports, as `pergola_plugin`; made by pergola_add_plugin. Read after
// dlopen, to make sure that what was loaded is what was checked.
struct PluginInfo {
  std::uint32_t abi_version;  // PERGOLA_ABI_VERSION
  const char* name;           // as in plugin.toml
  const char* fingerprint;    // PERGOLA_FINGERPRINT
};
static_assert(std::is_standard_layout_v<PluginInfo> && offsetof(PluginInfo, abi_version) == 0,
              "the version must be readable before anything else is known");

}  // namespace pergola
