"""The demo: the whole stream on one machine, from the first transaction to a swap, before one's eyes.

``command`` is what `fraudstream demo` runs; ``run`` starts the processes, watches them and stops them;
``view`` and ``plain`` show what happens; ``summary`` says at the end what has happened.
"""
