"""The other side of `harness bench --against pytorch`: one measurement a request, so that turns alternate
without importing again. JSON objects, one a line.

started:  {"ready", "version", "rss"}             rss: peak bytes of the process once torch is imported
request:  {"do": "setup", "bench", "threads", "dtype", "seconds", ...}   what and how, see BENCHES
answer:   {"setting", "choices", "parameters"}    the setting that was fastest here
request:  {"do": "measure", "repeats"}            answer: {"us", "rss"}: mean time of one call
request:  {"do": "first"}                         one call in the plainest setting; answer as measure
An {"error"} answers what fails. The process ends with its input."""

import json
import signal
import sys
import time

import torch

import models
import operators

BENCHES = {"step": models.step, "deform_attention": operators.deform_attention, "match": operators.match,
           "dice": operators.dice}


def peak_bytes():
    """ru_maxrss would include what the parent held when it started us."""
    with open("/proc/self/status") as status:
        return 1024 * int(next(line for line in status if line.startswith("VmHWM")).split()[1])


def timed(work, repeats=1):
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - start) / repeats


class Server:
    def __init__(self):
        self.work = None
        self.request = None

    def setup(self, request):
        """BENCHES[...] gives the settings to choose from, name -> function that makes the work."""
        torch.set_num_threads(request["threads"])
        self.request = request
        choices, best = {}, None
        for name, make in BENCHES[request["bench"]](request).items():
            try:
                work = make()
                work()
                first = timed(work)
                repeats = max(1, min(20, int(request["seconds"] / max(first, 1e-6) / 4)))
                choices[name] = 1e6 * min([first] + [timed(work) for _ in range(repeats)])
            except RuntimeError as error:  # a setting that this release does not know
                choices[name] = None
                reason = str(error).splitlines()[0]
                continue
            if best is None or choices[name] < choices[best]:
                best, self.work = name, work
        if best is None:
            raise RuntimeError(reason)
        return {"setting": best, "choices": choices, "parameters": getattr(self.work, "parameters", None)}

    def measure(self, request):
        return {"us": 1e6 * timed(self.work, request["repeats"]), "rss": peak_bytes()}

    def first(self, request):
        torch.set_num_threads(request["threads"])
        work = next(iter(BENCHES[request["bench"]](request).values()))()
        return {"us": 1e6 * timed(work), "rss": peak_bytes()}


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
            answer({"error": "%s: %s" % (type(error).__name__, (str(error).splitlines() or [""])[0])})


main()
