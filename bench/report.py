"""The table of a comparison."""

import dataclasses


@dataclasses.dataclass
class Row:
    """One figure of both brokers. `ratio` is above 1 where RocketKube is better."""

    workload: str
    what: str
    unit: str
    ours: float
    theirs: float
    ratio: float
    # Least ratio, or greatest value of ours: the two ways a goal is stated.
    goal: float | None
    limit: float | None = None
    spread: tuple | None = None
    of_echo: float | None = None
    # Answers that were not OK, ours and theirs.
    errors: tuple | None = None

    def met(self):
        if self.goal is not None:
            return self.ratio >= self.goal
        return None if self.limit is None else self.ours <= self.limit

    def goal_text(self):
        if self.goal is not None:
            return f">= {self.goal:g}x"
        return "" if self.limit is None else f"<= {self.limit:g} {self.unit}"

    def as_dict(self):
        return {**dataclasses.asdict(self), "met": self.met()}


def number(value):
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def cells(row):
    spread = f"{row.spread[0]:.1f}-{row.spread[1]:.1f}" if row.spread else ""
    met = {True: "yes", False: "NO", None: ""}[row.met()]
    errors = f"{row.errors[0]} / {row.errors[1]}" if row.errors and any(row.errors) else ""
    echo = f"{row.of_echo:.0%}" if row.of_echo else ""
    return [row.workload, row.what, row.unit, number(row.ours), number(row.theirs),
            f"{row.ratio:.1f}x", spread, row.goal_text(), met, echo, errors]


def print_rows(rows):
    table = [["", "what", "unit", "ours", "Apache", "ratio", "spread", "goal", "met", "of echo",
              "errors"]]
    table += [cells(row) for row in rows]
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())
