// SPDX-License-Identifier: BSD-3-Clause
// Needs a library that was there when it was linked, and is nowhere now.
int needed_elsewhere();
[[maybe_unused]] const int kNeeded = needed_elsewhere();
