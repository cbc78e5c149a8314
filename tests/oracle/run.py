"""Compares the kernels and whole models with outside implementations: PyTorch, SciPy.

    python3 tests/oracle/run.py [--driver build/tests/op_driver] [--models build/tests/model_driver]
                                [--updates build/tests/update_driver] [--kernel cpu] [--threads 1] [OP or MODEL ...]

Whole models are compared on the reference backend too. Prints a line per op and model and
`N passed, N failed, N skipped`: what needs a package that `make oracles` fetches is skipped without it. An op of kernels/ops.def that nothing here compares is a failure. Without
PyTorch it says so and passes."""

import argparse
import os
import re
import sys


def all_ops():
    with open(os.path.join(os.path.dirname(__file__), "../../kernels/ops.def"), encoding="utf-8") as table:
        return re.findall(r"^OP\((\w+)", table.read(), re.M)


def main():
    parser = argparse.ArgumentParser()
    build = os.environ.get("BUILD", "build")
    parser.add_argument("--driver", default=build + "/tests/op_driver")
    parser.add_argument("--models", default=build + "/tests/model_driver")
    parser.add_argument("--updates", default=build + "/tests/update_driver")
    parser.add_argument("--kernel", default="cpu", choices=["cpu", "portable", "reference"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("ops", nargs="*")
    arguments = parser.parse_args()
    try:
        import torch
        import scipy  # noqa: F401
    except ImportError as missing:
        print("SKIP oracles: %s (Debian: python3-torch, python3-scipy)" % missing)
        print("0 passed, 0 failed, 1 skipped")
        return 0
    torch.set_num_threads(1)
    import adapters
    import attention
    import boxes
    import driver
    import layers
    import losses
    import maskmed
    import masksam
    import matching
    import model
    import peers
    import pytorch_names
    import qtseg
    import random_shapes
    import residual
    import sam
    import sam_transformers
    import starts
    import unet
    import updates

    report = driver.Report(set(arguments.ops))
    program = driver.Driver(arguments.driver, arguments.kernel, arguments.threads)
    for group in (layers, attention, losses, boxes, matching, random_shapes):
        group.run(program, report)
    backends = dict.fromkeys(["reference", arguments.kernel])
    for group in (unet, residual, sam, sam_transformers, maskmed, masksam, qtseg, peers, adapters, starts, pytorch_names):
        group.run(model.Models(arguments.models), report, backends)
    updates.run(updates.Updates(arguments.updates), report)
    report.demand(arguments.ops or all_ops() + updates.names_of("optimizer") + updates.names_of("rate_schedule"))
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
