// SPDX-License-Identifier: BSD-3-Clause
// The one place of host/plugin that knows the registry, and so LibTorch: what a library announced
// while it was loaded, its comparison with the manifest, and its publication. Main thread only.
#pragma once

#include "host/plugin/manifest.h"

#include <string>
#include <vector>

namespace pergola {
class Registry;
struct Announcement;
}  // namespace pergola

namespace pergola::host {

// They lie in the library's data segment, which is never unmapped.
using Announcements = std::vector<const Announcement*>;

// All that was announced since the last call; the SDK's list is empty then.
[[nodiscard]] Announcements collect_announcements();

// What differs between the code and its manifest, as the end of a sentence that begins with the
// plugin; "" when they agree.
[[nodiscard]] std::string promise_broken(const Announcements& announcements,
                                         const PluginManifest& manifest);

// Adds the factories, all or none. Params that the manifest has are those of a class that has no
// spec(). Throws Error{kPlugin} when a key is taken.
void publish(const Announcements& announcements, const PluginManifest& manifest,
             const std::string& library, Registry& registry);

}  // namespace pergola::host
