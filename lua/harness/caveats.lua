-- What the rows of a table are not, compared with each other or with their originals: notes below the table, and what the
-- models themselves caution against before anything runs, too.
local models = require "harness.model"
local options = require "harness.options"
local flat_text = require("harness.values").flat_text

-- Of the options of every experiment: what a trial is run with, and the same numbers come out.
local ASIDE = { data = true, plan = true, fold = true, model = true, save_every = true, threads = true, tf32 = true,
  recompute = true, collapse_dice = true, collapse_at = true }

local function equal(a, b, key) return flat_text(a.config[key]) == flat_text(b.config[key]) end

local function networks_differ(a, b)
  if a.model ~= b.model then return true end
  for key, option in pairs(a.model.by_name) do
    if not option.evaluation and not equal(a, b, key) then return true end
  end
  return false
end

-- "steps 2000 and 1500, lr 0.3 and 0.2"; nil where they are trained alike. What one of them does not read goes with what
-- it chose, which is named.
local function trainings_differ(a, b)
  local parts = {}
  for _, option in ipairs(options) do
    local key = option.name
    local counts = not ASIDE[key] and not option.evaluation and not key:find("^phantom_") and a.config[key] ~= nil
      and b.config[key] ~= nil
    if counts and not equal(a, b, key) then
      parts[#parts + 1] = ("%s %s and %s"):format(key, flat_text(a.config[key]), flat_text(b.config[key]))
    end
  end
  return #parts > 0 and table.concat(parts, ", ") or nil
end

-- Rows that differ in how they are trained besides in what they are: what lies between them is no ablation. Each row is asked
-- against the one that it is compared with.
local function no_ablations(rows, resolved, add)
  for i, row in ipairs(rows) do
    local other = row.against and row.against + 1 or i - 1
    local how = other > 0 and networks_differ(resolved[i], resolved[other]) and trainings_differ(resolved[i], resolved[other])
    if how then add("%s against %s: trained otherwise, too (%s), so this is no ablation", row.label, rows[other].label, how) end
  end
end

-- Of heads with one softmax nnU-Net merges the logits. Beside heads that have none all are merged by one rule.
local function merged_alike(resolved, add)
  local with, without = 0, 0
  for _, row in ipairs(resolved) do
    if row.config.merge ~= "probabilities" then return end
    local wanted = setmetatable({ merge = "logits" }, { __index = row.config })
    if models.objection(row.model, wanted) then without = without + 1 else with = with + 1 end
  end
  if with > 0 and without > 0 then
    add("windows of all rows are merged as probabilities; of heads with one softmax nnU-Net merges logits (merge=logits)")
  end
end

-- What a model says that its rows are not, once for all rows that it is said of.
local function cautions(rows, resolved)
  local list, labels = {}, {}
  for i, row in ipairs(resolved) do
    local text = models.caution(row.model, row.config)
    if text and not labels[text] then
      list[#list + 1], labels[text] = text, {}
    end
    if text then table.insert(labels[text], rows[i].label) end
  end
  for i, text in ipairs(list) do
    if #labels[text] < #rows then list[i] = table.concat(labels[text], ", ") .. ": " .. text end
  end
  return list
end

-- Adds to the document's notes; its cautions are told before it runs. resolved: { config, model } of each row.
return function(document, resolved)
  local function add(...) table.insert(document.notes, string.format(...)) end
  no_ablations(document.rows, resolved, add)
  merged_alike(resolved, add)
  local list = cautions(document.rows, resolved)
  for _, text in ipairs(list) do add("%s", text) end
  if #list > 0 then document.cautions = list end
end
