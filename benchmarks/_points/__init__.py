"""The parts of ``operating_points.py``."""
