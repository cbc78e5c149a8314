/* What bash, zsh and fish complete, from the tables that the program itself reads. */
#include "base/nearest.h"
#include "src/cli/described.h"
#include "src/cli/experiment_files.h"
#include "src/store/field.h"

#include <stdlib.h>
#include <string.h>

/* What all three are made of. */
typedef struct Words {
  json_t *commands;    /* of described() */
  json_t *common;      /* options of all */
  json_t *experiments; /* names */
  json_t *keys;        /* of experiments */
} Words;

typedef void Shell(const Words *words, FILE *out);

/* The words among which an option's value is one, "cpu|cuda"; NULL: it is anything. */
static const char *choices_of(const json_t *option) {
  const char *arg = field_text(option, "arg");
  return strchr(arg, '|') && !arg[strcspn(arg, " ")] ? arg : NULL;
}

/* A|B with `between` in place of the bars. */
static void put_choices(const char *choices, char between, FILE *out) {
  for (; *choices; choices++) fputc(*choices == '|' ? between : *choices, out);
}

/* Text in single quotes, as bash and zsh (doubled: '\'') or fish (\') read it; characters of
 * `escaped` behind a backslash. */
static void put_quoted(const char *text, const char *escaped, const char *quote, FILE *out) {
  for (; *text; text++) {
    if (strchr(escaped, *text)) fputc('\\', out);
    if (*text == '\'')
      fputs(quote, out);
    else
      fputc(*text, out);
  }
}

static bool takes_experiment(const json_t *command) {
  const char *operands = field_text_if(command, "operands");
  return strstr(operands, "key=value") != NULL;
}

/* "seeds= scale=quick scale=small ...": with `choices` those of each key behind it. */
static void put_keys(const json_t *keys, bool choices, const char *before, const char *after,
                     FILE *out) {
  const json_t *key, *choice;
  size_t i, k;
  json_array_foreach(keys, i, key) {
    const char *name = field_text(key, "name");
    const json_t *list = choices ? json_object_get(key, "choices") : NULL;
    fprintf(out, "%s%s=%s", before, name, after);
    json_array_foreach(list, k, choice) if (json_is_string(choice))
        fprintf(out, "%s%s=%s%s", before, name, json_string_value(choice), after);
  }
}

static void put_names(const json_t *names, const char *before, const char *after, FILE *out) {
  const json_t *name;
  size_t i;
  json_array_foreach(names, i, name) fprintf(out, "%s%s%s", before, json_string_value(name), after);
}

/* ---- bash ------------------------------------------------------------------------------------ */

static void bash_options(const json_t *options, FILE *out) {
  const json_t *option;
  size_t i;
  json_array_foreach(options, i, option) fprintf(out, " --%s", field_text(option, "name"));
}

static void bash_choices(const json_t *command, const json_t *options, FILE *out) {
  const json_t *option;
  size_t i;
  json_array_foreach(options, i, option) {
    if (!choices_of(option)) continue;
    fprintf(out, "    '%s --%s') words='", field_text_if(command, "name"),
            field_text(option, "name"));
    put_choices(choices_of(option), ' ', out);
    fputs("' ;;\n", out);
  }
}

/* bash divides scale=quick into three words; what is offered is then what stands behind the "=". */
static const char bash_head[] =
    "# bash completion of harness(1), made by `harness help completion bash`\n"
    "_harness() {\n"
    "  local words='' cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} "
    "command=${COMP_WORDS[1]} key=''\n"
    "  COMPREPLY=()\n"
    "  if [ \"$cur\" = = ]; then key=$prev= cur=''; fi\n"
    "  if [ \"$prev\" = = ]; then key=${COMP_WORDS[COMP_CWORD - 2]}=; fi\n"
    "  case $key in --*) prev=${key%=} key='' ;; esac\n"
    "  [ \"$COMP_CWORD\" -gt 1 ] || command=''\n"
    "  [ \"$COMP_CWORD\" -lt 3 ] || case \"$command ${COMP_WORDS[2]}\" in\n";

static const char bash_tail[] =
    "  if [ -n \"$key\" ]; then\n"
    "    while read -r words; do COMPREPLY+=(\"${words#\"$key\"}\"); done < <(compgen -W \"$keys\" "
    "-- \"$key$cur\")\n"
    "    return\n"
    "  fi\n"
    "  mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
    "  case ${COMPREPLY[0]-} in *=) compopt -o nospace ;; esac\n"
    "}\n"
    "complete -o default -F _harness harness ./harness\n";

static void bash(const Words *w, FILE *out) {
  const json_t *command, *part;
  size_t i, k;
  fputs(bash_head, out);
  json_array_foreach(w->commands, i, command)
      json_array_foreach(json_object_get(command, "parts"), k, part)
          fprintf(out, "    '%s %s') command+=' %s' ;;\n", field_text(command, "name"),
                  json_string_value(part), json_string_value(part));
  fputs("  esac\n  local keys='", out);
  put_keys(w->keys, true, "", " ", out);
  fputs("'\n  local experiments='", out);
  put_names(w->experiments, "", " ", out);
  fputs("'\n  case $command in\n    '') words='", out);
  json_array_foreach(w->commands, i, command) if (!strchr(field_text(command, "name"), ' '))
      fprintf(out, "%s ", field_text(command, "name"));
  fputs("help version --help --version' ;;\n", out);
  fputs("    help) words='options models blocks ops papers man completion' ;;\n", out);
  json_array_foreach(w->commands, i, command) {
    fprintf(out, "    '%s') words='", field_text(command, "name"));
    put_names(json_object_get(command, "parts"), "", " ", out);
    bash_options(json_object_get(command, "options"), out);
    bash_options(w->common, out);
    fputs(takes_experiment(command) ? "'\" $experiments $keys\" ;;\n" : "' ;;\n", out);
  }
  fputs("  esac\n  case \"$command $prev\" in\n", out);
  json_array_foreach(w->commands, i, command)
      bash_choices(command, json_object_get(command, "options"), out);
  fputs("    'help completion') words='bash zsh fish' ;;\n  esac\n", out);
  fputs(bash_tail, out);
}

/* ---- zsh ------------------------------------------------------------------------------------- */

static void zsh_options(const json_t *options, FILE *out) {
  const json_t *option;
  size_t i;
  json_array_foreach(options, i, option) {
    const char *arg = field_text(option, "arg"), *choices = choices_of(option);
    fprintf(out, " \\\n        '--%s%s[", field_text(option, "name"), arg[0] ? "=" : "");
    put_quoted(field_text(option, "doc"), "[]\\", "'\\''", out);
    fputc(']', out);
    if (arg[0]) fputc(':', out), put_quoted(arg, ":\\", "'\\''", out), fputc(':', out);
    if (choices) fputc('(', out), put_choices(choices, ' ', out), fputc(')', out);
    if (arg[0] && !choices) fputs("_files", out);
    fputc('\'', out);
  }
}

static void zsh_described(const char *name, const char *doc, FILE *out) {
  fprintf(out, "    '%s:", name);
  put_quoted(doc, ":\\", "'\\''", out);
  fputs("'\n", out);
}

static void zsh(const Words *w, FILE *out) {
  const json_t *command, *part;
  size_t i, k;
  fputs("#compdef harness\n# made by `harness help completion zsh`\n_harness_experiment() {\n"
        "  compadd -S '' --",
        out);
  put_keys(w->keys, true, " ", "", out);
  fputs("\n  compadd --", out);
  put_names(w->experiments, " ", "", out);
  fputs("\n  _files -g '*.lua'\n}\n_harness() {\n  local -a commands=(\n", out);
  json_array_foreach(w->commands, i, command) if (json_object_get(command, "summary"))
      zsh_described(field_text(command, "name"), field_text(command, "summary"), out);
  zsh_described("help", "what there is", out);
  zsh_described("version", "the version", out);
  fputs("  )\n  if ((CURRENT == 2)); then _describe subcommand commands; return; fi\n"
        "  local command=$words[2]\n  shift words\n  ((CURRENT--))\n"
        "  ((CURRENT < 3)) || case \"$command $words[2]\" in\n",
        out);
  json_array_foreach(w->commands, i, command)
      json_array_foreach(json_object_get(command, "parts"), k, part)
          fprintf(out, "    '%s %s') command+=' %s'; shift words; ((CURRENT--)) ;;\n",
                  field_text(command, "name"), json_string_value(part), json_string_value(part));
  fputs("  esac\n  case $command in\n", out);
  json_array_foreach(w->commands, i, command) {
    fprintf(out, "    '%s')\n", field_text(command, "name"));
    if (json_array_size(json_object_get(command, "parts"))) {
      fputs("      ((CURRENT > 2)) || compadd --", out);
      put_names(json_object_get(command, "parts"), " ", "", out);
      fputc('\n', out);
    }
    fputs("      _arguments -S", out);
    zsh_options(json_object_get(command, "options"), out);
    zsh_options(w->common, out);
    fprintf(out, " \\\n        '*:operand:%s' ;;\n",
            takes_experiment(command) ? "_harness_experiment" : "_files");
  }
  fputs("    help) if [[ $words[2] == completion ]] && ((CURRENT > 2)); then compadd -- bash zsh "
        "fish\n"
        "      else compadd -- options models blocks ops papers man completion; fi ;;\n  esac\n}\n"
        "if [ \"$funcstack[1]\" = _harness ]; then _harness \"$@\"; else compdef _harness harness; "
        "fi\n",
        out);
}

/* ---- fish ------------------------------------------------------------------------------------ */

/* -n: "runs list" is on the line. */
static void fish_line(const char *command, FILE *out) {
  const char *blank = strchr(command, ' ');
  fprintf(out, "complete -c harness -n '__fish_seen_subcommand_from %.*s%s%s' ",
          (int)strcspn(command, " "), command, blank ? "; and __fish_seen_subcommand_from" : "",
          blank ? blank : "");
}

static void fish_options(const char *command, const json_t *options, FILE *out) {
  const json_t *option;
  size_t i;
  json_array_foreach(options, i, option) {
    const char *choices = choices_of(option);
    if (command)
      fish_line(command, out);
    else
      fputs("complete -c harness ", out);
    fprintf(out, "-l %s", field_text(option, "name"));
    if (field_text(option, "key")[0]) fprintf(out, " -s %s", field_text(option, "key"));
    if (choices) fputs(" -x -a '", out), put_choices(choices, ' ', out), fputc('\'', out);
    if (!choices && field_text(option, "arg")[0]) fputs(" -r", out);
    fputs(" -d '", out);
    put_quoted(field_text(option, "doc"), "\\", "\\'", out);
    fputs("'\n", out);
  }
}

static void fish(const Words *w, FILE *out) {
  const json_t *command;
  size_t i;
  fputs("# fish completion of harness(1), made by `harness help completion fish`\n", out);
  json_array_foreach(w->commands, i, command) {
    const char *name = field_text(command, "name");
    if (json_object_get(command, "summary")) {
      fprintf(out, "complete -c harness -n __fish_use_subcommand -a %s -d '", name);
      put_quoted(field_text(command, "summary"), "\\", "\\'", out);
      fputs("'\n", out);
    }
    if (json_array_size(json_object_get(command, "parts"))) {
      fish_line(name, out);
      fputs("-a '", out);
      put_names(json_object_get(command, "parts"), "", " ", out);
      fputs("'\n", out);
    }
    fish_options(name, json_object_get(command, "options"), out);
    if (!takes_experiment(command)) continue;
    fish_line(name, out);
    fputs("-a '", out);
    put_names(w->experiments, "", " ", out);
    put_keys(w->keys, true, "", " ", out);
    fputs("'\n", out);
  }
  fputs("complete -c harness -n __fish_use_subcommand -a 'help version'\n"
        "complete -c harness -n '__fish_seen_subcommand_from help' -a 'options models blocks ops "
        "papers man completion'\n"
        "complete -c harness -n '__fish_seen_subcommand_from help; and __fish_seen_subcommand_from "
        "completion' -a 'bash zsh fish'\n",
        out);
  fish_options(NULL, w->common, out);
}

/* ---- the shell that is asked for ------------------------------------------------------------- */

bool completion_print(const char *home, const char *shell, FILE *out, Error *error) {
  static const char *const names[] = {"bash", "zsh", "fish"};
  static Shell *const shells[] = {bash, zsh, fish};
  Shell *wanted = NULL;
  for (int i = 0; i < 3; i++)
    if (!strcmp(shell, names[i])) wanted = shells[i];
  if (!wanted)
    return fail(error, "help completion %s: of bash, zsh or fish%s", shell,
                nearest_hint(shell, names, 3, NULL).text);
  Words words = {.commands = described(error)};
  words.keys = words.commands ? described_keys(home, error) : NULL;
  if (words.keys) {
    words.experiments = experiment_names(home);
    words.common = json_object_get(json_array_get(words.commands, 0), "common");
    wanted(&words, out);
  }
  bool good = words.keys != NULL;
  json_decref(words.commands);
  json_decref(words.keys);
  json_decref(words.experiments);
  return good;
}
