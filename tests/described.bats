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

# The shells themselves, where they are: what they offer for the last word of a line that is typed.
fish_typed() { # LINE
  HOME="$work" XDG_CONFIG_HOME="$work" fish -c 'source fish.words; complete -C "$argv[1]"' "$1" | cut -f1
}

@test "fish completes subcommands, their parts, options, values, experiments and keys" {
  command -v fish >/dev/null || skip "no fish here (apt install fish)"
  "$harness" help completion fish >fish.words
  [ "$(fish_typed 'harness ru')" = "$(printf 'run\nruns')" ]
  fish_typed 'harness runs ' | grep -qx list
  [ "$(fish_typed 'harness runs list --stat')" = "--status" ]
  [ "$(fish_typed 'harness bench --device c')" = "$(printf 'cpu\ncuda')" ]
  [ "$(fish_typed 'harness bench --device=c')" = "$(printf -- '--device=cpu\n--device=cuda')" ]
  fish_typed 'harness run query_c' | grep -qx query_count
  fish_typed 'harness run query_count see' | grep -qx seeds=
  [ "$(fish_typed 'harness run query_count scale=q')" = scale=quick ]
  [ "$(fish_typed 'harness help completion z')" = zsh ]
}

# One shell for all lines; compadd writes down what would be offered.
zsh_typed() { # LINE...: files offered.1, offered.2, ...
  cat >child.zsh <<'END'
PROMPT= number=1 && autoload -Uz compinit && compinit -D -u && source ./zsh.words
compadd() {
  local -a hits
  case " ${(j: :)@[1,(i)(-|--)]} " in *" -"[OAD]" "*) builtin compadd "$@"; return ;; esac
  builtin compadd -A hits "$@"
  print -rl -- $hits >>part
  builtin compadd "$@"
}
ended() {
  sort -u part | grep . >part.sorted
  rm part && mv part.sorted offered.$((number++))
  comppostfuncs=(ended)
}
comppostfuncs=(ended)
END
  # shellcheck disable=SC2016
  HOME="$work" ZDOTDIR="$work" zsh -fc 'zmodload zsh/zpty && zpty z zsh -f -i && zpty -w z "source ./child.zsh"
    for ((n = 1; n <= $#; n++)); do
      zpty -w -n z "$argv[n]"$'"'\\t'"'
      repeat 400; do [[ ! -e offered.$n ]] || break; sleep .05; done
      zpty -w -n z $'"'\\C-u'"'
    done
    zpty -d z' - "$@"
}

@test "zsh completes subcommands, their parts, options, values, experiments and keys" {
  command -v zsh >/dev/null || skip "no zsh here (apt install zsh)"
  "$harness" help completion zsh >zsh.words
  zsh_typed 'harness ru' 'harness runs ' 'harness runs list --stat' 'harness bench --device c' 'harness bench --device=c' \
    'harness run query_c' 'harness run query_count see' 'harness run query_count scale=q' 'harness help completion z'
  [ "$(cat offered.1)" = "$(printf 'run\nruns')" ]
  grep -qx list offered.2
  [ "$(cat offered.3)" = "--status" ]
  [ "$(cat offered.4)" = "$(printf 'cpu\ncuda')" ]
  [ "$(cat offered.5)" = "$(printf 'cpu\ncuda')" ]
  grep -qx query_count offered.6
  grep -qx seeds= offered.7
  [ "$(cat offered.8)" = scale=quick ]
  [ "$(cat offered.9)" = zsh ]
}
