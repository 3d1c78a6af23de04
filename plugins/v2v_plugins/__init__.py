"""Custom ops of domain ``v2v``."""
