#!/usr/bin/env bats
# Options belong to the models that read them; a model may be a file of one's own, anywhere.

load work

setup() {
  work_in "$(mktemp -d)"
  tiny="phantom_size=16,16,16 phantom_cases=4 phantom_validation=1 phantom_organs=2 patch=16,16,16 widths=4,8,8,8 steps=3"
  mkdir -p home/results
  cp -r "$root/lua" "$root/paper" "$root/experiments" home/
  export HARNESS_HOME="$work/home"
}

teardown() {
  rm -rf "$work"
}

dry() { # FILE key=value ...
  "$harness" run "$@" --dry-run
}

refused() { # expected, then FILE key=value ...
  local expected="$1"
  shift
  run dry "$@"
  echo "$* -> $output"
  [ "$status" -eq 2 ]
  [[ "$output" == *"$expected"* ]]
}

# An experiment whose rows are maskmed's "a" and "b", which sets what is given.
experiment() { # set of b, more fields
  printf 'return { title = "t", seeds = 1, %s rows = {\n  { key = "a", set = { queries = 2 } },\n  { key = "b", set = { %s } },\n} }\n' \
    "$2" "$1" >e.lua
}

plain_head() { # into FILE, with options
  printf 'local encoder = require "harness.parts.encoder"\nreturn { doc = "mine", options = { encoder.options, %s },
  build = function(m, c)
    local features = m.plain_conv_decoder { encoder.build(m, c), name = "decoder", kernels = c.kernels }
    local logits = m.point_wise_head { features[#features], classes = c.classes, name = "head" }
    if not m.labels then return { map = m.op.softmax { logits } } end
    return { loss = m.op.voxel_loss { logits, m.labels } }
  end }\n' "$2" >"$1"
}

@test "an option that another one brings is an axis of the rows that have it, and a row's fields are checked" {
  echo 'return { title = "t", seeds = 1, base = { model = "mine.lua" }, rows = { { key = "a", set = {} } } }' >e.lua
  plain_head mine.lua '{ name = "way", type = "choice", choices = { "a", "b" }, default = "a", doc = "w" },
    { name = "on", type = "bool", default = false, doc = "o" },
    { name = "k", type = "int", default = 1, doc = "k", with = { way = "b" } },
    { name = "j", type = "number", default = 1, doc = "j", with = { on = true } }'
  dry e.lua way=a,b k=1,2 >rows
  cat rows
  [ "$(grep -c "planned" rows)" -eq 3 ]
  grep -q "way=b k=2" rows
  refused "j: it is read with on=true alone, which no row has" e.lua j=2
  refused "j=1e999: inf is no finite number" e.lua on=true j=1e999
  "$harness" help ./mine.lua | grep -q "read with on=true alone"
  local row='name = "k", type = "number", doc = "k"'
  while IFS='|' read -r fields expected; do
    plain_head mine.lua "{ $row, $fields }"
    refused "mine.lua: option k: $expected" e.lua
  done <<END
default = 0 / 0|default: -nan is no finite number
default = 0, min = 1|default: 0 is less than 1
default = 0, min = "1"|min: expected a number, found '1'
default = 0, with = { wya = "b" }|with: there is no option 'wya'
default = 0, with = { optimizer = "adam" }|with: expected one of sgd, adamw, found 'adam'
default = 0, with = "optimizer"|with: expected { option = value }
default = 0, default_where = { wya = { b = 1 } }|default_where: there is no option 'wya'
default = 0, default_where = { encoder = { plan = 1 } }|default_where: expected one of plain, residual, found 'plan'
default = 0, default_where = { encoder = { residual = "x" } }|default_where: expected a number, found 'x'
END
  plain_head mine.lua "{ $row, default = 3, default_with = { optimizer = 'sgd' } }"
  refused "with optimizer=adamw, set k, too: its default, 3, is meant for optimizer=sgd" e.lua optimizer=adamw lr=1
}

@test "an encoder brings its options, and the decoder that it is published with unless another is asked for" {
  identity() { dry home/experiments/query_count.lua seeds=1 queries=1 bridge=none "$@" | sed -n 's/^ *\([0-9a-f]\{8\}\) .*/\1/p'; }
  [ "$(identity)" = "$(identity encoder=plain decoder_convs=2)" ]
  one="$(identity encoder=residual)"
  [ -n "$one" ] && [ "$one" = "$(identity encoder=residual decoder_convs=1)" ]
  [ "$one" != "$(identity encoder=residual decoder_convs=2)" ] && [ "$one" != "$(identity decoder_convs=1)" ]
  [ "$(identity encoder=plain,residual | sort)" = "$(printf '%s\n' "$(identity)" "$one" | sort)" ]
  refused "encoder_blocks: it is read with encoder=residual alone, which no row has" home/experiments/query_count.lua encoder_blocks=1,1,1,1
  refused "convs: it is read with encoder=plain alone, which no row has" home/experiments/query_count.lua encoder=residual convs=3
  run "$harness" estimate home/experiments/query_count.lua queries=1 encoder=residual encoder_blocks=1,2
  [[ "$output" == *"encoder: blocks: one number for each of 4 stages, found 2"* ]]
  run "$harness" help maskmed
  [[ "$output" == *"default 2, 1 with encoder=residual; from 1 to 8"* ]]
}

@test "MaskSAM's adapters in bridge, head and encoder: no part of a trial where there is none, and rows of an experiment" {
  identity() { dry home/experiments/query_count.lua seeds=1 queries=1 "$@" | sed -n 's/^ *\([0-9a-f]\{8\}\) .*/\1/p'; }
  [ "$(identity)" = "$(identity bridge_adapter=none head_adapter=none)" ]
  [ "$(identity)" != "$(identity bridge_adapter=vanilla)" ] && [ "$(identity)" != "$(identity head_adapter=vanilla)" ]
  refused "bridge_adapter: it is read with bridge=" home/experiments/query_count.lua bridge=none bridge_adapter=vanilla
  refused "encoder_adapter: it is read with encoder=residual alone" home/experiments/query_count.lua encoder_adapter=vanilla
  # shellcheck disable=SC2086
  "$harness" run home/experiments/masksam/elsewhere.lua $tiny seeds=1 encoder_blocks=1,1,1,1 key_grid=2,2,2 hidden=12 heads=2 -q >table
  [ "$(grep -c " done$" table)" -eq 5 ]
  sql "SELECT count(DISTINCT parameters) FROM attempts" | grep -x 5
}

@test "a block or an op that is not there is an error with the name that was meant" {
  echo 'return { title = "t", seeds = 1, base = { model = "mine.lua" }, rows = { { key = "a", set = {} } } }' >e.lua
  while IFS='|' read -r call expected; do
    echo "return function(m, c) local x = $call end" >mine.lua
    run "$harness" estimate e.lua
    echo "$call -> $output"
    [[ "$output" == *"mine.lua:1: there is no $expected"* ]]
  done <<END
m.plain_conv_decodr {}|m.plain_conv_decodr; did you mean "plain_conv_decoder"?
m.op.sofmax {}|m.op.sofmax; did you mean "softmax"?
m.lables|m.lables; did you mean "labels"?
m.softmax {}|m.softmax; it is m.op.softmax
m.op.embedding {}|m.op.embedding; it is m.embedding
m.zzzzzz|m.zzzzzz; \`harness help blocks\` and \`help ops\` list them
END
  echo 'return function(m, c) m.buffer { shape = { 2 }, init = "normal", value = 0 / 0 } end' >mine.lua
  run "$harness" estimate e.lua
  [[ "$output" == *"mine.lua:1: option value = -nan is no finite number"* ]]
  run "$harness" estimate home/experiments/query_count.lua queries=1 key_grid=8
  echo "$output"
  [[ "$output" == *"head.stage1: key_grid has 3 numbers (D, H, W), found 1"* ]]
}

@test "calls of one name share parameters where both are the same block, and say so" {
  echo 'return { title = "t", seeds = 1, base = { model = "mine.lua" }, rows = { { key = "a", set = {} } } }' >e.lua
  model() { # what the second call has
    cat >mine.lua <<END
return function(m, c)
  local queries = m.object_queries { m.image, count = 3, hidden = 12, name = "q" }
  local a = m.embedding { queries, width = 12, layers = 2, name = "mlp" }
  local b = $1
  local logits = m.op.matmul { m.point_wise_head { m.image, classes = 12, name = "p" }, m.op.add { a, b } }
  logits = m.point_wise_head { logits, classes = c.classes, name = "out" }
  if not m.labels then return { map = m.op.softmax { logits } } end
  return { loss = m.op.voxel_loss { logits, m.labels } }
end
END
  }
  parameters() { "$harness" estimate e.lua patch=8,8,8 | grep "^a " | awk '{ print $2 }'; }
  model 'm.embedding { queries, width = 12, layers = 2, name = "other" }'
  apart=$(parameters)
  model 'm.embedding { a, width = 12, layers = 2, name = "mlp", share = true }'
  [ $((apart - $(parameters))) -eq $((2 * (12 * 12 + 12))) ]
  while IFS='|' read -r call expected; do
    model "$call"
    run "$harness" estimate e.lua patch=8,8,8
    echo "$call -> $output"
    [[ "$output" == *"mine.lua:4: $expected"* ]]
  done <<'END'
m.embedding { a, width = 12, layers = 2, name = "mlp" }|the name 'mlp' is taken: give this block another name = ..., or share = true
m.token_norm { a, name = "mlp", share = true }|share = true: the name 'mlp' is another block's, m.embedding; its parameters are none of m.token_norm's
m.embedding { a, width = 12, layers = 3, name = "mlp", share = true }|share = true: the first block of the name 'mlp' has no parameter mlp.2.weight; what shares has its options
m.embedding { a, width = 12, layers = 1, name = "mlp", share = 1 }|share: expected true or false, found number
END
}

@test "an option of another model is an error that says whose it is, with file and line" {
  refused "option fpn_width belongs to mask2former and maskformer; this trial's model is maskmed" \
    home/experiments/query_count.lua fpn_width=16
  refused "option queries belongs to mask2former, maskformer, maskmed and masksam; this trial's model is bridge" \
    home/experiments/query_count.lua model=bridge
  experiment 'fpn_width = 16'
  refused "e.lua:3: option fpn_width belongs to mask2former and maskformer; this trial's model is maskmed" e.lua
  experiment 'model = "maskformer",  shared_queries = false'
  refused "e.lua:3: option shared_queries belongs to maskmed; this trial's model is maskformer" e.lua
  experiment 'match = "fixed"' $'base = {\n fpn_width = 16 },'
  refused "e.lua:2: option fpn_width belongs to mask2former and maskformer; this trial's model is maskmed" e.lua
  experiment 'match = "fixed"' 'at = { small = { fpn_width = 16 } },'
  refused "e.lua:1: option fpn_width belongs to mask2former and maskformer; this trial's model is maskmed" e.lua
  echo 'return { title = "t", vary = { model = { "maskmed", "maskformer" }, bridge = { "none", "fsad" } } }' >e.lua
  refused "e.lua:1: option bridge belongs to bridge and maskmed; this trial's model is maskformer" e.lua
  refused 'no option '"'fpn_widt'"'; did you mean "fpn_width"?' home/experiments/comparison.lua fpn_widt=16
}

@test "what base holds and what is typed goes to the rows whose models read it" {
  experiment 'model = "maskformer"' 'base = { fpn_width = 16 },'
  dry e.lua >with
  experiment 'model = "maskformer"'
  dry e.lua >without
  [ "$(sed -n 1p with)" = "$(sed -n 1p without)" ]
  [ "$(sed -n 2p with)" != "$(sed -n 2p without)" ]
  diff <(dry e.lua fpn_width=16) with
  dry e.lua fpn_width=16,20 >axis
  grep -q "  a seed 0" axis
  grep -q "  b fpn_width=20 seed 0" axis
  [ "$(grep -c planned axis)" -eq 3 ]
  [ "$(dry home/experiments/lr_ratio.lua seeds=1 model=maskmed,maskformer | grep -c planned)" -eq 8 ]
}

@test "a model that is set at one scale alone, and rows that a function makes" {
  echo 'return { title = "t", seeds = 1, base = { fpn_width = 16 }, at = { small = { model = "maskformer" } },
    rows = function(c) return { { key = c.model, set = { batch = #c.widths - 3 } } } end }' >e.lua
  dry e.lua | grep -q "maskmed seed 0"
  dry e.lua scale=small | grep -q "maskformer seed 0"
}

@test "help tells of models, options, blocks and ops, from their tables" {
  "$harness" help models | grep -q "^maskformer  *MaskFormer"
  "$harness" help maskformer | grep -q "^fpn_width  *channels of every level"
  run "$harness" help options
  [[ "$output" != *"fpn_width"* && "$output" == *"weight_decay"* ]]
  "$harness" help fpn_width | grep -q "^An option of mask2former, maskformer:"
  "$harness" help steps | grep -q "^An option of every experiment"
  "$harness" help blocks | grep -q "^query_block "
  "$harness" help ops | grep -q "^deform_attention "
  "$harness" help match | grep -q "one-to-one matching" # an op
  "$harness" help match | grep -q "^An option of"       # and an option
  plain_head mine.lua '{ name = "twist", type = "int", default = 3, doc = "how much" }'
  "$harness" help ./mine.lua | grep -A1 "^twist  *how much" | grep -q "default 3"
  run "$harness" help fpn_widht
  [ "$status" -eq 2 ]
  [[ "$output" == *'did you mean "fpn_width"'* ]]
}

@test "a model of one's own: found from its experiment, known by its name, wherever the folder lies" {
  mkdir -p a/parts
  plain_head a/mine.lua 'require("parts.twist")'
  echo 'return { { name = "twist", type = "int", default = 3, doc = "how much" } }' >a/parts/twist.lua
  echo 'return { title = "t", seeds = 1, rows = { { key = "mine", set = { model = "mine.lua", twist = 4 } } } }' >a/e.lua
  # shellcheck disable=SC2086
  "$harness" run a/e.lua $tiny -q >table
  grep -q "^mine .* done" table
  mv a b
  # shellcheck disable=SC2086
  (cd / && "$harness" run "$work/b/e.lua" $tiny --dry-run) | grep -q " done  *skip"
  # shellcheck disable=SC2086
  "$harness" run home/experiments/lr_ratio.lua $tiny seeds=1 lr_transformer=0.1 model=b/mine.lua twist=4 --dry-run | grep -q " done  *skip"
  # shellcheck disable=SC2086
  (cd b && dry ../home/experiments/lr_ratio.lua $tiny twist=4 model=./mine.lua) | grep -q " done  *skip"
  "$harness" runs show "$("$harness" runs list --json | /usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)["trials"][0]["hash"])')" >shown
  grep -q "model  *mine.lua" shown
  # shellcheck disable=SC2086
  "$harness" run b/e.lua $tiny -q >/dev/null # tells the trial where its model is now
  "$harness" report --out report.html >/dev/null
  [ "$(sql "SELECT count(*) FROM attempts")" -eq 1 ]
  grep -q "<code>twist=4</code>" report.html
}

@test "a trial's page has what it reads; options of other models, by which it is known besides, are counted" {
  # shellcheck disable=SC2086
  "$harness" run home/experiments/comparison.lua $tiny key_grid=2,2,2 seeds=1 -q >/dev/null
  "$harness" runs show "$(sql "SELECT hash FROM trials WHERE config LIKE '%\"maskformer\"%'")" >shown
  grep -q "fpn_width  *32" shown
  grep -qE "and [0-9]+ options of other models, part of its identity" shown
  refute grep -q "masked_attention" shown
}

@test "a model in the tree that cannot be read is in nobody's way" {
  echo 'return {' >home/lua/harness/models/broken.lua
  "$harness" help models | grep -q "^broken  *lua/harness/models/broken.lua:2: "
  "$harness" help fpn_width >/dev/null
  refused "belongs to mask2former and maskformer" home/experiments/query_count.lua fpn_width=3
  dry home/experiments/query_count.lua >/dev/null
  refused "lua/harness/models/broken.lua:2: " home/experiments/lr_ratio.lua model=broken
}

@test "a model of one's own that is wrong is an error with its file and line, before anything runs" {
  echo 'return { title = "t", seeds = 1,
    rows = { { key = "mine", set = { model = "mine.lua" } } } }' >e.lua
  refused "e.lua:2: model mine.lua: there is no file mine.lua" e.lua
  refused "model=./no.lua: there is no such file" home/experiments/lr_ratio.lua model=./no.lua
  while IFS='|' read -r text expected; do
    printf '%b\n' "$text" >mine.lua
    refused "e.lua:2: $expected" e.lua
  done <<'END'
return {\n options = 3 = 4 }|mine.lua:2: '}' expected
return 3|mine.lua: a model's file returns { options = { ... }, build = function(m, c) ... end }, or the function alone; found a number
return { options = {} }|mine.lua: a model's file returns
return { option = {}, build = print }|mine.lua: a model has no field 'option'; did you mean "options"
return { build = print, options = { { name = "x", type = "int", default = 1.5, doc = "x" } } }|mine.lua: option x: default: expected a whole
return { build = print, options = { { name = "x", type = "int", default = 1 } } }|mine.lua: option x: doc says
return { build = print, options = { { name = "x", of = "fsad_bridge.point" } } }|mine.lua: option x: no block has an option 'fsad_bridge.point'
return { build = print, options = { { name = "lr", type = "int", default = 1, doc = "x" } } }|mine.lua: option lr is one of every experiment
return { build = print, options = { { name = "seed", type = "int", default = 1, doc = "x" } } }|mine.lua: option seed: the name means
return { build = print, options = { require "../home/lua/harness/hint" } }|mine.lua:1: no module '../home/lua/harness/hint'
return { build = print, options = { require "..home" } }|mine.lua:1: no module '..home'
return { build = print, options = { require "mine" } }|mine.lua:1: module 'mine' requires itself
return { build = print, options = { require "os" } }|mine.lua:1: no module 'os' (looked for os.lua)
END
  mkdir other
  plain_head mine.lua
  cp mine.lua other
  experiment 'model = "other/mine.lua"' 'base = { model = "mine.lua" },'
  sed -i 's/queries = 2//' e.lua
  refused "two models are called mine.lua" e.lua
}

@test "a model that returns no loss, or no map of classes, or reads what it does not declare, ends its trial with that sentence" {
  echo 'return { title = "t", seeds = 1, rows = { { key = "mine", set = { model = "mine.lua" } } } }' >e.lua
  while IFS='|' read -r text expected; do
    printf 'return function(m, c)\n%b\nend\n' "$text" >mine.lua
    # shellcheck disable=SC2086
    run "$harness" run e.lua $tiny widths=4,8 --retry all
    [ "$status" -eq 2 ] # option widths is none of its
    # shellcheck disable=SC2086
    "$harness" run e.lua ${tiny/widths=4,8,8,8/} --retry all -q >/dev/null 2>&1 || true
    sql "SELECT message FROM attempts ORDER BY id DESC LIMIT 1" >message
    cat message
    grep -qF "$expected" message
  done <<'END'
return {}|model mine.lua: its build returned no loss: while training (m.labels is there) it returns { loss = ... }
return 5|model mine.lua: its build returned a number, expected { loss = ... }
return { loss = m.image }|model mine.lua: its loss is (2, 16, 16, 16, 1), expected one number
local x = c.stepss|mine.lua:2: c.stepss: mine.lua has no such option; did you mean "steps"?; a model declares what it reads
local l = m.point_wise_head { m.image, classes = c.classes }\nreturn { loss = m.labels and m.op.voxel_loss { l, m.labels }, map = m.image }|model mine.lua: its map is (1, 16, 16, 16, 1), expected a value for each of 3 classes
m.parameters { batchs = 1 }|m.parameters: batchs: mine.lua has no such option
m.parameters { batch = 0 }|m.parameters: batch: 0 is outside 1 .. 65536
m.parameters { 1 }|m.parameters: expected { option = value }
m.parameters {}|m.parameters: a model that is counted asks for no third one's number
END
}

@test "docs/models.md: the code of each of its steps trains and prints its table" {
  mkdir page
  local step
  for step in 1 2 3; do
    /usr/bin/python3 "$root/tests/page_code.py" "$root/docs/models.md" page "$step"
    # shellcheck disable=SC2086
    "$harness" run page/my_experiment.lua $tiny key_grid=2,2,2 -q >table
    cat table
    [ "$(grep -cE '^(nnU-Net|mine|bridge=\w+) .* done$' table)" -eq 2 ]
  done
  run /usr/bin/python3 "$root/tests/page_code.py" "$root/docs/models.md" page 4
  [ "$status" -eq 1 ]
  # shellcheck disable=SC2086
  dry page/my_experiment.lua $tiny key_grid=2,2,2 looks=1,2 bridge=none | grep -q "bridge=none looks=2 seed 0"
}

@test "a key grid that does not divide a feature gives way to the most below it that does, to half of it" {
  two="queries=1 seeds=1 bridge=none widths=8,16 strides=1,1,1,2,2,2 kernels=3,3,3,3,3,3"
  memory() { "$harness" estimate --json "$root/experiments/query_count.lua" $two "$@" | grep -E '"(train|infer)[a-z_]*bytes"'; }
  [ -n "$(memory patch=16,16,16 key_grid=12,12,12)" ]
  [ "$(memory patch=16,16,16 key_grid=12,12,12)" = "$(memory patch=16,16,16 key_grid=8,8,8)" ]
  [ "$(memory patch=16,16,16 key_grid=12,12,12)" != "$(memory patch=16,16,16 key_grid=4,4,4)" ]
  run "$harness" estimate "$root/experiments/query_count.lua" $two patch=26,26,26 key_grid=12,12,12
  [ "$status" -ne 0 ]
  [[ "$output" == *"key_grid 12,12,12 does not divide the feature (2, 26, 26, 26, 8), nor does anything from its half on"* ]]
}
