# shellcheck shell=bash disable=SC2154 # root, home, launch and search_path come from ./castalia
# ./castalia setup: a JDK from a local archive. Sourced by ./castalia.

setup_help() {
  cat <<'TEXT'
Usage: ./castalia setup --jdk ARCHIVE.tar.gz --sha256 HEX

Unpacks a JDK 25 you have as a .tar.gz file into .castalia/jdk, where ./castalia finds it. Nothing is downloaded.

  --jdk FILE     the archive, as published for this system
  --sha256 HEX   its SHA-256, as published beside it; another one is refused

Example:
  ./castalia setup --jdk OpenJDK25U-jdk_x64_linux.tar.gz --sha256 "$(cat OpenJDK25U-jdk_x64_linux.tar.gz.sha256.txt)"
TEXT
}

sha256_of() {
  if command -v sha256sum > /dev/null; then
    sha256sum < "$1" | cut -d ' ' -f 1
  else
    shasum -a 256 < "$1" | cut -d ' ' -f 1
  fi
}

run_setup() {
  local archive='' wanted='' actual new java folder feature
  while [ $# -gt 0 ]; do
    case $1 in
      --jdk) archive=${2:-} ;;
      --sha256) wanted=${2:-} ;;
      -h | --help)
        setup_help
        exit 0
        ;;
      *) die 2 "setup does not know '$1'; see ./castalia setup --help" ;;
    esac
    [ $# -ge 2 ] || die 2 "$1 needs a value; see ./castalia setup --help"
    shift 2
  done
  if [ -z "$archive" ] || [ -z "$wanted" ]; then
    die 2 "setup needs --jdk ARCHIVE and --sha256 HEX; see ./castalia setup --help"
  fi
  wanted=$(printf '%s' "${wanted%% *}" | tr 'A-F' 'a-f')
  case $wanted in
    *[!0-9a-f]*) die 2 "--sha256 $wanted is not hexadecimal" ;;
  esac
  [ ${#wanted} -eq 64 ] || die 2 "--sha256 has ${#wanted} digits; a SHA-256 has 64"
  if [ ! -f "$archive" ] || [ ! -r "$archive" ]; then die 2 "cannot read $archive"; fi
  prepare_home
  actual=$(sha256_of "$archive")
  if [ "$actual" != "$wanted" ]; then
    die 11 "$archive has SHA-256 $actual, not $wanted; nothing was unpacked"
  fi
  new=$home/jdk.new.$$
  setup_temporary=$new
  trap 'rm -rf "$setup_temporary"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  mkdir -p "$new" || die 16 "cannot write $new"
  tar -xzf "$archive" -C "$new" || die 16 "cannot unpack $archive: not a .tar.gz, or the disk is full"
  folder=''
  for java in "$new"/bin/java "$new"/*/bin/java "$new"/*/Contents/Home/bin/java; do
    if [ -x "$java" ]; then
      folder=$(dirname "$(dirname "$java")")
      break
    fi
  done
  [ -n "$folder" ] || die 11 "$archive holds no bin/java; nothing was changed"
  feature=$("$folder/bin/java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1)
  if [ "$feature" != "$needed" ]; then
    die 11 "$archive holds Java ${feature:-that does not run here}, not JDK 25; nothing was changed"
  fi
  [ -x "$folder/bin/javac" ] || die 11 "$archive holds a runtime without javac, not a JDK; nothing was changed"
  rm -rf "$home/jdk.old"
  if [ -e "$home/jdk" ]; then mv "$home/jdk" "$home/jdk.old" || die 16 "cannot replace $home/jdk"; fi
  if ! mv "$folder" "$home/jdk"; then
    [ -e "$home/jdk.old" ] && mv "$home/jdk.old" "$home/jdk"
    die 16 "cannot move the JDK to $home/jdk"
  fi
  rm -rf "$home/jdk.old" "$new"
  say "JDK 25 is in .castalia/jdk; ./castalia uses it when no other JDK 25 is found"
}
