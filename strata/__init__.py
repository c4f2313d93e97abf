# SPDX-License-Identifier: MIT
"""Strata: a systemd-native orchestrator that generates transient units."""

__version__ = "0.1.0"
