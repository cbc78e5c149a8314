#include "src/cli/printed.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/home.h"
#include "base/nearest.h"
#include "lua/bind.h"
#include "src/cli/experiment_files.h"
#include "src/cli/paper_costs.h"
#include "src/report/paper_marks.h"
#include "src/report/paper_runs.h"
#include "src/report/paper_table.h"
#include "src/report/table.h"
#include "src/report/table_data.h"
#include "src/store/field.h"

static const char DEFAULT_PAPER[] = "maskmed";

static bool is_number(const char *word) {
  return word[0] && !word[strspn(word, "0123456789")];
}

/* "Medal S" and "medal-s" are medal_s. */
static const char *file_of(Printed *p, const char *name) {
  size_t length = 0;
  for (; *name && length < sizeof p->file - 1; name++)
    p->file[length++] = strchr(" -", *name) ? '_' : (char)tolower((unsigned char)*name);
  p->file[length] = 0;
  return p->file;
}

static const json_t *paper_called(const Printed *p, const char *name) {
  const json_t *paper;
  size_t i;
  json_array_foreach(p->papers, i,
                     paper) if (!strcmp(field_text(paper, "paper"), name)) return paper;
  return NULL;
}

/* `table 4` is the default paper's: other papers' experiments may have a Table 4, too. */
static void exclude_others(Printed *p, ResultChoice *choice) {
  json_t *names = json_array(), *paper;
  size_t i;
  json_array_foreach(p->papers, i, paper) if (strcmp(field_text(paper, "paper"), DEFAULT_PAPER))
      json_array_append_new(names, json_string(field_text_if(paper, "name")));
  p->others = json_dumps(names, JSON_COMPACT);
  choice->other_papers = p->others;
  json_decref(names);
}

/* Table `number` of a paper's file, as what is asked for. */
static bool find_table(Printed *p, const char *paper, const char *number, ResultChoice *choice,
                       Error *error) {
  p->table = paper_table(p->home, paper, number, error);
  if (!p->table) return false;
  snprintf(p->number, sizeof p->number, "%d", field_whole(p->table, "table"));
  snprintf(p->name, sizeof p->name, "%.100s", field_text(p->table, "name"));
  choice->what = p->number;
  if (!strcmp(paper, DEFAULT_PAPER)) return true;
  choice->paper = p->name;
  choice->other_papers = NULL;
  return true;
}

bool printed_find(Printed *p, const char *home, ResultChoice *choice, const char *number, bool list,
                  bool alone, Error *error) {
  const char *what = choice->what;
  Error none = {""};
  p->home = home;
  p->papers = papers_listed(home, error);
  if (!p->papers) return false;
  exclude_others(p, choice);
  if (number && list)
    return fail(error, "harness table --list: \"%s\" is one operand too many", number);
  p->named = number != NULL;
  if (number) return find_table(p, file_of(p, what), number, choice, error);
  const json_t *paper = what ? paper_called(p, file_of(p, what)) : NULL;
  if (paper && json_object_get(paper, "error"))
    return fail(error, "%s", field_text(paper, "error"));
  p->list = list || paper;
  p->only = paper ? p->file : NULL;
  if (list && what && !paper) return paper_table(home, what, "1", error) != NULL;
  if (p->list) return true;
  if (is_number(what)) {
    find_table(p, DEFAULT_PAPER, what, choice, &none);
  } else {
    choice->other_papers = NULL; /* an experiment, of whichever paper */
  }
  if (!alone) return true;
  p->named = p->table != NULL;
  return p->named || fail(error,
                          "--paper: \"%s\" is no table of a paper; `harness table --list` lists "
                          "them",
                          what);
}

void printed_print(const Printed *p, const Result *result, const char *format, FILE *out) {
  bool more = p->table && (!result || (result->paper && paper_wider(result)));
  bool as_json = !strcmp(format, "json"), as_csv = !strcmp(format, "csv");
  const char *only = p->list ? p->only : p->table ? field_text(p->table, "paper") : NULL;
  json_t *runs = more || p->list ? paper_runs(p->home, only) : NULL;
  if (more && !p->list && !as_csv) paper_costs_count(p->home, runs, p->table);
  if (p->list) {
    papers_print(p->papers, p->only, runs, format, out);
  } else if (result && as_json && !result->plans && !result->self_test) {
    table_json(result, more ? paper_json(p->table, runs) : NULL, out);
  } else {
    if (result) table_print(result, format, out);
    if (result && more && !as_json && !as_csv) fputc('\n', out);
    if (!result || (more && !as_json && !as_csv))
      paper_print(p->table, runs, result != NULL, format, out);
  }
  json_decref(runs);
}

/* Which command makes the table's results; false: no experiment repeats it. */
static bool hint_table(const Printed *p, Error *error) {
  json_t *runs = paper_runs(p->home, DEFAULT_PAPER), *own = paper_runs_of(runs, p->table);
  const char *file = field_text_if(json_array_get(own, 0), "experiment");
  if (file[0])
    fail(error,
         "Table %s has no results yet, nothing is stored: %s run %s; `harness table %s %s` "
         "prints the paper's own figures",
         p->number, home_program(), file, DEFAULT_PAPER, p->number);
  json_decref(own);
  json_decref(runs);
  return file[0] != 0;
}

/* No experiment is called so: the name that was meant, or all. */
static void hint_names(const Printed *p, const char *what, Error *error) {
  char all[700] = "";
  const char *names[128];
  json_t *held = experiment_names(p->home), *item;
  size_t i, used = 0;
  int count = 0;
  json_array_foreach(p->papers, i, item) if (count < 64) names[count++] = field_text(item, "paper");
  json_array_foreach(held, i, item) {
    const char *name = json_string_value(item);
    if (count < 128) names[count++] = name;
    if (used < sizeof all)
      used += (size_t)snprintf(all + used, sizeof all - used, "%s%s", used ? ", " : "", name);
  }
  char otherwise[sizeof all + 20];
  snprintf(otherwise, sizeof otherwise, "; there are %s", all);
  bool near = nearest_name(what, names, count) != NULL;
  fail(error, "no such experiment and no such table is known, nothing is stored for \"%s\"%s", what,
       near ? nearest_hint(what, names, count, NULL).text : otherwise);
  json_decref(held);
}

void printed_hint(const Printed *p, const ResultChoice *choice, Error *error) {
  Error whole = *error;
  char file[EXPERIMENT_FILE];
  const char *what = choice->what;
  if (!what || choice->scale || choice->dataset || choice->device) return;
  *error = (Error){""};
  if (p->table && hint_table(p, error)) return;
  if (p->table)
    fail(error, "%s; `harness table %s %s` prints the paper's own figures", whole.text,
         DEFAULT_PAPER, p->number);
  else if (is_number(what))
    fail(error, "%s; %s has Tables 1 to %zu", whole.text, DEFAULT_PAPER,
         json_array_size(json_object_get(paper_called(p, DEFAULT_PAPER), "tables")));
  else if (experiment_file(p->home, what, file))
    fail(error, "%s has no results yet, nothing is stored: %s run %s", what, home_program(), file);
  else
    hint_names(p, what, error);
}

void printed_free(Printed *p) {
  json_decref(p->papers);
  json_decref(p->table);
  free(p->others);
}
