# shellcheck shell=bash disable=SC2154 # root, home, launch and search_path come from ./castalia
# Finding JDK 25. Sourced by ./castalia.
# After find_jdk: jdk_home (empty when none will do), jdk_feature, jdk_compiler (yes/no); jdk_seen has a line for each
# Java found.

needed=25

# Prints the feature number (25) of the Java in folder $1, or nothing.
feature_of() {
  local version='' line
  [ -x "$1/bin/java" ] || return 0
  if [ -r "$1/release" ]; then
    while IFS= read -r line; do
      case $line in
        JAVA_VERSION=*) version=${line#JAVA_VERSION=} ;;
      esac
    done < "$1/release"
    version=${version//\"/}
  fi
  if [ -z "$version" ]; then
    version=$("$1/bin/java" -version 2>&1 | sed -n 's/.*version "\([^"]*\)".*/\1/p' | head -n 1)
  fi
  version=${version#1.}
  version=${version%%[!0-9]*}
  printf '%s' "$version"
}

# consider FOLDER WHERE: keeps the folder if it is better than the best so far.
consider() {
  local folder feature compiler=no rank=0 # 4 JDK 25, 3 newer JDK, 2 runtime 25, 1 newer runtime, 0 too old
  [ -x "$1/bin/java" ] || return 0
  folder=$(cd -P "$1" 2>/dev/null && pwd -P) || return 0
  case $jdk_folders in
    *":$folder:"*) return 0 ;;
  esac
  jdk_folders=$jdk_folders$folder:
  feature=$(feature_of "$folder")
  if [ -z "$feature" ]; then
    jdk_seen="$jdk_seen  found      $folder ($2), but its java does not run"$'\n'
    return 0
  fi
  [ -x "$folder/bin/javac" ] && compiler=yes
  if [ "$feature" -eq "$needed" ]; then
    rank=2
  elif [ "$feature" -gt "$needed" ]; then
    rank=1
  fi
  [ $rank -gt 0 ] && [ $compiler = yes ] && rank=$((rank + 2))
  if [ $compiler = yes ]; then
    jdk_seen="$jdk_seen  found      JDK $feature in $folder ($2)"$'\n'
  else
    jdk_seen="$jdk_seen  found      Java $feature in $folder ($2), without a compiler"$'\n'
  fi
  if [ $rank -gt "$jdk_rank" ]; then
    jdk_rank=$rank jdk_home=$folder jdk_feature=$feature jdk_compiler=$compiler
  fi
}

consider_path() {
  local folder java link rest=$search_path:
  while [ -n "$rest" ]; do
    folder=${rest%%:*}
    rest=${rest#*:}
    java=$folder/java
    if [ -z "$folder" ] || [ ! -x "$java" ] || [ -d "$java" ]; then continue; fi
    [ "$java" = /usr/bin/java ] && [ "$(uname)" = Darwin ] && continue # a stub; java_home knows the real ones
    while [ -L "$java" ]; do
      link=$(readlink "$java")
      case $link in
        /*) java=$link ;;
        *) java=$(dirname "$java")/$link ;;
      esac
    done
    java=$(dirname "$java")
    if [ "$(basename "$java")" = bin ]; then
      consider "$(dirname "$java")" "on PATH"
    else
      jdk_seen="$jdk_seen  found      $java/java (on PATH), which is in no folder bin of a JDK"$'\n'
    fi
  done
}

consider_folders() {
  local folder one rest
  if [ -n "${CASTALIA_JVM_FOLDERS+set}" ]; then
    rest=$CASTALIA_JVM_FOLDERS:
    while [ -n "$rest" ]; do
      folder=${rest%%:*}
      rest=${rest#*:}
      [ -n "$folder" ] || continue
      for one in "$folder"/*; do consider "$one" "in CASTALIA_JVM_FOLDERS"; done
    done
    return 0
  fi
  for one in /usr/lib/jvm/* /usr/lib64/jvm/* /usr/java/* /usr/local/java/* /opt/* /opt/java/* /opt/jdk/* \
    "${HOME:-/root}"/.sdkman/candidates/java/* "${HOME:-/root}"/.jdks/* \
    /Library/Java/JavaVirtualMachines/*/Contents/Home; do
    consider "$one" "a usual folder"
  done
  if [ -x /usr/libexec/java_home ]; then
    one=$(/usr/libexec/java_home -v $needed 2>/dev/null) && consider "$one" "from java_home"
  fi
}

find_jdk() {
  jdk_home='' jdk_feature='' jdk_compiler=no jdk_rank=0 jdk_seen='' jdk_folders=:
  [ -n "${CASTALIA_JAVA_HOME:-}" ] && consider "$CASTALIA_JAVA_HOME" CASTALIA_JAVA_HOME
  [ $jdk_rank -eq 4 ] && return 0
  [ -n "${JAVA_HOME:-}" ] && consider "$JAVA_HOME" JAVA_HOME
  [ $jdk_rank -eq 4 ] && return 0
  consider_path
  [ $jdk_rank -eq 4 ] && return 0
  consider_folders
  [ $jdk_rank -eq 4 ] && return 0
  consider "$home/jdk" "from ./castalia setup"
  return 0
}

variable_state() {
  if [ -z "$2" ]; then
    printf '%s (not set)' "$1"
  elif [ -x "$2/bin/java" ]; then
    printf '%s=%s' "$1" "$2"
  else
    printf '%s=%s (no bin/java there)' "$1" "$2"
  fi
}

# Says on stderr what was found and where, and how to get a JDK. $1 is the first sentence.
explain_jdk() {
  local folders="/usr/lib/jvm, /opt, ~/.sdkman and other usual folders"
  [ -n "${CASTALIA_JVM_FOLDERS+set}" ] && folders="CASTALIA_JVM_FOLDERS=${CASTALIA_JVM_FOLDERS:-(empty)}"
  {
    printf 'castalia: %s\n%s' "$1" "${jdk_seen:-  found      no Java at all
}"
    printf '  looked at  %s, %s,\n' "$(variable_state CASTALIA_JAVA_HOME "${CASTALIA_JAVA_HOME:-}")" \
      "$(variable_state JAVA_HOME "${JAVA_HOME:-}")"
    printf '             PATH, %s, .castalia/jdk\n' "$folders"
    cat <<'TEXT'
Install JDK 25, or point CASTALIA_JAVA_HOME at one:
  Debian, Ubuntu  sudo apt install openjdk-25-jdk   (or temurin-25-jdk from packages.adoptium.net)
  Fedora          sudo dnf install java-25-openjdk-devel
  Arch            sudo pacman -S jdk25-openjdk
  macOS           brew install --cask temurin@25
  SDKMAN          sdk install java 25-tem           (`sdk list java` has the exact names)
  from a file     ./castalia setup --jdk ARCHIVE.tar.gz --sha256 HEX
TEXT
  } >&2
}

# Finds a JDK or ends with exit code 3; a newer one is used with a notice.
require_jdk() {
  find_jdk
  if [ -z "$jdk_home" ]; then
    explain_jdk "Castalia needs JDK 25 and found none."
    exit 3
  fi
  if [ "$jdk_feature" -ne $needed ]; then
    say "notice: using JDK $jdk_feature in $jdk_home; Castalia is made and tested for JDK $needed"
  fi
}

require_compiler() {
  [ "$jdk_compiler" = yes ] && return 0
  explain_jdk "building Castalia needs a JDK with its compiler; $jdk_home is a runtime without javac."
  exit 3
}

# jdk: prints the folder of the JDK that would be used. With --maven JAVA_HOME_OF_MAVEN it checks that a plain Maven
# run will find JDK 25 by itself, and says what to do when not.
answer_jdk() {
  find_jdk
  if [ -z "$jdk_home" ]; then
    explain_jdk "Castalia needs JDK 25 and found none."
    exit 3
  fi
  if [ "${1:-}" = --maven ]; then
    if [ "$jdk_feature" -ne $needed ]; then
      explain_jdk "Castalia needs JDK 25; found only JDK $jdk_feature. ./castalia works with it, with a notice."
      exit 3
    elif [ "$jdk_compiler" = no ]; then
      explain_jdk "building Castalia needs a JDK with its compiler; $jdk_home is a runtime without javac."
      exit 3
    fi
    case $jdk_home in
      "$(cd -P "${2:-/}" && pwd -P)" | /usr/lib/jvm/* | /usr/lib64/jvm/* | /usr/java/* | /usr/local/java/* | \
        /opt/java/* | "${HOME:-/root}"/.sdkman/* | "${HOME:-/root}"/.jdks/* | /Library/Java/*) ;;
      "$(cd -P "${JAVA_HOME:-/}" 2>/dev/null && pwd -P)") ;;
      *)
        if [ ! -e "${HOME:-/root}/.m2/toolchains.xml" ]; then
          say "JDK 25 is in $jdk_home, where Maven does not look by itself."
          say "Run Maven with it: JAVA_HOME=$jdk_home mvn verify (or use ./castalia test, which does)"
          exit 3
        fi
        ;;
    esac
  fi
  printf '%s\n' "$jdk_home"
}
