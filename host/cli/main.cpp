// SPDX-License-Identifier: BSD-3-Clause
#include "host/cli/program.h"

int main(int argc, char** argv) { return pergola::host::run_program({argv + 1, argv + argc}); }
