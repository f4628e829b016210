"""Fixtures that every part of the suite may ask for."""

from hypothesis import HealthCheck, settings

from tests.support.temporary import keep_in_memory

pytest_plugins = ["tests.support.groups", "tests.support.postgres"]

# A busy machine is no counterexample. The rest is as Hypothesis has it, here and where CI is set.
settings.register_profile("tenfold", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tenfold")

keep_in_memory()
