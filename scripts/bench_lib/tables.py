# SPDX-License-Identifier: BSD-3-Clause
"""Figures as people read them."""

import statistics


def time_of(nanoseconds):
    for limit, divisor, unit in ((1e3, 1, "ns"), (1e6, 1e3, "us"), (1e9, 1e6, "ms")):
        if nanoseconds < limit:
            return f"{nanoseconds / divisor:.{0 if divisor == 1 else 2}f} {unit}"
    return f"{nanoseconds / 1e9:.2f} s"


class Ratio:
    """Ratios of figures that were taken in the same round, one a round."""

    def __init__(self, above, below):
        self.values = [a / b for a, b in zip(above, below) if b]

    def __bool__(self):
        return bool(self.values)

    @property
    def median(self):
        return statistics.median(self.values)

    def __str__(self):
        if not self.values:
            return ""
        return f"{self.median:.2f} ({min(self.values):.2f}..{max(self.values):.2f})"

    def json(self):
        return {"median": self.median, "rounds": self.values} if self.values else None


def at_most(value, target):
    return "met" if value <= target else f"missed by {value / target:.2f} x"


def at_least(value, target):
    return "met" if value >= target else f"missed by {target / value:.2f} x"


def table(title, heads, rows):
    """Markdown; the first column to the left, figures to the right."""
    if not rows:
        return ""
    heads = [head.replace("|", "/") for head in heads]
    lines = [f"\n## {title}\n", "| " + " | ".join(heads) + " |",
             "|---" + "|---:" * (len(heads) - 1) + "|"]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)
