"""The modules that hold the rows, in the order of the table."""

from tests.chaos import crashes, isolation, load, outages, recording

MODULES = (crashes, outages, recording, isolation, load)
