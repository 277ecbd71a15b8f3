# SPDX-License-Identifier: BSD-3-Clause
"""How the figures of ageing.py are told: a table, and a page with a picture."""

import statistics

from bench_lib import pictures
from bench_lib.tables import at_least, table

HUGE = 2 << 20
SHARE_TARGET = 0.99
LMDB_TARGET = 0.97
OWN = "ingot"


def share_of(sums):
    """Of the bytes that could be, how many are mapped by 2 MiB entries."""
    return sums["huge_bytes"] / sums["bytes"] if sums and sums["bytes"] else None


def faults_of(sums):
    """First-touch faults over the least possible."""
    return sums["faults"] / (sums["bytes"] / HUGE) if sums and sums["bytes"] else None


class Lmdb:
    """Speed in the aged filesystem over that in the fresh one, and page faults likewise.

    Of the least processor times, as others at work only add to them; beside it the ratios of all
    turns.
    """

    def __init__(self, entry):
        def of(kind, what):
            return [turn[what] for turn in entry["lmdb"][kind]]
        clean, aged = of("clean", "processor_seconds"), of("aged", "processor_seconds")
        self.speed = min(clean) / min(aged)
        self.turns = [a / b for a, b in zip(clean, aged)]
        self.faults = statistics.median(of("aged", "faults")) / max(
            statistics.median(of("clean", "faults")), 1)

    def __str__(self):
        return f"{self.speed:.2f} ({min(self.turns):.2f}..{max(self.turns):.2f})"


def lmdb_faults(entry):
    """In the aged filesystem, for a MiB of the map."""
    faults = statistics.median(turn["faults"] for turn in entry["lmdb"]["aged"])
    return faults / (entry["lmdb"]["map_bytes"] / (1 << 20))


def percent(value):
    return "" if value is None else f"{value * 100:.1f} %"


def times(value):
    return "" if value is None else f"{value:.2f}"


def verdict(name, entry):
    """The targets are ingot's."""
    if not name.startswith(OWN):
        return ""
    parts = [at_least(share, SHARE_TARGET) for share in map(share_of, (entry["old"], entry["new"]))
             if share is not None]
    if entry["lmdb"]:
        parts.append(at_least(Lmdb(entry).speed, LMDB_TARGET))
    return ", ".join(parts)


def line_of(level, entry):
    """One level, in short."""
    parts = [f"{level} %", f"used {percent(entry['used'])}"]
    for kind in ("old", "new"):
        parts.append(f"{kind}: {percent(share_of(entry[kind]))} huge, "
                     f"faults x {times(faults_of(entry[kind]))}")
    return "; ".join([*parts, f"LMDB aged/clean {Lmdb(entry)}, faults x {Lmdb(entry).faults:.2f}",
                      f"{entry['ager']['seconds']} s to age"])


def row_of(name, level, entry):
    old, new = entry["old"], entry["new"]
    lmdb = Lmdb(entry) if entry["lmdb"] else None
    return (name, percent(entry["used"]) if old else "fresh", old["files"] if old else "",
            percent(share_of(old)), times(faults_of(old)), percent(share_of(new)),
            times(faults_of(new)), lmdb or "", times(lmdb.faults) if lmdb else "",
            verdict(name, entry))


def tables(report):
    rows = [row_of(name, level, entry) for name, levels in report["systems"].items()
            for level, entry in levels.items()]
    text = table("Ageing: files of 2 MiB and more",
                 ("filesystem", "in use", "old files", "mapped by 2 MiB", "faults / least",
                  "new: mapped by 2 MiB", "faults / least", "LMDB aged/clean", "its faults",
                  "old, new, LMDB: targets"), rows)
    text += (f"\n\nTargets, ingot's: {SHARE_TARGET:.0%} of the bytes mapped by 2 MiB entries, "
             f"LMDB {LMDB_TARGET} of the speed in a fresh filesystem. Faults: of the first store "
             "to each 4 KiB, over one for each 2 MiB. LMDB: by the least processor time "
             "(least..most of all turns); its faults aged/clean.\n")
    for name, reason in report["left_out"].items():
        text += f"\nLeft out: {name}: {reason}\n"
    for name, levels in report["systems"].items():
        for level, entry in levels.items():
            if entry["new"]["refused"]:
                text += f"\n{name}, {level} %: a new file: {entry['new']['refused']}\n"
    return text


def picture(report):
    """Shares of old and new files, and LMDB; a bar for each filesystem at each level."""
    names = list(report["systems"])
    levels = [f"{level} %" for level in report["levels"]]

    def figures(value):
        return {name: {f"{level} %": value(entry)
                       for level, entry in report["systems"][name].items() if entry["old"]}
                for name in names}

    def in_percent(kind):
        return lambda entry: share_of(entry[kind]) and share_of(entry[kind]) * 100
    share = ("share of bytes, %", "0:100")
    return (pictures.head(3) +
            pictures.bars("Old files: mapped by 2 MiB", levels, names, figures(in_percent("old")),
                          *share) +
            pictures.bars("New files: mapped by 2 MiB", levels, names, figures(in_percent("new")),
                          *share) +
            pictures.bars("LMDB fillseqbatch, aged: page faults", levels, names,
                          figures(lmdb_faults), "for a MiB of its map"))


def write(folder, name, report, machine_facts):
    """name.md and name.svg; the page ends with how to have it made."""
    ageing = report
    facts = "".join(f"- {key}: {value}\n" for key, value in machine_facts.items()
                    if key != "root")
    facts += "".join(f"- {key}: {ageing[key]}\n" for key in ("e2fsprogs", "xfsprogs"))
    churn = ageing["churn"]
    how = ("those of more than 64 KiB preallocated, not written" if ageing["allocate"] else
           "written")
    capacities = sorted({level["ager"]["capacity_bytes"] >> 20
                         for levels in ageing["systems"].values() for level in levels.values()
                         if level["ager"]})
    text = f"""# Ageing

Filesystems are filled to a level and churned there by `scripts/ager` (the file sizes of Agrawal et
al., FAST'09; four files at a time grow side by side, {how}),
then to the next. Written before the first level was looked at: {churn:g} times the capacity; before
each of the others {churn * ageing["more_churn"]:g} times, and at least what fills it. Capacities as
the filesystems tell: {capacities[0]} to {capacities[-1]} MiB.

![Shares and ratios]({name}.svg)
{tables(ageing)}
"New" are six files made in what is left free, half of them written in blocks of 64 KiB, half
made sparse and stored through a mapping; LMDB fills a quarter of what is free at the highest level,
sparse at first, through its mapping; where its turns are further apart than a ratio is from 1, the
ratio says nothing. All figures are in `{name}.json`.

## Where

{facts}
    {ageing["command"]}
"""
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
    pictures.draw(folder / f"{name}.svg", picture(ageing))
