#!/bin/bash
# Castalia with its own Java runtime. Everything it keeps between commands lies in CASTALIA_HOME (default:
# .castalia beside this file). CASTALIA_JAVA_OPTS: more options for java.
set -u
PATH=${PATH:+$PATH:}/usr/bin:/bin:/usr/local/bin
self=$(readlink -f "${BASH_SOURCE[0]}")
root=${self%/*}
home=${CASTALIA_HOME:-$root/.castalia}

die() { printf 'castalia: %s\n' "$2" >&2; exit "$1"; }

# shellcheck source=deploy/launch/options.sh
. "$root/options.sh"

case $root in
  *:*) die 2 "the folder $root has a ':' in its path, which no Java class path allows; move it" ;;
esac
case ${1:-} in
  setup | test | package | jdk) die 2 "'$1' is for a source tree; this is a package, which needs no build" ;;
esac
prepare_folders || die 16 "cannot write in $home; name another folder in CASTALIA_HOME"
product_environment
options=()
jvm_options "$root/jvm.args" "$@"
# shellcheck disable=SC2086 # CASTALIA_JAVA_OPTS is several words
exec "$root/runtime/bin/java" "${options[@]}" ${CASTALIA_JAVA_OPTS:-} -cp "$root/lib/*" castalia.deploy.Main "$@"
