-- MaskMed Table 6: how many object queries? N is the number of labels, background included. The
-- paper finds that exactly N is best and that every further set of N costs accuracy.
return {
  title = "Number of object queries",
  paper = "maskmed",
  table = 6,
  vary = { queries = { 1, 2, 3, 4 } },
  label = function(c) return c.queries .. " x N" end,
}
