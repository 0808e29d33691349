"""Repeatable benchmarks: `./pncp bench`. What they measure is printed, never asserted."""
