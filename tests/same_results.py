#!/usr/bin/python3
"""What a disturbed sweep lost. Arguments: the database of the undisturbed sweep, that of the disturbed one. Says the first
differences on standard error and prints how many there are: trials that are missing, that did not end as they should, or
that count twice; figures, weights and curves that are others; what SQLite finds in the file.
--weights: the checkpoints beside both, byte by byte."""
import os, sqlite3, sys

words = [word for word in sys.argv[1:] if word.startswith("--")]
whole, other = (word for word in sys.argv[1:] if not word.startswith("--"))
found = 0


def lost(*what):
    global found
    found += 1
    if found <= 10:
        print(*what, file=sys.stderr)


def read(path):
    db = sqlite3.connect(path)
    rows = lambda sql: {row[0]: row[1:] for row in db.execute(sql)}
    for (word,) in db.execute("PRAGMA integrity_check"):
        if word != "ok":
            lost(path, word)
    for table, *_ in db.execute("PRAGMA foreign_key_check"):
        lost(path, "a line of", table, "names what is not there")
    trials = rows("SELECT hash, status FROM trials")
    for trial, count in db.execute("SELECT t.hash, count(*) FROM trials t JOIN attempts a ON a.trial_id = t.id"
                                   " WHERE a.status = 'done' AND a.removed = 0 GROUP BY t.id HAVING count(*) > 1"):
        lost(path, trial, "ended well", count, "times")
    for trial, in db.execute("SELECT t.hash FROM trials t JOIN attempts a ON a.trial_id = t.id WHERE a.status = 'running'"):
        lost(path, trial, "still reads running")
    cells = rows("SELECT r.key || ' ' || t.hash, count(*) FROM cells c JOIN rows r ON r.id = c.row_id JOIN trials t"
                 " ON t.id = c.trial_id GROUP BY 1")
    figures = rows("SELECT t.hash || ' ' || m.split || ' ' || m.case_name || ' ' || m.metric || ' ' || m.label, m.value, m.situation"
                   " FROM metrics m JOIN v_attempt a ON a.attempt_id = m.attempt_id JOIN trials t ON t.id = a.trial_id")
    table = rows("SELECT experiment || ' ' || scale || ' ' || key, mean, sd, n, cells, done FROM v_table")
    curves = rows("SELECT t.hash || ' ' || c.step, c.loss, c.class_loss, c.bce_loss, c.dice_loss, c.lr, c.grad_norm, c.clipped,"
                  " c.val_dice FROM curves c JOIN v_attempt a ON a.attempt_id = c.attempt_id JOIN trials t ON t.id = a.trial_id")
    return {"trial": trials, "cell": cells, "figure": figures, "row": table, "curve": curves}


def weights(path):
    folder = os.path.join(os.path.dirname(path), "checkpoints")
    files = [name for name in os.listdir(folder) if name.endswith(".safetensors")] if "--weights" in words else []
    return {name: open(os.path.join(folder, name), "rb").read() for name in files}


first, second = {**read(whole), "weights": weights(whole)}, {**read(other), "weights": weights(other)}
for kind in first:
    for name in sorted(first[kind].keys() | second[kind].keys()):
        a, b = first[kind].get(name), second[kind].get(name)
        if a != b:
            shown = "differ" if kind == "weights" else f"{a}, disturbed {b}"
            lost(kind, name, shown)
print(found)
