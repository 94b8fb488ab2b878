"""Verifiable rewards: one checker per scenario, a pure function of the task's goal and the trace of tool calls.

A checker imports only the standard library, reads no clock, random number or hash order, and raises on nothing that a
model can emit. `rewards.compose` says how a score is put together; each scenario's module says what it scores.
"""
