"""Replenishment policies: classical rules and neural networks behind one protocol."""
