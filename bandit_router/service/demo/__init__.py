"""The demo fleet: four models that answer from bundled real outcomes, so nothing is called."""

from .fleet import DemoFleet, demo_config

__all__ = ["DemoFleet", "demo_config"]
