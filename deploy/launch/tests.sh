# shellcheck shell=bash disable=SC2154 # root, home, launch and search_path come from ./castalia
# ./castalia test: builds, runs the tests of a tier, counts. Sourced by ./castalia.

tests_help() {
  cat <<'TEXT'
Usage: ./castalia test [--tier fast|default|full] [--strict]

Builds Castalia and runs its tests, one line per module; ends with 'N passed, N failed, N skipped'.

  --tier fast     at most 3 minutes on two cores (this one when no tier is named)
  --tier default  what continuous integration runs, at most 15 minutes
  --tier full     everything, up to 80 minutes
  --strict        a test that was skipped, because a tool is missing, counts against the run; one
                  that looks at ../shared/data, which is not the project's, may be skipped

Exit code 0 when nothing failed, 1 when a test failed (or, with --strict, was skipped), 4 when the build broke.

Example:
  ./castalia test --tier default --strict
TEXT
}

# Reads JUnit reports of Surefire. Prints 'C passed failed skipped', 'N LINE' for each test that was not run and
# 'F LINE' for each failure.
read_reports() {
  awk '
    function plain(s) {
      sub(/^(&#10;| )+/, "", s); gsub(/(&#10;| )+/, " ", s)
      gsub(/&quot;/, "\"", s); gsub(/&apos;/, "\047", s); gsub(/&#[0-9]+;/, " ", s)
      gsub(/&lt;/, "<", s); gsub(/&gt;/, ">", s); gsub(/&amp;/, "\\&", s)
      return s
    }
    function attribute(name,    s) {
      if (!match($0, " " name "=\"[^\"]*\"")) { return "" }
      s = substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 4)
      return plain(s)
    }
    { line = $0 }
    inside { if (line !~ /\]\]>/) { next } sub(/.*\]\]>/, "", line); inside = 0; $0 = line }
    /^ *<testsuite / {
      tests += attribute("tests"); bad += attribute("errors") + attribute("failures"); skipped += attribute("skipped")
    }
    /<testcase / { test = attribute("classname") "." attribute("name") }
    /<skipped/ {
      why = attribute("message")
      if (why == "" && match($0, /<!\[CDATA\[/)) { # an aborted test: the first line of its exception
        why = substr($0, RSTART + RLENGTH)
        sub(/\]\]>.*/, "", why)
        sub(/^[A-Za-z0-9.]*: /, "", why)
      }
      print "N " (why ~ /^not run: / ? why : "not run: " test ", because " (why == "" ? "it is disabled" : why))
    }
    /<(failure|error)[ >]/ {
      why = attribute("message")
      if (why == "") { why = attribute("type") }
      print "F " test ": " substr(why, 1, 300)
    }
    /<!\[CDATA\[/ { line = $0; sub(/.*<!\[CDATA\[/, "", line); if (line !~ /\]\]>/) { inside = 1 } }
    END { printf "C %d %d %d\n", tests - bad - skipped, bad, skipped }
  ' "$@" /dev/null
}

module_reports() { # read_reports of one module
  local one files=()
  for one in "$root/$1"/target/surefire-reports/TEST-*.xml; do
    [ -f "$one" ] && files+=("$one")
  done
  read_reports ${files[@]+"${files[@]}"}
}

# Prints one line for each module whose tests have ended since the last call; the log names modules in their order.
watch_tests() {
  local module count=0 running=''
  # shellcheck disable=SC2013 # names without spaces
  for module in $(sed -n 's/^\[INFO\] Building Castalia \([a-z][a-z]*\) .*\[[0-9]*\/[0-9]*\].*/\1/p' "$1"); do
    count=$((count + 1))
    if [ -n "$running" ] && [ $count -gt $((tests_shown + 1)) ]; then show_module "$running"; fi
    running=$module
  done
  if [ "${2:-}" = ended ]; then
    if [ -n "$running" ] && [ $count -gt "$tests_shown" ]; then show_module "$running"; fi
  elif [ -t 1 ] && [ -n "$running" ]; then
    printf '\r\033[K%-12s running, %d s' "$running" $((SECONDS - tests_module_began))
  fi
}

show_module() {
  local counts
  counts=$(module_reports "$1" | sed -n 's/^C \([0-9]*\) \([0-9]*\) \([0-9]*\)$/\1 passed, \2 failed, \3 skipped/p')
  [ -t 1 ] && printf '\r\033[K'
  printf '%-12s %s, %d s\n' "$1" "$counts" $((SECONDS - tests_module_began))
  tests_shown=$((tests_shown + 1))
  tests_module_began=$SECONDS
}

# Prints a line for each module whose tests did not run to their end.
broken_modules() {
  local log=$1 code=$2 names
  names=$(sed -n 's/^\[INFO\] Castalia *\([a-z]*\) \.* \(FAILURE\|SKIPPED\).*/\1/p' "$log")
  if [ -n "$names" ]; then
    # shellcheck disable=SC2086 # one line per word
    printf '%s\n' $names
  elif [ "$code" -ne 0 ]; then
    echo build
  fi
  # A test JVM that died leaves no report of the class it ran.
  awk '
    /^\[INFO\] Building Castalia/ { module = $4 }
    /The forked VM terminated|There was a timeout|Error occurred in starting fork|crashed/ && /^\[ERROR\]/ {
      if (!(module in seen)) { seen[module] = 1; print module }
    }
  ' "$log"
}

run_tests() {
  local tier=fast strict=no excluded log code stamp lines module kind line
  local passed=0 failed=0 skipped=0 outside=0 broken=''
  while [ $# -gt 0 ]; do
    case $1 in
      --tier=*) set -- --tier "${1#--tier=}" "${@:2}" && continue ;;
      --tier)
        [ $# -ge 2 ] || die 2 "--tier needs one of fast, default, full"
        tier=$2
        shift
        ;;
      --strict) strict=yes ;;
      -h | --help)
        tests_help
        exit 0
        ;;
      *) die 2 "test does not know '$1'; see ./castalia test --help" ;;
    esac
    shift
  done
  case $tier in
    fast) excluded='default|full' ;;
    default) excluded=full ;;
    full) excluded= ;;
    *) die 2 "there is no tier '$tier'; choose fast, default or full" ;;
  esac
  prepare_home
  require_jdk
  require_compiler
  require_maven
  lock_build
  log=$home/test.log
  stamp=$(sources_stamp)
  echo "building and testing, tier $tier; log in .castalia/test.log"
  for module in $modules; do rm -rf "$root/$module/target/surefire-reports"; done
  rm -rf "$root/deploy/target/lib"
  tests_shown=0 tests_module_began=$SECONDS
  run_maven test "$log" watch_tests --fail-at-end -Dmaven.test.failure.ignore=true \
    "-Dcastalia.test.excludedGroups=$excluded" verify
  code=$?
  broken=$(broken_modules "$log" $code | sort -u)
  lines=$(for module in $modules; do module_reports "$module"; done)
  while read -r kind line; do
    case $kind in
      C)
        # shellcheck disable=SC2086 # three numbers
        set -- $line
        passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
        ;;
      N)
        printf '%s\n' "$line"
        case $line in *'because ../shared/data is absent') outside=$((outside + 1)) ;; esac
        ;;
      F) printf 'FAILED %s\n' "$line" ;;
    esac
  done <<< "$lines"
  if [ -n "$broken" ]; then
    for module in $broken; do
      failed=$((failed + 1))
      case $module in
        build) echo "BROKEN the build ended before any test; counted as one failure" ;;
        *) echo "BROKEN $module: its tests did not run to their end; counted as one failure" ;;
      esac
    done
    echo "The whole log is $log. It says:"
    log_errors "$log"
    code=4
  elif [ $((passed + failed + skipped)) -eq 0 ]; then
    echo "BROKEN no test ran at all; counted as one failure (log: $log)"
    failed=1 code=4
  else
    if ! is_built "$stamp" && [ "$(sources_stamp)" = "$stamp" ] &&
      ls "$root"/deploy/target/lib/deploy-*.jar > /dev/null 2>&1; then stage_product "$stamp"; fi
    code=0
    if [ $failed -gt 0 ]; then
      echo "Stack traces are in MODULE/target/surefire-reports."
      code=1
    elif [ $skipped -gt $outside ] && [ $strict = yes ]; then
      echo "With --strict a test that was not run counts against the run."
      code=1
    fi
  fi
  unlock_build
  printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
  exit $code
}
