/* Where the program's own files lie (lua/, experiments/, paper/), where results go, and how it is
 * called: from a tree in which it was built, or installed. */
#ifndef BASE_HOME_H
#define BASE_HOME_H

enum { HOME_BYTES = 4096 };

/* HARNESS_HOME, else PREFIX/share/harness of an installed PREFIX/bin/harness, else the folder above
 * the build/ in which the program lies, or one deeper (build/v3/), else ".". */
void home_find(char home[HOME_BYTES]);
/* The folder of results where neither --db nor HARNESS_DB names a database: HOME/results; of an
 * installed program the folder of HARNESS_DB, else `results` where the user stands. */
void home_results(const char *home, char results[HOME_BYTES]);
/* What the user types for the program: "harness" where it is installed, else "./harness". */
const char *home_program(void);

#endif
