-- What may be typed beside options: which cells an experiment has and where they run. Rows as in options.lua; what each comes to
-- is read by overrides.lua.
return {
  { name = "scale", type = "choice", choices = { "quick", "small", "paper" }, doc = "which defaults; a table holds results of one" },
  { name = "seeds", type = "int", doc = "seeds of each row" },
  { name = "first_seed", type = "int", doc = "the lowest of them" },
  { name = "folds", type = "int", doc = "so many folds of the data set, each validated in turn" },
  { name = "until", type = "choice", choices = { "decided" }, doc = "seeds are added until the claims are decided or out of reach" },
  { name = "budget", type = "time", doc = "how long until=decided may add seeds: 2h, 90min" },
  { name = "device", type = "choice", choices = { "cpu", "cuda" }, doc = "where trials compute, as --device" },
}
