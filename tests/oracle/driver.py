"""Talks to build/tests/op_driver (the protocol stands at its head) and compares one op with an oracle."""

import subprocess
import sys

import numpy as np
import torch

TOLERANCE = 1e-4  # largest error relative to the largest element, float kernels against float64


class Driver:
    def __init__(self, path, kernel, threads):
        self.kernel, self.threads = kernel, threads
        self.process = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def _send(self, text, arrays=()):
        self.process.stdin.write(text.encode())
        for array in arrays:
            self.process.stdin.write(np.ascontiguousarray(array, np.float64).tobytes())
        self.process.stdin.flush()

    def _line(self):
        line = self.process.stdout.readline().decode().strip()
        if not line:
            raise RuntimeError("the driver died with status %s" % self.process.wait())
        return line

    def _answer(self):
        status, _, rest = self._line().partition(" ")
        if status != "ok":
            raise RuntimeError(rest)
        heads = [self._line().split() for _ in range(int(rest))]
        return [None if head == ["none"] else self._values(head) for head in heads]

    def _values(self, head):
        shape = [int(n) for n in head[2:]]
        count = int(np.prod(shape, dtype=np.int64))
        values = np.frombuffer(self.process.stdout.read(8 * count), np.float64).reshape(shape)
        return values.astype(np.int32) if head[0] == "int" else values

    def forward(self, op, options, inputs):
        heads = ["%s %d %s" % ("int" if a.dtype == np.int32 else "real", a.ndim, " ".join(map(str, a.shape)))
                 for a in inputs]
        request = "%s %s %d %d\n%s\n" % (op, self.kernel, self.threads, len(inputs), options)
        self._send(request + "".join(h + "\n" for h in heads), inputs)
        return self._answer()

    def backward(self, gradients):
        """One array or None per output."""
        given = [g for g in gradients if g is not None]
        self._send("gradient %s\n" % " ".join(str(int(g is not None)) for g in gradients), given)
        return self._answer()

    def finish(self):
        """Ends a forward whose gradient nobody wants."""
        self._send("-\n")


def rounded(rng, *shape):
    """Standard normal numbers that a float holds exactly."""
    return rng.standard_normal(shape).astype(np.float32).astype(np.float64)


def distance(found, expected):
    if found.shape != expected.shape:
        return np.inf
    largest = np.abs(expected).max() if expected.size else 0
    worst = np.abs(found - expected).max() / (largest if largest > 1e-9 else 1)
    return worst if np.isfinite(worst) else np.inf


def check(driver, op, oracle, inputs, options="", internal=(), kept=0):
    """Compares outputs and gradients with those of `oracle`, a function of torch tensors that returns
    a tuple. Outputs listed in `internal` are compared but get no gradient; the last `kept` outputs,
    which only backward reads, the oracle does not know. Returns the worst error."""
    rng = np.random.default_rng(7)
    leaves = [torch.tensor(a, requires_grad=a.dtype == np.float64) for a in inputs]
    expected = oracle(*leaves)
    found = driver.forward(op, options, inputs)
    if len(found) != len(expected) + kept:
        raise AssertionError("%d outputs, expected %d" % (len(found), len(expected) + kept))
    worst = [distance(f, e.detach().numpy()) for f, e in zip(found, expected)]
    names = ["out[%d]" % i for i in range(len(worst))]
    differentiable = [e.requires_grad and i not in internal for i, e in enumerate(expected)]
    if any(differentiable):
        seeds = [rounded(rng, *e.shape) if d else None for e, d in zip(expected, differentiable)]
        total = sum((e * torch.tensor(s)).sum() for e, s in zip(expected, seeds) if s is not None)
        wanted = torch.autograd.grad(total, [x for x in leaves if x.requires_grad], allow_unused=True)
        wanted = iter(wanted)
        for i, (leaf, din) in enumerate(zip(leaves, driver.backward(seeds + [None] * kept))):
            gradient = next(wanted) if leaf.requires_grad else None
            if gradient is None and din is None:
                continue  # labels, masks
            if gradient is None or din is None:
                raise AssertionError("din[%d] exists on one side only" % i)
            worst.append(distance(din, gradient.numpy()))
            names.append("din[%d]" % i)
    else:
        driver.finish()
    for name, error in zip(names, worst):
        if not error <= TOLERANCE:
            raise AssertionError("%s differs by %.2e of its largest element" % (name, error))
    return max(worst)


class Report:
    """Counts cases and prints a line for each failure and each op."""

    def __init__(self, wanted):
        self.wanted, self.passed, self.failed, self.skipped = wanted, 0, 0, 0
        self.errors, self.compared = {}, set()

    def wants(self, op):
        return not self.wanted or op in self.wanted

    def case(self, op, name, function):
        if not self.wants(op):
            return
        self.compared.add(op)
        try:
            error = function()
            self.passed += 1
            self.errors.setdefault(op, []).append(error)
        except (AssertionError, RuntimeError, OSError) as reason:
            self.failed += 1
            print("FAIL %s, %s: %s" % (op, name, reason))
            sys.stdout.flush()

    def skip(self, op, why):
        """What it would be compared with is not here."""
        if self.wants(op):
            self.compared.add(op)
            self.skipped += 1
            print("SKIP %s: %s" % (op, why))

    def demand(self, names):
        """Each of these must have been compared."""
        for name in sorted(set(names) - self.compared):
            self.failed += 1
            print("FAIL %s: nothing in tests/oracle/ compares it with an outside implementation" % name)

    def finish(self):
        for op, errors in self.errors.items():
            print("%-18s %4d cases, largest error %.1e" % (op, len(errors), max(errors)))
        print("%d passed, %d failed, %d skipped" % (self.passed, self.failed, self.skipped))
        return self.failed > 0
