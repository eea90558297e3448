"""Levada's dashboards: panels.py is what they are made of, document.py their JSON, and each other module one of them."""

from boards.bus import BUS
from boards.executor import EXECUTOR
from boards.ingestion import INGESTION
from boards.overview import OVERVIEW
from boards.workers import WORKERS

DASHBOARDS = (OVERVIEW, EXECUTOR, WORKERS, BUS, INGESTION)
