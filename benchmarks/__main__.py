"""`python -m benchmarks`: those benchmarks that need no file."""

from benchmarks.stages import main

if __name__ == "__main__":
    main()
