"""The machine that a benchmark runs on: its processor, and what its environment keeps NumPy and PyTorch from using of that."""

import contextlib
import os
import platform
import subprocess
import sys
from pathlib import Path

_NAME = ("model name", "machdep.cpu.brand_string")
_NUMBERS = {
    "family": ("cpu family", "machdep.cpu.family"),
    "model": ("model", "machdep.cpu.model"),
    "implementer": ("CPU implementer",),
    "part": ("CPU part",),
}
_LIMITS = (
    "OPENBLAS_CORETYPE",
    "MKL_ENABLE_INSTRUCTIONS",
    "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA",
    "NPY_DISABLE_CPU_FEATURES",
)


def describe_cpu(text):
    """Find the name and the numbers of a processor in lines "key : value", as Linux and macOS write them.

    Parameters
    ----------
    text : str
        /proc/cpuinfo, or what sysctl says of machdep.cpu.

    Returns
    -------
    str
        Such as "AMD EPYC, family 25 model 17"; "unknown CPU" where the text has no name, nothing behind it where it has no numbers.
    """
    fields = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), " ".join(value.split()))  # of the first processor

    def find(keys):
        return next((fields[key] for key in keys if fields.get(key)), "")

    numbers = [f"{word} {find(keys)}" for word, keys in _NUMBERS.items() if find(keys)]
    return ", ".join(part for part in (find(_NAME) or "unknown CPU", " ".join(numbers)) if part)


def cpu():
    """Return the name and the numbers of this machine's processor in a line; "unknown CPU" where nothing tells."""
    text = ""
    with contextlib.suppress(OSError):  # a system without /proc or sysctl
        if sys.platform == "darwin":
            text = subprocess.run(["sysctl", "machdep.cpu"], capture_output=True, text=True, check=False).stdout
        elif sys.platform == "win32":
            text = f"model name: {platform.processor()}"  # "Intel64 Family 6 Model 85 Stepping 7, GenuineIntel"
        else:
            text = Path("/proc/cpuinfo").read_text()
    return describe_cpu(text)


def limits():
    """Return the variables of the environment that hold NumPy's or PyTorch's kernels to an older CPU, with their values."""
    return {name: os.environ[name] for name in _LIMITS if os.environ.get(name)}
