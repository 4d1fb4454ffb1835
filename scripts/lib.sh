# Shell functions that the scripts share: `. lib.sh` from bash.
# shellcheck shell=bash

# usage FILE: the comment that FILE begins with.
usage() { sed -n '1d;/^#/!q;s/^# \{0,1\}//p' "$1"; }

# options FILE [ARG…]: for scripts whose one option is -h.
options() {
  case ${2-} in
  -h | --help) usage "$1"; exit ;;
  -*) die "there is no option $2: see $1 -h" ;;
  esac
}

# die MESSAGE…: say what went wrong and end.
die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 2
}

# modules: the folders of go.work's modules, relative to the root, one a line.
modules() { GOWORK=$PWD/go.work go list -m -f '{{.Dir}}' | sed "s|^$PWD/||"; }

# programs: the modules that hold a program.
programs() { modules | grep -vx pkg; }

# pick CANDIDATES [NAME…]: sets the array picked to the names, or to all of the
# candidates (one a line) if none is given. An unknown name ends the script.
pick() {
  local candidates=$1 name
  shift
  picked=()
  while read -r name; do
    if (($# == 0)) && [[ -n $name ]]; then picked+=("$name"); fi
  done <<<"$candidates"
  for name; do
    name=${name%/}
    grep -qxF -- "$name" <<<"$candidates" || die "there is no $name here, but: ${candidates//$'\n'/ }"
    picked+=("$name")
  done
}

# step NAME: a heading with the seconds since the outermost script began. If
# the script then fails, the last line that it prints names the step.
step() {
  current_step=$*
  printf '=== [%3d s] %s\n' $(($(date +%s) - TOPDOWN_STARTED)) "$*"
}
export TOPDOWN_STARTED=${TOPDOWN_STARTED:-$(date +%s)}
current_step=

# report_failure: for `trap report_failure EXIT`, beside step.
report_failure() {
  local status=$?
  [[ $status == 0 || -z $current_step ]] ||
    printf '%s: FAILED (exit status %d) in step: %s\n' "$0" $status "$current_step" >&2
}
