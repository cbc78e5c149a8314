/* What the rest of the program sees of Lua: experiments become cells, configurations become
 * graphs. */
#ifndef LUA_BIND_H
#define LUA_BIND_H

#include "base/nearest.h"
#include "engine/graph.h"

#include <jansson.h>

/* The plan.json of a data set's folder as a new reference, NULL without one. */
typedef bool (*PlanReader)(const char *dir, const char *home, json_t **plan, Error *error);

/* Runs an experiment file with "key=value" overrides and resolves it into a document:
 *   {"experiment", "file", "table", "title", "metric", "scale", "device",
 *    "data": {"kind": "phantom"|"folder", "name", "dir", "options", "preprocessing"},
 *    "rows": [{"key", "label", "paper", "against": position of the row that it is compared with,
 *    where it is asked (lua/harness/against.lua)}], "cells": [{"row", "seed", "fold", "config"}],
 *    "evaluation": [names of options that change no training], "notes": [..],
 *    "overridden": ["row: key=value in place of its own value"],
 *    "cautions": [what models say that such trials are not, or how to make them so],
 *    "self_test": {"relabelings", "shapes": [{"rows", "seeds"}]} of such an experiment,
 *    "until": {"budget_s", "first_seed"} where seeds are added until claims are decided
 *    (first_seed: where it was given),
 *    "starts": [documents of the trials that rows' networks start from, one of each data set], of
 *    which a cell names its own by positions, "start": {"of", "cell"} (lua/harness/starts.lua),
 *    "later": cells of rows that train for as long as another, each with "as_long": {"as", "by"},
 *    positions of rows (lua/harness/as_long.lua; src/cli/as_long.h),
 *    "tries": {"rows": [{"key", "label", "of": row of the table}], "cells"} where a row's rate is
 *    to be chosen (lr=tuned); cells of that row have "lr": "tuned" until it is}
 * "preprocessing" (of DIR/plan.json; also in a cell's config) is there when a cell trains on
 * prepared volumes. A file that lists others gives {"experiments": ["NAME", ...]}: NAME.lua beside
 * it, overrides unread. reader NULL: data sets have no plans. New reference in *document. On false
 * the error names the file and line, or the override. */
bool experiment_read(const char *home, const char *file, int count, char **overrides,
                     PlanReader reader, json_t **document, Error *error);

/* The configuration that a document asks for in the row of this key: its first cell's, which others
 * have but for seed and fold. The document's own; NULL: it has no such row or is NULL. */
const json_t *experiment_config(const json_t *document, const char *key);

/* Whether experiments take this plan.json of a data set: its options' types and limits, as
 * experiment_read judges them. `where` begins the error. */
bool experiment_takes(const char *home, const json_t *plan, const char *where, Error *error);

/* Options as their rows say, [{"name", "type", "default", "doc", ...}]: those of every experiment
 * (model NULL), or these and the model's; EVERY_MODEL: and those of all models in HOME, each name
 * once; SWEEP_KEYS: what is typed as they are and is none, "seeds". New reference. */
#define EVERY_MODEL "*"
#define SWEEP_KEYS  "+"
json_t *experiment_options(const char *home, const char *model, Error *error);

/* The models of HOME's lua/harness/models: [{"name", "doc", "options"}]; path: one of that file, no
 * list. New reference. */
json_t *models_listed(const char *home, const char *path, Error *error);

/* The papers of HOME's paper/: [{"paper" (the file's name), "name", "title", "source", "tables"}],
 * of one that cannot be read {"paper", "error"}. New reference. */
json_t *papers_listed(const char *home, Error *error);
/* One table of a paper, by its file's name and "4" or "IV":
 *   {"paper", "name", "table", "numeral", "title", "axis", "data", "legend", "main": position,
 *    "columns": [{"name", "group", "structure", "unit", "mark"}],
 *    "rows": [{"key", "label", "mark", "word", "paper" (of its main column a word or a share of 1),
 *    and of each column "values" (as printed; false: none), "shares", "cells" (texts), "marks"}],
 *    "contradictions": [{"mark", "text", "at": [{"row", "column"}]}], "notes": [..],
 *    "same": {what data sets call a structure: its name among the columns}}
 * New reference; the error lists what there is. */
json_t *paper_table(const char *home, const char *paper, const char *table, Error *error);
/* The same of the paper that calls itself so ("MaskMed"); NULL: there is none, or no such table. */
json_t *paper_of_name(const char *home, const char *name, int table);

/* A value that a model shows besides its result (`extra = { name = value }`), to be read after a
 * run: embeddings. */
typedef struct Extra {
  const char *name; /* the graph's */
  Value *value;
} Extra;

/* A Lua file that a model came from: its own first, then what it requires. name: from HOME
 * ("lua/harness/models/maskmed.lua"), or, of a model of one's own, from that model's folder. */
typedef struct ModelFile {
  const char *name, *text; /* the graph's */
} ModelFile;

/* The graph of a configuration, without backward. */
enum { MAX_EXTRAS = 8, MAX_FILES = 32 };
typedef struct Model {
  Value *image;            /* (N, D, H, W, channels), input */
  Value *labels;           /* (N, D, H, W) I32, input; NULL when not training */
  Value *loss;             /* scalar; NULL when not training */
  Value *part[3];          /* class, bce, dice (or cross-entropy, Dice); NULL where there is none */
  Value *map;              /* (N, D, H, W, classes) probabilities; NULL when training */
  Extra extra[MAX_EXTRAS]; /* by name, in alphabetical order */
  int extras;
  ModelFile file[MAX_FILES]; /* in the order they were run */
  int files;
} Model;

typedef struct ModelShape {
  int batch, patch[3], channels, classes; /* classes: labels, background included, or regions */
  bool regions;                           /* labels are sets of classes */
  bool training;
} ModelShape;

/* A configuration names its model by "model", and one that is no file of HOME's lua/harness/models
 * by "model_path", too: where it lies. */
bool model_build(const char *home, const json_t *config, const ModelShape *shape, Graph *graph,
                 Model *model, Error *error);

/* What a Lua source computes: its tokens, each in a line, without comments; to be freed. Sources
 * that differ in comments and white space alone have the same. */
char *lua_tokens(const char *text);

/* Which tensors of a file are which parameters of the configuration's model, both as lists of
 * names, by its weights_map and weights_scope:
 *   {"pairs": [[ours, theirs, its duplicates ...]], "missing": [theirs], "unused": [theirs],
 *    "aside": [theirs that are not wanted], "parts": {position of a pair, from 0: [which, of how
 *    many equal parts of theirs ours is, from 1]}, "note": where something is to be said}
 * New reference; NULL with an error. */
json_t *weights_match(const char *home, const json_t *config, const json_t *ours,
                      const json_t *theirs, Error *error);
/* For each of our names what it is by a map ("own", "pytorch" or a file):
 * [{"names": [theirs, its duplicates ...], "convolution": whether a linear layer is one there,
 * "flat": whether a convolution is one of two axes, "part": as above}]. */
json_t *weights_names(const char *home, const json_t *config, const char *map, const json_t *ours,
                      Error *error);

/* Help, from the tables themselves. word: options, blocks, ops, models or papers for a list of
 * them, else the name of a block, an op, a model (or a model's file), an option, a paper. False,
 * with an error where something is wrong, when nothing is called so. */
bool help_about(const char *home, const char *word, FILE *out, Error *error);
/* The name among all of these that was meant by an unknown one. */
Hint help_hint(const char *home, const char *word);

#endif
