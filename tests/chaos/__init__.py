"""Faults on purpose: processes killed, servers taken away, receivers that misbehave, and ledgers that tell what was lost."""
