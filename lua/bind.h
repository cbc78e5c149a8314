/* The one place where C meets Lua: experiment files become plans. */
#ifndef LUA_BIND_H
#define LUA_BIND_H

#include <jansson.h>
#include <stdbool.h>

#include "kernels/error.h"

/* Resolves an experiment file with overrides ("key=value", count of them) into a plan document,
 * which the caller decrefs: {"experiment", "file", "table", "title", "metric", "scale", "device",
 * "data": {"kind": "phantom" | "folder", "name", "dir", "options"}, "rows": [{"key", "label",
 * "paper"}], "cells": [{"row", "seed", "fold", "config"}], "notes": [text]}, and optionally
 * "model" (name for the table's head) and "axis" (head of the rows' column).
 * home is the program's folder. The same file and overrides give the same plan. */
bool experiment_plan(const char *home, const char *file, int count, char **overrides, json_t **plan,
                     Error *error);

#endif
