"""The fraud desk: pages on which analysts look at alerts and say what they were.

Needs the extra ``fraudstream[desk]``. The pages work without scripts.
"""
