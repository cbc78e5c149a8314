#!/usr/bin/env bats
# harness(1) and the completions hold every subcommand and every option that the program takes.

load work

setup() {
  work_in "$(mktemp -d)"
}

teardown() {
  rm -rf "$work"
}

# options: "runs list --status" a line, by what --help of each says; commands: the subcommands that the sources name.
every_option() {
  { "$harness" help | sed -n '/^Subcommands/,/^ *help/s/^  \([a-z]*\) .*/\1/p' | grep -vx 'help\|runs\|data\|weights'
    grep -ohE '"(runs|data|weights|bench|slurm|plot) [a-z]+",' "$root"/src/cli/*.c | grep -oE '[a-z]+ [a-z]+'
  } >commands
  while read -r command; do
    # shellcheck disable=SC2086
    "$harness" $command --help | grep -oE '^ +(-[a-zA-Z], +)?--[a-z0-9-]+' | grep -oE -- '--[a-z0-9-]+' | sed "s/^/$command /"
  done <commands >options
  [ "$(wc -l <commands)" -ge 25 ] && [ "$(wc -l <options)" -gt 150 ]
}

@test "the man page has every subcommand, option, key, variable and exit code" {
  "$harness" help man >page
  every_option
  /usr/bin/python3 - <<'END'
import re
page = open("page").read().replace("\\-", "-").replace("\\:", "").replace("\\fB", "").replace("\\fR", "")
parts = dict(re.findall(r"^\.SS harness ([^\n]+)\n(.*?)(?=^\.S[SH])", page, re.S | re.M))
common = page[page.index(".SH OPTIONS OF EVERY"):]
for line in open("options"):
    command, option = line.strip().split(" --")
    row = re.compile(r"^(-\w, )?--%s\b" % re.escape(option), re.M)
    assert row.search(parts[command]) or row.search(common), line
END
  for key in seeds scale queries widths bridge; do grep -q "^.fB$key.fR=" page; done
  for name in HARNESS_DB HARNESS_HOME NO_COLOR 75; do grep -q "^.fB$name.fR" page; done
  ! command -v man >/dev/null || LC_ALL=C.UTF-8 MANROFFSEQ='' man --warnings -E UTF-8 -l -Tutf8 -Z page 2>warnings >/dev/null
  [ ! -s warnings ] || { cat warnings; false; }
}

@test "completions have them too, and shells can read them" {
  every_option
  for shell in bash zsh fish; do
    "$harness" help completion $shell >$shell.words
    sed 's/.* --//' options | sort -u | while read -r option; do
      grep -qE -- "(--|-l )$option\b" $shell.words || { echo "$shell lacks $option"; exit 1; }
    done
    ! command -v $shell >/dev/null || $shell -n $shell.words
  done
  run "$harness" help completion tcsh
  [ "$status" -eq 2 ]
}

typed() { # WORDS..: what bash offers for the last
  bash -c 'source bash.words; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _harness 2>/dev/null; printf "%s\n" "${COMPREPLY[@]}"' - "$@"
}

@test "bash completes subcommands, their parts, options, values, experiments and keys" {
  "$harness" help completion bash >bash.words
  [ "$(typed harness ru)" = "$(printf 'run\nruns')" ]
  typed harness runs '' | grep -qx list
  [ "$(typed harness runs list --stat)" = "--status" ]
  [ "$(typed harness bench --device '')" = "$(printf 'cpu\ncuda')" ]
  [ "$(typed harness bench --device = c)" = "$(printf 'cpu\ncuda')" ]
  typed harness run query_c | grep -qx query_count
  typed harness run query_count see | grep -qx seeds=
  [ "$(typed harness run query_count scale = q)" = quick ]
  [ "$(typed harness help completion z)" = zsh ]
}
