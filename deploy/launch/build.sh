# shellcheck shell=bash disable=SC2154 # root, home, launch and search_path come from ./castalia
# Building once and staging the result. Sourced by ./castalia.
#
# .castalia/builds/STAMP/lib/*.jar is one staged build, .castalia/dist a link to the current one. STAMP is a checksum
# over the sources, so a launch costs one checksum and no Maven. A running Castalia holds a shared lock on the stamp
# file of its build, and only builds nobody runs are removed.

modules='protocol kernels checkpoints workers actors deploy'
dist=$home/dist
maven_needed=3.8.7

# Prints the checksum over everything the product is built from.
sources_stamp() {
  (
    cd "$root" || exit 1
    # shellcheck disable=SC2046,SC2086 # our own file names have no spaces
    find pom.xml $(printf '%s/pom.xml ' $modules) $(printf '%s/src/main ' $modules) -type f 2>/dev/null |
      LC_ALL=C sort | xargs cksum | cksum | tr -d ' '
  )
}

# Prints the checksum over what decides which files Maven needs.
needs_stamp() {
  (cd "$root" && cat pom.xml ./*/pom.xml | cksum | tr -d ' ')
}

is_built() {
  [ -f "$dist/stamp" ] && [ "$(cat "$dist/stamp" 2>/dev/null)" = "$1" ]
}

# Leaves in dist the real folder of a build that fits the sources, and a shared lock on it that java inherits.
ensure_built() {
  local stamp
  stamp=$(sources_stamp)
  while true; do
    if ! is_built "$stamp"; then
      require_compiler
      lock_build
      if ! is_built "$stamp"; then build_product "$stamp"; fi
      unlock_build
    fi
    hold_build && return 0
  done
}

hold_build() {
  local real
  real=$(cd -P "$home/dist" 2>/dev/null && pwd -P) || return 1
  exec 8< "$real/stamp" || return 1
  if command -v flock > /dev/null; then flock -s 8; fi
  [ -f "$real/stamp" ] || return 1 # removed while we looked
  dist=$real
}

# --- one builder at a time -------------------------------------------------------------------------------------------

lock_build() {
  local waited=0 limit=3600
  mkdir -p "$home"
  if command -v flock > /dev/null; then
    exec 9> "$home/build.lock"
    flock -n 9 && return 0
    say "another ./castalia is building or testing here; waiting for it"
    flock -w $limit 9 && return 0
    die 4 "the other one did not finish within an hour; look for it, then try again"
  fi
  while ! mkdir "$home/build.lock.d" 2>/dev/null; do
    if ! kill -0 "$(cat "$home/build.lock.d/pid" 2>/dev/null || echo 0)" 2>/dev/null; then
      sleep 1 # the holder may be about to write its number
      if ! kill -0 "$(cat "$home/build.lock.d/pid" 2>/dev/null || echo none)" 2>/dev/null; then
        rm -rf "$home/build.lock.d"
        continue
      fi
    fi
    [ $waited -eq 0 ] && say "another ./castalia is building or testing here; waiting for it"
    waited=$((waited + 1))
    [ $waited -gt $limit ] && die 4 "the other one did not finish within an hour; look for it, then try again"
    sleep 1
  done
  echo $$ > "$home/build.lock.d/pid"
  trap 'rm -rf "$home/build.lock.d"' EXIT
}

unlock_build() {
  if command -v flock > /dev/null; then
    exec 9>&-
  else
    rm -rf "$home/build.lock.d"
    trap - EXIT
  fi
}

# --- Maven -----------------------------------------------------------------------------------------------------------

require_maven() {
  local version
  if ! command -v mvn > /dev/null; then
    say "Castalia is built with Maven $maven_needed or newer, and no mvn is on PATH. Install it:"
    say "  Debian, Ubuntu: sudo apt install maven   Fedora: sudo dnf install maven   Arch: sudo pacman -S maven"
    exit 3
  fi
  version=$(JAVA_HOME=$jdk_home mvn -Dstyle.color=never -version 2>/dev/null |
    sed -n 's/.*Apache Maven \([0-9][0-9.]*\).*/\1/p' | head -n 1)
  if [ -z "$version" ]; then
    die 3 "$(command -v mvn) -version does not say its version; Castalia needs Maven $maven_needed or newer"
  fi
  if [ "$(printf '%s\n%s\n' "$maven_needed" "$version" | sort -t. -k1,1n -k2,2n -k3,3n | head -n 1)" != $maven_needed ]
  then
    die 3 "Castalia needs Maven $maven_needed or newer; $(command -v mvn) is $version"
  fi
}

# The number of the last background process that is known to have ended.
ended=''

# Ends the background process that was started last and waits for it. It is `$!` and no variable of ours, because a
# signal may come before the line after `&`; and it is told until it is gone, because a signal that meets a child
# before it has taken off this shell's traps is lost.
end_process() {
  local process=${!:-} told=0 signal=TERM
  [ "$process" = "$ended" ] && return 0
  while kill -s $signal "$process" 2>/dev/null; do
    sleep 0.1
    told=$((told + 1))
    [ $told -eq 150 ] && signal=KILL
  done
  wait "$process" 2>/dev/null
  ended=$process
}

stop_maven() {
  trap - INT TERM HUP
  end_process
  say "stopped"
  exit "$1"
}

# run_maven KIND LOG WATCHER ARGUMENT...: offline when this KIND of run succeeded before with the same needs, online
# otherwise or when offline something is missing. WATCHER is called a few times a second, and once at the end.
run_maven() {
  local kind=$1 log=$2 watcher=$3 mark code
  shift 3
  mark=$home/offline-$kind
  if [ "$(cat "$mark" 2>/dev/null)" = "$(needs_stamp)" ]; then
    watch_maven "$log" "$watcher" --offline "$@" && return 0
    code=$?
    grep -q -e 'in offline mode' -e 'offline mode and the artifact' "$log" || return $code
    say "something Maven needs is no longer on this machine; asking Maven Central"
  fi
  watch_maven "$log" "$watcher" "$@" || return $?
  needs_stamp > "$mark"
}

watch_maven() {
  local log=$1 watcher=$2 maven code
  shift 2
  maven_started=$SECONDS
  trap 'stop_maven 130' INT
  trap 'stop_maven 143' TERM
  trap 'stop_maven 129' HUP
  (
    cd "$root" || exit 1
    export JAVA_HOME=$jdk_home
    exec mvn --batch-mode -Dstyle.color=never -Dcastalia.jdk.checked=true \
      "-Dcastalia.jdk.range=[$jdk_feature,$((jdk_feature + 1)))" "$@"
  ) > "$log" 2>&1 < /dev/null &
  maven=$!
  while kill -0 $maven 2>/dev/null; do
    "$watcher" "$log"
    sleep 0.2
  done
  wait $maven
  code=$?
  ended=$maven
  trap - INT TERM HUP
  "$watcher" "$log" ended
  return $code
}

# The first lines of a Maven log that say what went wrong.
log_errors() {
  grep -E '^\[(ERROR|FATAL)\]|^Error|^\[WARNING\] .*\.java:\[' "$1" | sed 's/ *-> \[Help [0-9]*\]$//' |
    grep -v -e '\[Help [0-9]*\] http' -e 'e-run Maven' -e 'There are test failures' -e 'For more information' \
      -e '^\[ERROR\] *$' -e 'To see the full' -e 'After correcting the problems' -e 'mvn <args> -rf' \
      -e 'Tests run:' -e '<<< ' -e '^\[ERROR\] [EF][a-z]*: *$' -e '^\[ERROR\]   *[A-Za-z]*\.[A-Za-z]' |
    awk '!seen[$0]++' | head -n 12
}

# --- the product -----------------------------------------------------------------------------------------------------

shown=''
progress() { # one line on stderr, redrawn on a terminal, else printed when it says something new
  if [ -t 2 ]; then
    printf '\r\033[Kcastalia: %s, %s s' "$1" $((SECONDS - maven_started)) >&2
  elif [ "$1" != "$shown" ]; then
    say "$1"
  fi
  shown=$1
}

watch_build() {
  local step fetched
  if [ "${2:-}" = ended ]; then
    [ -t 2 ] && printf '\r\033[K' >&2
    return 0
  fi
  step=$(sed -n 's/^\[INFO\] Building Castalia \([a-z][a-z]*\) .*\[\([0-9]*\/[0-9]*\)\].*/\2 \1/p' "$1" | tail -n 1)
  fetched=$(grep -c '^Downloaded from' "$1")
  if [ -t 2 ] && [ "$fetched" -gt 0 ]; then
    progress "building ${step:-1/7 settings} ($fetched files fetched)"
  else
    progress "building ${step:-1/7 settings}"
  fi
}

build_product() {
  local log=$home/build.log began=$SECONDS
  require_maven
  if [ ! -e "$home/dist" ]; then
    say "first build: about 150 MB from Maven Central unless Maven has them, 2 to 4 minutes on two cores"
    say "its log is .castalia/build.log"
  else
    say "the sources changed since the last build; building again; log in .castalia/build.log"
  fi
  rm -rf "$root/deploy/target/lib"
  if ! run_maven build "$log" watch_build -Dmaven.test.skip=true package; then
    say "the build failed; the whole log is $log. It says:"
    log_errors "$log" >&2
    exit 4
  fi
  stage_product "$1"
  say "built in $((SECONDS - began)) s; from now on no Maven is needed until the sources change"
}

# Copies the jars of deploy/target/lib to a new build and makes it the current one in one move.
stage_product() {
  local new=$home/builds/$1.$$ jar name
  if ! ls "$root"/deploy/target/lib/deploy-*.jar > /dev/null 2>&1; then
    die 4 "the build left no deploy/target/lib/deploy-*.jar; see $home/build.log"
  fi
  mkdir -p "$new/lib" || die 16 "cannot write $new"
  for jar in "$root"/deploy/target/lib/*.jar; do
    name=${jar##*/}
    # The same library as in the build before is shared with it.
    if [ -f "$home/dist/lib/$name" ] && cmp -s "$jar" "$home/dist/lib/$name" &&
      ln "$home/dist/lib/$name" "$new/lib/$name" 2>/dev/null; then continue; fi
    cp "$jar" "$new/lib/$name" || die 16 "cannot write $new/lib/$name: is the disk full?"
  done
  printf '%s\n' "$1" > "$new/stamp"
  ln -sfn "builds/$1.$$" "$home/dist.new"
  mv -T "$home/dist.new" "$home/dist" 2>/dev/null || { rm -rf "$home/dist" && mv "$home/dist.new" "$home/dist"; }
  prune_builds "$new"
}

prune_builds() {
  local one
  command -v flock > /dev/null || return 0
  for one in "$home"/builds/*; do
    if [ "$one" = "$1" ]; then continue; fi
    if [ -f "$one/stamp" ]; then
      (flock -n -x 7 && rm -rf "$one") 7< "$one/stamp"
    else
      rm -rf "$one" # a copy that was interrupted
    fi
  done
}
