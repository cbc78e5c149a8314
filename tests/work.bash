# Where a test works: in a folder of its own, with a database there, and nothing of the user's.
work_in() { # folder
  root="$(cd "$BATS_TEST_DIRNAME/.." && pwd)"
  export root
  local build="${BUILD:-build}"
  [[ "$build" == /* ]] || build="$root/$build"
  export harness="${HARNESS_BINARY:-$build/harness}"
  export work="$1"
  export HARNESS_DB="$work/results/harness.db"
  unset HARNESS_HOME HARNESS_TRIAL_PROGRAM
  cd "$work" || return
}

# What `quick` was when the stored trials of tests/fixtures and others like them were made, on a command line: by these they
# are found, and what they computed is computed again. quick_before: what every model reads; heads_before: what heads read.
export quick_before="phantom_size=40,40,40 phantom_anatomy=1 phantom_noise=40 patch=32,32,32 widths=16,32,64,128 steps=250 lr=0.25 warmup=0 average=0
  attention_init=separate"
export heads_before="query_scales=3 loss_scale=0.1 key_grid=8,8,8 head_init=xavier"

refute() { # COMMAND...: it fails, or the test does (bash looks past a failing "! COMMAND" that is not a test's last)
  if "$@"; then
    echo "succeeded: $*"
    return 1
  fi
}

sql() { # STATEMENT: in the test's database; a line a row, | between columns
  /usr/bin/python3 -c 'import sqlite3, sys; d = sqlite3.connect(sys.argv[1])
for row in d.execute(sys.argv[2]): print(*row, sep="|")
d.commit()' "$HARNESS_DB" "$1"
}

tiny_unet() { # STEPS: an experiment of one U-Net of two stages on the data set `set`
  cat <<END
return { title = "tiny", seeds = 1, rows = { { key = "unet", label = "unet", set = {} } }, base = { data = "$work/set",
  head = "point_wise", steps = $1, patch = { 8, 8, 8 }, batch = 1, bridge = "none", collapse_dice = 0, widths = { 4, 8 },
  strides = { { 1, 1, 1 }, { 2, 2, 2 } }, kernels = { { 3, 3, 3 }, { 3, 3, 3 } }, warmup = 0, average = 0 } }
END
}

encoder_and_head() { # OPTION of the encoder, [FIRST LINE]: a model of an encoder and a head
  cat <<END
return function(m, c)
  ${2:-}
  local features = m.plain_conv_encoder { m.image, name = "encoder", $1, widths = { 4, 8 }, convs = 1,
    strides = { { 1, 1, 1 }, { 2, 2, 2 } } }
  local logits = m.point_wise_head { features[1], classes = c.classes, name = "head" }
  if not m.labels then return { map = m.op.softmax { logits } } end
  return { loss = (m.voxel_class_loss { m.labels, logits }) }
end
END
}

# Until COMMAND holds. Its patience is a busy machine's: what goes well ends at once.
wait_for() { # COMMAND...
  local left=1800
  until "$@"; do
    ((left-- > 0)) || return 1
    sleep 0.1
  done
}
