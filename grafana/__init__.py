"""Dashboards as code: `python -m grafana` writes what Grafana reads into ``grafana/dashboards``."""
