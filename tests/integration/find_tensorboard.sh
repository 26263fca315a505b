#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Finds TensorBoard for the tests; where python3 has none, puts it into DIR, once.
#
#   tests/integration/find_tensorboard.sh DIR
#
# Prints what PYTHONPATH must be, which is nothing where python3 has it already. Fails, with the
# reason, where it cannot be had. Fetches 25 MB from PyPI, in 4 s on a fast line and in two minutes
# at most: TensorBoard reads event files without TensorFlow, and without the packages of its server.

set -euo pipefail

dir=$1
readonly VERSION=2.20.0

fail() {
  printf '%s\n' "$*" >&2
  exit 1
}

# reads_events PATH: can python3 with this PYTHONPATH run what the tests run?
reads_events() {
  PYTHONPATH=$1 python3 -c 'import tensorboard.plugins.hparams.list_session_groups' >/dev/null 2>&1
}

command -v python3 >/dev/null || fail "there is no python3"
if reads_events ''; then exit 0; fi
mkdir -p "$dir"
exec 9>"$dir/.lock"
flock 9
if ! reads_events "$dir/site"; then
  python3 -m pip --version >/dev/null 2>&1 || fail "python3 has neither TensorBoard nor pip"
  rm -rf "$dir/site" "$dir/new"
  timeout 120 python3 -m pip --disable-pip-version-check install --quiet --root-user-action ignore \
    --retries 1 --timeout 10 --only-binary :all: --no-compile --no-deps --target "$dir/new" \
    "tensorboard==$VERSION" numpy protobuf absl-py >"$dir/pip.log" 2>&1 ||
    fail "pip could not install TensorBoard $VERSION: $(tail -n 1 "$dir/pip.log")"
  mv "$dir/new" "$dir/site"
  reads_events "$dir/site" || fail "TensorBoard $VERSION was installed in $dir/site and does not run there"
fi
printf '%s\n' "$dir/site"
