"""Walks data sets, bad ones and good ones, through every command that reads them: the verdict must be one.

    python3 tests/verdict/run.py [--harness build/harness] [WORD ...]     only rows whose names hold a WORD

To add a row: append to ROWS of a file in rows/ (or make rows/KIND.py with a list ROWS of its own; every file there is
read). A row is a dict of

    name      what the folder is, in words
    make      function of a path that does not exist yet: makes the data set there (nii.py has the bricks:
              `sound` makes a good folder, `listed` one with a list of cases as MSD has it; damage it then)
    says      what is wrong, as part of one of the sentences of `data check`; without it the folder is good
    run       the folder is good but for this, which `data check` remarks on and only `run` refuses for
    msd       True: there is a list of cases, so `data import msd` must say the same
    evaluate  `evaluate DIR DIR/labelsTr` must accept (True) or refuse (False), or is not asked (None: the default of
              a bad folder; of a good one: True)
    predict   the same for `predict TRIAL DIR/imagesTr` by a trial of one channel; left out: not asked
    folder    what the folder is called, instead of "data"
    patch     the experiment's patch, strides and kernels, instead of CUBE
    skip      a reason for which this machine cannot ask, or None

A bad folder must be refused by data check, plan, preprocess, run and run --dry-run (before any trial starts), each time
with the same whole sentence, one of those that `data check` lists. A good one must be checked, planned, prepared and
trained, as it is and as planned."""
import argparse
import concurrent.futures
import glob
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

EXPERIMENT = """return { title = "t", seeds = 1, base = { data = [[%s]], head = "point_wise", bridge = "none", steps = 1, batch = 2,
  collapse_dice = 0, augment = "none", widths = { 4, 8 },
  %s %s }, rows = { { key = "a", label = "a", set = {} } } }
"""
CUBE = "patch = { 8, 8, 8 }, strides = { { 1, 1, 1 }, { 2, 2, 2 } }, kernels = { { 3, 3, 3 }, { 3, 3, 3 } }"


class Walk:
    def __init__(self, harness, work, row):
        self.harness, self.row, self.work = harness, row, work
        self.data = work + "/" + row.get("folder", "data")
        self.wrong, self.sentences = [], []
        self.environment = dict(os.environ, HARNESS_DB=work + "/h.db")
        patch = row.get("patch", CUBE)
        with open(work + "/t.lua", "w", errors="surrogateescape") as file:
            file.write(EXPERIMENT % (self.data, patch, ""))
        with open(work + "/unplanned.lua", "w", errors="surrogateescape") as file:
            file.write(EXPERIMENT % (self.data, patch, ', plan = "none"'))
        row["make"](self.data)

    def call(self, *words):
        process = subprocess.run([self.harness, *words], cwd=self.work, env=self.environment, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, timeout=300)
        return process.returncode, process.stdout.decode("utf8", "replace")

    def ask(self, *words, good=None, whole=True):
        """Runs a command and judges it. whole: the sentence must be one that `data check` lists."""
        good = "says" not in self.row if good is None else good
        code, text = self.call(*words)
        told = code != 0 and "error" in text and (not whole or any(s in text for s in self.sentences))
        if (code == 0) != good or (not good and not told):
            self.wrong.append("%s: ended with %d:\n      %s" % (" ".join(words), code, text.strip()[-700:].replace("\n", "\n      ")))

    def check(self):
        code, text = self.call("data", "check", self.data)
        bad = "says" in self.row
        self.sentences = [line.strip() for line in text[text.rfind(" problem(s)"):].splitlines()[1:]]
        if "run" in self.row:
            self.sentences = [line.strip() for line in text.splitlines() if self.row["run"] in line]
            bad = not self.sentences
        if (code != 0) != bad or (bad and not any(self.row["says"] in s for s in self.sentences)):
            self.wrong.append("data check: ended with %d:\n      %s" % (code, text.strip()[-700:]))

    def unplan(self):
        for name in ("plan.json", "fingerprint.json"):
            if os.path.exists(self.data + "/" + name):
                os.remove(self.data + "/" + name)

    def go(self):
        self.check()
        runs = False if "run" in self.row else None
        self.ask("run", "unplanned.lua", "-n", good=runs)
        self.ask("run", "unplanned.lua", "-q", good=runs)
        self.ask("data", "plan", self.data)
        self.ask("run", "t.lua", "-n", good=runs)
        self.unplan()
        self.ask("data", "preprocess", self.data)
        self.ask("run", "t.lua", "-n", good=runs)
        self.ask("run", "t.lua", "-q", good=runs)
        if self.row.get("msd"):
            self.ask("data", "import", "msd", self.data, self.work + "/imported")
        self.unplan()
        if self.row.get("evaluate", None if "says" in self.row else True) is not None:
            self.ask("evaluate", self.data, self.data + "/labelsTr", good=self.row.get("evaluate"), whole=False)
        if "predict" in self.row:
            self.ask("predict", trial(self.harness), self.data + "/imagesTr", self.work + "/predicted",
                     "--db", TRIAL["db"], good=self.row["predict"], whole=False)
        return self.wrong


TRIAL = {}
LOCK = threading.Lock()


def trial(harness):
    """A trained trial of one channel, made when it is first asked for."""
    with LOCK:
        if TRIAL:
            return TRIAL["hash"]
        work = tempfile.mkdtemp(prefix="harness-verdict-")
        with open(work + "/p.lua", "w") as file:
            file.write(EXPERIMENT.replace("data = [[%s]],", "") % (CUBE, ", phantom_size = { 16, 16, 16 }, phantom_cases = 6, "
                       "phantom_validation = 2, phantom_organs = 2"))
        TRIAL.update(work=work, db=work + "/h.db")
        environment = dict(os.environ, HARNESS_DB=TRIAL["db"])
        subprocess.run([harness, "run", work + "/p.lua", "-q"], env=environment, stdout=subprocess.DEVNULL, check=True)
        listing = subprocess.run([harness, "runs", "list"], env=environment, stdout=subprocess.PIPE, check=True).stdout.decode()
        TRIAL["hash"] = next(w for w in listing.split() if len(w) == 8 and set(w) <= set("0123456789abcdef"))
        return TRIAL["hash"]


def walk(harness, row):
    if row.get("skip"):
        return None
    work = tempfile.mkdtemp(prefix="harness-verdict-")
    try:
        return Walk(harness, work, row).go()
    finally:
        shutil.rmtree(work, ignore_errors=True)


def rows():
    for path in sorted(glob.glob(HERE + "/rows/*.py")):
        spec = importlib.util.spec_from_file_location("rows_" + os.path.basename(path)[:-3], path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield from module.ROWS


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--harness", default=os.environ.get("HARNESS_BINARY") or os.environ.get("BUILD", "build") + "/harness")
    parser.add_argument("words", nargs="*")
    arguments = parser.parse_args()
    harness = os.path.abspath(arguments.harness)
    count = {"passed": 0, "failed": 0, "skipped": 0}
    for name in ("HARNESS_TRIAL_PROGRAM", "HARNESS_CACHE", "HARNESS_HOME"):
        os.environ.pop(name, None)
    os.environ["OMP_NUM_THREADS"] = "1"
    wanted = [r for r in rows() if not arguments.words or any(word in r["name"] for word in arguments.words)]
    try:
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for row, wrong in zip(wanted, pool.map(lambda r: walk(harness, r), wanted)):
                end = "skipped" if wrong is None else "failed" if wrong else "passed"
                count[end] += 1
                print("%s  %s" % ({"skipped": "skip ", "failed": "WRONG", "passed": "ok   "}[end], row["name"]))
                for line in wrong or [row.get("skip")] * (wrong is None):
                    print("    " + line)
    finally:
        if TRIAL:
            shutil.rmtree(TRIAL["work"], ignore_errors=True)
    print("%d passed, %d failed, %d skipped" % (count["passed"], count["failed"], count["skipped"]))
    return 1 if count["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
