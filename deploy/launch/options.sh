# shellcheck shell=bash
# What the product's JVM and environment are told, in a source tree and in a package alike. Sourced by
# ./castalia and by a package's launcher, which name the folder for everything written in $home.

# Makes that folder, or fails.
prepare_folders() {
  mkdir -p "$home/tmp" "$home/natives"
}

product_environment() {
  case ${LC_ALL:-${LC_CTYPE:-${LANG:-}}} in
    *UTF-8* | *utf8* | *UTF8*) ;;
    *) export LC_ALL=C.UTF-8 ;; # else java cannot open files whose names are not ASCII
  esac
  export DJL_CACHE_DIR=$home/natives DJL_OFFLINE=true OPT_OUT_TRACKING=true
}

# jvm_options FILE COMMAND...: fills the array options with java's, those of FILE among them.
jvm_options() {
  local vector=--add-modules=jdk.incubator.vector word
  for word in "${2:-help}" "${@:2}"; do
    case $word in
      help | -h | --help) vector=-Dcastalia.vector=absent ;; # not needed then, so the JVM need not warn about it
    esac
  done
  options=("@$1" "$vector" "-Dcastalia.home=$home" "-Djava.io.tmpdir=$home/tmp"
    "-Djna.tmpdir=$home/tmp" "-XX:ErrorFile=$home/java-crash-%p.log")
  # texts are garbage soon, and there is much of it
  case ${2:-} in data) options+=(-XX:MaxNewSize=600m) ;; esac
}
