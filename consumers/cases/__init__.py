"""The case store: what analysts work on, in PostgreSQL, filled from scores, alerts and labels.

Needs the extra ``fraudstream[desk]``. ``docs/case-store.md`` describes its tables and views.
"""
