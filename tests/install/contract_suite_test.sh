#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What the program of pergola_add_model_contract_test makes of what `pergola plugins check` prints: a copy
# of it, with a stub in the place of pergola.
#
#   contract_suite_test.sh PROGRAM

set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
cp "$1" "$work/suite"

fail() {
  echo "FAILED at line ${BASH_LINENO[1]}: $*"
  failures=$((failures + 1))
}

# Two models. Its calls go to $work/calls, a line each.
cat >"$work/pergola" <<'END'
#!/usr/bin/env bash
printf '%s\n' "$*" >>"$(dirname "$0")/calls"
echo '[12:00:00] warning: a line of the log' >&2
if [[ -e $(dirname "$0")/refuses ]]; then
  echo 'error: built for another Pergola' >&2
  exit 3
fi
if [[ -e $(dirname "$0")/crashes && $* != *--list* ]]; then
  printf '  failed   load  it called abort()\nmodel one\n  skipped  gradients  the plugin cannot be loaded\n'
  exit 3
fi
case $* in
  *--list*) printf 'one\tgradients\tIs there one?\none\tcpu-cuda\ntwo\tgradients\ntwo\tmemory\ntwo\tlost\n' ;;
  *'--model one'*) printf '  passed   load  all\nmodel one\n  passed   gradients  all 4\n  skipped  cpu-cuda   no GPU\n' ;;
  *)
    printf 'model two\n  failed   gradients  none of words.weight\n           and none of words.bias\n'
    printf '  passed   memory\n1 passed, 1 failed\n'
    exit 3
    ;;
esac
END
chmod +x "$work/pergola"

# suite ARGUMENTS...: runs it; its output and status are in $output and $status.
suite() {
  status=0
  rm -f "$work/calls"
  output=$("$work/suite" "$@" 2>&1) || status=$?
}
settings() { printf 'program\t%s\nplugin\tthe file.so\n%b' "$work/pergola" "$*" >"$work/suite.txt"; }
says() { [[ $output == *"$1"* ]] || fail "expected '$1' in: $output"; }
calls() { [[ $(cat "$work/calls") == "$1" ]] || fail "expected '$1', found: $(cat "$work/calls")"; }

settings
suite --gtest_list_tests
((status == 0)) || fail "status $status: $output"
[[ $output == $'one.\n  gradients\n  cpu_cuda\ntwo.\n  gradients\n  memory\n  lost' ]] || fail "$output"

# One command for the tests of a model that are to run, and for those alone.
suite --gtest_filter='one.*'
((status == 0)) || fail "status $status: $output"
says '[       OK ] one.gradients'
says '[  SKIPPED ] one.cpu_cuda'
says 'no GPU'
calls $'plugins check the file.so --list\nplugins check the file.so --model one --only gradients --only cpu-cuda'
suite --gtest_filter=one.cpu_cuda
calls $'plugins check the file.so --list\nplugins check the file.so --model one --only cpu-cuda'

# What failed has its text, and what nothing was said of has failed.
suite
((status == 1)) || fail "status $status: $output"
says '[  FAILED  ] two.gradients'
says 'none of words.weight'
says 'and none of words.bias'
says '[       OK ] two.memory'
says '[  FAILED  ] two.lost'
says 'ended with 3 and said nothing of it'

settings "model\tone\nconfig\tmodel_config.one.file='a b'.pt\n"
suite
((status == 0)) || fail "status $status: $output"
calls $'plugins check the file.so --list\nplugins check the file.so --model one model_config.one.file=\'a b\'.pt --only gradients --only cpu-cuda'

# What cannot be loaded is no test that is skipped.
touch "$work/crashes"
suite --gtest_filter=one.gradients
((status == 1)) || fail "status $status: $output"
says '[  FAILED  ] one.gradients'
says 'it called abort()'
rm "$work/crashes"

# What cannot be examined is a test that fails.
settings "model\tthree\nconfig\tmodel_config.two.size=1\n"
suite
((status == 1)) || fail "status $status: $output"
says "MODELS: the plugin has no model 'three'"
says "CONFIG: 'model_config.two.size=1' is for no model that is examined"
settings
touch "$work/refuses"
suite
((status == 1)) || fail "status $status: $output"
says '[  FAILED  ] plugin.can_be_examined'
says 'error: built for another Pergola'

((failures == 0)) || exit 1
echo 'the contract suite: all cases hold'
