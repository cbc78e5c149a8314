-- A/A: how often does a table of equal rows show a verdict, on real trainings? One configuration; its trials are dealt at
-- random into tables of so many rows and seeds (Table 6 is 4 x 5, Tables 3 and 4 are 6 x 5), `relabelings` of each, and
-- judged as every table is. docs/statistics.md promises 5 % at most. The trials are ordinary ones of the full model.
return {
  title = "Equal rows, judged",
  kind = "self_test",
  seeds = 60,
  shapes = { { 2, 5 }, { 4, 5 }, { 6, 5 }, { 6, 8 } },
  relabelings = 20000,
  rows = { { key = "maskmed", label = "MaskMed", set = {} } },
}
