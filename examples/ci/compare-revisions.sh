#!/usr/bin/env bash
# Is one git revision of your repository slower than another? Each in an environment of its own:
#
#     compare-revisions.sh BASE [HEAD] [options of `v2v-export compare`]
#
# A revision gets a worktree, a virtual environment from its own requirements.txt (v2v-export among them), and a
# bundle that its own tools build from its own v2v.toml. All are kept by commit: the next comparison with the same
# base starts at once. What is not committed is not compared. The exit status is `compare`'s, or that of the step
# that failed; 2 where there is no such revision. To have the room back, delete WORK, and `git worktree prune`.
#
# Environment variables:
#     WORK     where they are kept; v2v-compare/<repository> in the user's cache folder if not given
#     PYTHON   makes the environments; python3 if not given
#     TARGET   what is built and played; cpu if not given
#     BUNDLE   a bundle that both sides play, where only the players' code differs: nothing is built
set -euo pipefail

usage() {
  echo "usage: ${0##*/} BASE [HEAD] [options of v2v-export compare]"
  sed -n '5,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"
}
case ${1:-} in
  -h | --help) usage && exit ;;
  "" | -*) usage >&2 && exit 2 ;;
esac
base=$1
shift
head=HEAD
if [[ $# -gt 0 && $1 != -* ]]; then
  head=$1
  shift
fi
top=$(git rev-parse --show-toplevel)
work=${WORK:-${XDG_CACHE_HOME:-$HOME/.cache}/v2v-compare/${top##*/}}
python=${PYTHON:-python3}
target=${TARGET:-cpu}

commit() {
  git rev-parse --verify --quiet "$1^{commit}" || { echo "no such revision: $1" >&2 && exit 2; }
}

prepare() {
  local place=$work/$1
  if [[ ! -e $place/ready ]]; then # an earlier try may have been stopped half-way
    git worktree remove --force "$place/source" 2> /dev/null || rm -rf "$place/source"
    git worktree prune
    mkdir -p "$place"
    git worktree add --quiet --detach "$place/source" "$1"
    "$python" -m venv --clear "$place/env"
    (cd "$place/source" && "$place/env/bin/python" -m pip install --quiet -r requirements.txt)
    touch "$place/ready"
  fi
  if [[ -z ${BUNDLE:-} ]]; then # does nothing, and says so, where the bundle is up to date
    (cd "$place/source" && "$place/env/bin/v2v-export" build v2v.toml --gpu "$target" --out "$place/$target.v2v")
  fi
}

base=$(commit "$base")
head=$(commit "$head")
mkdir -p "$work"
work=$(cd "$work" && pwd)
prepare "$base" >&2
prepare "$head" >&2
exec "$work/$head/env/bin/v2v-export" compare \
  "${BUNDLE:-$work/$base/$target.v2v}" "${BUNDLE:-$work/$head/$target.v2v}" --target "$target" \
  --base-python "$(printf %q "$work/$base/env/bin/python")" \
  --head-python "$(printf %q "$work/$head/env/bin/python")" "$@"
