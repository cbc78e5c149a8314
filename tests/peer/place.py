"""Where a measurement runs: the CPU, or a GPU, whose time is that between two events of its own and whose memory
is what the allocator gave out at most."""

import time

import torch


class Place:
    def __init__(self, name, tf32="conv"):
        self.device = torch.device(name)
        self.gpu = self.device.type == "cuda"
        if self.gpu and not torch.cuda.is_available():
            raise RuntimeError("PyTorch %s sees no GPU (made for CUDA %s)" % (torch.__version__, torch.version.cuda))
        if self.gpu:
            torch.cuda.set_device(self.device)
            torch.backends.cudnn.benchmark = True
            torch.backends.cudnn.allow_tf32 = tf32 != "off"
            torch.backends.cuda.matmul.allow_tf32 = tf32 == "on"

    def timed(self, work, repeats=1):
        """Seconds of one call."""
        if self.gpu:
            return self.timed_there(work, repeats)
        start = time.perf_counter()
        for _ in range(repeats):
            work()
        return (time.perf_counter() - start) / repeats

    def timed_there(self, work, repeats):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        start.record()
        for _ in range(repeats):
            work()
        end.record()
        torch.cuda.synchronize()
        return 1e-3 * start.elapsed_time(end) / repeats

    def peak(self):
        """Bytes during the last `timed`; None on the CPU, where the process's own peak is told."""
        return torch.cuda.max_memory_allocated() if self.gpu else None

    def forget(self):
        if self.gpu:
            torch.cuda.empty_cache()
