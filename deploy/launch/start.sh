# shellcheck shell=bash disable=SC2154 # root, home, launch and the functions come from ./castalia and its parts
# A class-data archive (JEP 350) in the folder of a build: what JVMs of a cluster need to start, loaded and verified
# once. Sourced by ./castalia.
#
# The first command that starts processes makes it with a run of one step, for this build, JDK and options. The JVM
# checks it and does without one that does not fit, so nothing depends on it. Without one a launch only is slower.

# Prints the file's name for what decides whether it fits.
start_archive() {
  printf '%s/start-%s.jsa' "$dist" \
    "$( (printf '%s\n' "$jdk_home"; cat "$jdk_home/release" "$launch/jvm.args" 2>/dev/null) | cksum | tr ' ' -)"
}

# Whether a command line starts processes of its own.
starts_processes() {
  local word
  case ${1:-} in
    demo | node) ;;
    train) case " $* " in *' --local'*) ;; *) return 1 ;; esac ;;
    *) return 1 ;;
  esac
  for word in "$@"; do
    case $word in -h | --help) return 1 ;; esac
  done
}

# abandon_start CODE: what a signal does while the archive is made.
abandon_start() {
  trap - INT TERM HUP
  end_process
  rm -rf "$home/tmp/start-$$" "$dist"/start-*.jsa.$$
  say "stopped"
  exit "$1"
}

# make_start_archive FILE: with a run that nobody sees. A file FILE.failed says not to try again.
make_start_archive() {
  local new=$1.$$ run=$home/tmp/start-$$ code
  command -v timeout > /dev/null || return 0
  mkdir -p "$run" && cp "$launch/start.yml" "$run/start.yml" || return 0
  say "once per build: a short run that lets processes start quicker from now on"
  local options
  jvm_options "$launch/jvm.args" train
  trap 'abandon_start 130' INT
  trap 'abandon_start 143' TERM
  trap 'abandon_start 129' HUP
  timeout -k 5 120 "$jdk_home/bin/java" "${options[@]}" "-XX:ArchiveClassesAtExit=$new" \
    -cp "$dist/lib/*" castalia.deploy.Main \
    train --config "$run/start.yml" --run "$run/run" --local 1 --threads 1 > "$run/log" 2>&1 < /dev/null &
  wait $!
  code=$?
  ended=$!
  trap - INT TERM HUP
  if [ $code -eq 0 ] && [ -s "$new" ]; then mv "$new" "$1"; else cp "$run/log" "$1.failed"; fi
  rm -rf "$new" "$run"
}

# Adds to the array options what makes this launch start quicker, if that is there.
use_start_archive() {
  local archive
  [ "$jdk_feature" -eq "$needed" ] || return 0 # the words of its options change with the JDK
  archive=$(start_archive)
  if [ ! -f "$archive" ] && [ ! -f "$archive.failed" ] && starts_processes "$@"; then make_start_archive "$archive"; fi
  [ -f "$archive" ] || return 0
  # The JVM would warn on stdout of an archive that does not fit.
  options+=("-XX:SharedArchiveFile=$archive" -Xshare:auto '-Xlog:cds*=off' '-Xlog:aot*=off')
}
