#!/bin/bash
# Castalia with its own Java runtime. Everything it keeps between commands lies in CASTALIA_HOME
# (default: .castalia beside this file).
set -u
self=$(readlink -f "${BASH_SOURCE[0]}")
root=${self%/*}
home=${CASTALIA_HOME:-$root/.castalia}
mkdir -p "$home/tmp" "$home/natives" || exit 16
case ${LC_ALL:-${LC_CTYPE:-${LANG:-}}} in
  *UTF-8* | *utf8* | *UTF8*) ;;
  *) export LC_ALL=C.UTF-8 ;;
esac
export DJL_CACHE_DIR=$home/natives DJL_OFFLINE=true OPT_OUT_TRACKING=true
# shellcheck disable=SC2086 # CASTALIA_JAVA_OPTS is several words
exec "$root/runtime/bin/java" "@$root/jvm.args" --add-modules=jdk.incubator.vector "-Dcastalia.home=$home" \
  "-Djava.io.tmpdir=$home/tmp" "-Djna.tmpdir=$home/tmp" ${CASTALIA_JAVA_OPTS:-} -cp "$root/lib/*" \
  castalia.deploy.Main "$@"
