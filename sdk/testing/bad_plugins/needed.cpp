// SPDX-License-Identifier: BSD-3-Clause
// The library that is not beside the plugin which needs it.
[[gnu::visibility("default")]] int needed_elsewhere();
int needed_elsewhere() { return 1; }
