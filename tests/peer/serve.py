"""The other side of `harness bench --against pytorch`: one measurement a request, so that turns alternate
without importing again. JSON objects, one a line.

started:  {"ready", "version", "rss"}             rss: peak bytes of the process once torch is imported
request:  {"do": "setup", "bench", "threads", "device", "tf32", "dtype", "seconds", ...}   what and how, see BENCHES
answer:   {"setting", "choices", "parameters"}    the setting that was fastest here
request:  {"do": "measure", "repeats"}            answer: {"us", "rss", "peak"}: mean time of one call, the process's
                                                  peak bytes, and on a GPU those of its memory
request:  {"do": "first"}                         one call in the plainest setting; answer as measure
{"error", "lacks"} answers what fails; lacks: this release or machine cannot do that, it is no fault of ours. The
process ends with its input."""

import gc
import json
import math
import signal
import sys

import torch

import masksam
import models
import operators
import sam
import sam_step
from device import Device


def step(request):
    return {"masksam": masksam, "sam": sam_step}.get(request["config"]["model"], models).step(request)


BENCHES = {"step": step, "deform_attention": operators.deform_attention, "match": operators.match,
           "grid_attention": sam.grid_attention, "sam_block": sam.block, "dice": operators.dice}


# What PyTorch raises where it has no such kernel or too little memory.
LACKS = (RuntimeError, MemoryError)


def peak_bytes():
    """ru_maxrss would include what the parent held when it started us."""
    with open("/proc/self/status") as status:
        return 1024 * int(next(line for line in status if line.startswith("VmHWM")).split()[1])


def check(work):
    """A training step keeps its loss; asking for it after each would make a GPU wait."""
    loss = getattr(work, "loss", None)
    if loss is not None and not math.isfinite(float(loss)):
        raise RuntimeError("the loss is not finite")


class Server:
    def __init__(self):
        self.work = None
        self.device = None

    def begin(self, request):
        torch.set_num_threads(request["threads"])
        self.work = None
        self.device = Device(request["device"], request["tf32"])
        self.clear()
        return BENCHES[request["bench"]](request)

    def clear(self):
        gc.collect()
        self.device.forget()

    def best_time(self, work, seconds):
        work()
        first = self.device.timed(work)
        repeats = max(1, min(20, int(seconds / max(first, 1e-6) / 4)))
        times = [first] + [self.device.timed(work) for _ in range(repeats)]
        check(work)
        return min(times)

    def setup(self, request):
        """BENCHES[...] gives the settings to choose from, name -> function that makes the work. The fastest is made
        again at the end, so that its memory is its own."""
        makers, choices, reason = self.begin(request), {}, ""
        makers = self.device.settings(makers)
        for name, make in makers.items():
            work = None
            self.device.prepare(name)
            try:
                work = make()
                choices[name] = 1e6 * self.best_time(work, request["seconds"])
            except RuntimeError as error:  # a setting that this release does not know, or too little memory
                choices[name] = None
                reason = str(error).splitlines()[0]
            del work
            self.clear()
        known = [name for name in choices if choices[name] is not None]
        if not known:
            raise RuntimeError(reason)
        best = min(known, key=choices.get)
        self.device.prepare(best)
        self.work = makers[best]()
        self.best_time(self.work, 0)
        return {"setting": best, "choices": choices, "parameters": getattr(self.work, "parameters", None)}

    def measure(self, request):
        seconds = self.device.timed(self.work, request["repeats"])
        check(self.work)
        return {"us": 1e6 * seconds, "rss": peak_bytes(), "peak": self.device.peak()}

    def first(self, request):
        work = next(iter(self.begin(request).values()))()
        return {"us": 1e6 * self.device.timed(work), "rss": peak_bytes()}


def answer(value):
    print(json.dumps(value), flush=True)


def main():
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the caller's to answer
    server = Server()
    answer({"ready": True, "version": torch.__version__, "rss": peak_bytes()})
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer({"setup": server.setup, "measure": server.measure, "first": server.first}[request["do"]](request))
        except Exception as error:  # the caller prints it
            answer({"error": "%s: %s" % (type(error).__name__, (str(error).splitlines() or [""])[0]),
                    "lacks": isinstance(error, LACKS)})


main()
