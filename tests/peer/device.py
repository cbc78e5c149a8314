"""Where a measurement runs: the CPU, or a GPU, whose time is that between two events of its own and whose memory
is what the allocator gave out at most."""

import ctypes
import time

import torch

LIBC = ctypes.CDLL(None)
KEPT = ", memory kept"
TRIM_THRESHOLD, MMAP_MAX = -1, -4  # parameters of mallopt(3), glibc


def keep_memory(kept):
    """A step frees and asks again for gigabytes. glibc gives large blocks back to the system at once, and each page
    costs a fault when it is next touched; kept, a U-Net's step takes half the time and more memory."""
    LIBC.mallopt(MMAP_MAX, 0 if kept else 65536)
    LIBC.mallopt(TRIM_THRESHOLD, -1 if kept else 128 * 1024)


class Device:
    def __init__(self, name, tf32="conv"):
        self.device = torch.device("cuda:0" if name == "cuda" else name)  # set_device wants a number
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
        else:
            LIBC.malloc_trim(0)

    def settings(self, makers):
        """On the CPU each maker twice: with the C library's own memory policy, then with memory kept."""
        if self.gpu:
            return makers
        return {name + (KEPT if kept else ""): make for kept in (False, True) for name, make in makers.items()}

    def prepare(self, setting):
        if not self.gpu:
            keep_memory(setting.endswith(KEPT))
