"""Compiles the kernels, once for each kind of processor, of which `nmt.kernels` loads the best one.

Where a compiler does not know a kind, or is not there, the others do, or torch.
"""

import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError

SOURCES = sorted(Path("nmt/kernels").glob("*.[ch]"))
SUM = hashlib.sha256(b"".join(file.read_bytes() for file in SOURCES)).hexdigest()
"""By which `nmt.kernels` knows a build of other sources than it has."""

AVX2 = ["-mavx2", "-mfma"]
BUILDS = {
    "avx512": [*AVX2, "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512vnni"],
    "avxvnni": [*AVX2, "-mavxvnni"],
    "avx2": AVX2,
    "base": [],
}


class BuildKernels(build_ext):
    """With OpenMP, where the compiler has it: training uses all cores then. Decoding has threads of its own."""

    def build_extensions(self) -> None:
        """All builds, one after the other: they share the names of their object files."""
        self.parallel = None
        if self._has_openmp():
            for extension in self.extensions:
                extension.extra_compile_args.append("-fopenmp")
                extension.extra_link_args.append("-fopenmp")
        super().build_extensions()

    def _has_openmp(self) -> bool:
        with TemporaryDirectory() as folder:
            source = Path(folder, "probe.c")
            source.write_text("#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n")
            try:
                objects = self.compiler.compile([str(source)], output_dir=folder, extra_postargs=["-fopenmp"])
                self.compiler.link_executable(objects, "probe", output_dir=folder, extra_postargs=["-fopenmp"])
            except (CompileError, LinkError):
                return False
        return True


setup(
    cmdclass={"build_ext": BuildKernels},
    ext_modules=[
        Extension(
            f"nmt.kernels.native_{name}",
            [str(file) for file in SOURCES if file.suffix == ".c"],
            depends=[str(file) for file in SOURCES],
            define_macros=[("SOURCES", f'"{SUM}"')],
            extra_compile_args=["-O3", "-std=gnu11", "-Wno-unknown-pragmas", *flags],
            libraries=["m"],
            optional=True,
        )
        for name, flags in BUILDS.items()
    ],
)
