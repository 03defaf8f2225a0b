"""Run Python as on an x86-64 processor without AVX: `python tests/baseline.py -m pytest
tests/methods/test_methods.py`.

Sums run in another order there, so what hangs on the last digits of one processor shows on any.
"""

import os
import sys

from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

SETTINGS = {
    "ATEN_CPU_CAPABILITY": "default",  # torch's own kernels
    "MKL_CBWR": "COMPATIBLE",  # torch's matrix products and decompositions
    "ONEDNN_MAX_CPU_ISA": "SSE41",  # torch's convolutions
    "OPENBLAS_CORETYPE": "Nehalem",  # NumPy's and SciPy's matrix products
    "NPY_DISABLE_CPU_FEATURES": " ".join(
        name for name in __cpu_dispatch__ if __cpu_features__.get(name)
    ),
    "ARROW_USER_SIMD_LEVEL": "NONE",
}

if __name__ == "__main__":
    print(
        "as on a processor without AVX:",
        *(f"{name}='{value}'" for name, value in SETTINGS.items()),
        flush=True,
    )
    os.execve(sys.executable, [sys.executable, *sys.argv[1:]], os.environ | SETTINGS)
