// SPDX-License-Identifier: BSD-3-Clause
#pragma once

namespace pergola::host {

// Whether this is a build with AddressSanitizer or ThreadSanitizer, which have handlers of fatal
// signals, and reports at the end of the process, of their own.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kHasSanitizer = true;
#else
inline constexpr bool kHasSanitizer = false;
#endif

}  // namespace pergola::host
