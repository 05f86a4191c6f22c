"""The compiled kernel. All else about the package is in pyproject.toml."""

from setuptools import Extension, setup

PARTS = ("drawing", "features", "models", "packing", "pending", "reading", "wire", "writing")

setup(
    ext_modules=[
        Extension(
            f"stream.kernel._{part}",
            [f"stream/kernel/_{part}.pyx"],
            # A multiplication and an addition in one would round once where numpy rounds twice.
            extra_compile_args=["-O3", "-ffp-contract=off"],
            # Without a compiler all runs as well, on numpy alone.
            optional=True,
        )
        for part in PARTS
    ],
    # All parts at once, as whoever installs waits for them.
    options={"build_ext": {"parallel": True}},
)
