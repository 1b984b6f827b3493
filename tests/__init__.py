"""Tests, and the real parts that they stand on."""
