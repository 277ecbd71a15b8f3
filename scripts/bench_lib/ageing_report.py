# SPDX-License-Identifier: BSD-3-Clause
"""How the figures of ageing.py are told: a table, and a page with a picture."""

from bench_lib import pictures
from bench_lib.tables import Ratio, at_least, table

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


def lmdb_of(entry):
    """Speed in the aged filesystem over that in the fresh one, a ratio for each turn."""
    seconds = {kind: [run["processor_seconds"] for run in entry["lmdb"][kind]] for kind in ("clean", "aged")}
    return Ratio(seconds["clean"], seconds["aged"])


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
    return ", ".join([*parts, at_least(lmdb_of(entry).median, LMDB_TARGET)])


def line_of(level, entry):
    """One level, in short."""
    parts = [f"{level} %", f"used {percent(entry['used'])}"]
    for kind in ("old", "new"):
        parts.append(f"{kind}: {percent(share_of(entry[kind]))} huge, "
                     f"faults x {times(faults_of(entry[kind]))}")
    return "; ".join([*parts, f"LMDB aged/clean {lmdb_of(entry)}",
                      f"{entry['ager']['seconds']} s to age"])


def tables(report):
    rows = []
    for name, levels in report["systems"].items():
        for level, entry in levels.items():
            old, new = entry["old"], entry["new"]
            rows.append((name, f"{level} %", old["files"], percent(share_of(old)),
                         times(faults_of(old)), percent(share_of(new)), times(faults_of(new)),
                         lmdb_of(entry), verdict(name, entry)))
    text = table("Ageing: files of 2 MiB and more",
                 ("filesystem", "in use", "old files", "mapped by 2 MiB", "faults / least",
                  "new: mapped by 2 MiB", "faults / least", "LMDB aged/clean",
                  "old, new, LMDB: targets"), rows)
    text += (f"\n\nTargets, ingot's: {SHARE_TARGET:.0%} of the bytes mapped by 2 MiB entries, "
             f"LMDB {LMDB_TARGET} of the speed in a fresh filesystem. Faults: of the first touch "
             "of each 4 KiB, over one for each 2 MiB. LMDB: by processor time, median (least..most) of the turns.\n")
    for name, reason in report["left_out"].items():
        text += f"\nLeft out: {name}: {reason}\n"
    return text


def picture(report):
    """Shares of old and new files, and LMDB; a bar for each filesystem at each level."""
    names = list(report["systems"])
    levels = [f"{level} %" for level in report["levels"]]

    def figures(value):
        return {name: {f"{level} %": value(entry)
                       for level, entry in report["systems"][name].items()} for name in names}

    def in_percent(kind):
        return lambda entry: share_of(entry[kind]) and share_of(entry[kind]) * 100
    share = ("share of bytes, %", "0:100")
    return (pictures.head(3) +
            pictures.bars("Old files: mapped by 2 MiB", levels, names, figures(in_percent("old")),
                          *share) +
            pictures.bars("New files: mapped by 2 MiB", levels, names, figures(in_percent("new")),
                          *share) +
            pictures.bars("LMDB fillseqbatch, aged/clean", levels, names,
                          figures(lambda entry: lmdb_of(entry).median), "ratio", "0:1.2"))


def write(folder, name, report, machine_facts):
    """name.md and name.svg; the page ends with how to have it made."""
    ageing = report
    facts = "".join(f"- {key}: {value}\n" for key, value in machine_facts.items()
                    if key not in ("load", "root"))
    facts += "".join(f"- {key}: {ageing[key]}\n" for key in ("e2fsprogs", "xfsprogs"))
    churn = ageing["churn"]
    how = ("their first 64 KiB written and the rest preallocated" if ageing["allocate"] else
           "written")
    capacities = sorted({level["ager"]["capacity_bytes"] >> 20
                         for levels in ageing["systems"].values() for level in levels.values()})
    text = f"""# Ageing

Filesystems are filled to a level and churned there by `scripts/ager` (the file sizes of Agrawal et
al., FAST'09; four files at a time grow side by side, {how}), then to the next: {churn:g} times the
capacity was written before the first level was looked at, {churn / 2:g} times more before each of
the others. Capacities as the filesystems tell: {capacities[0]} to {capacities[-1]} MiB.

![Shares and ratios]({name}.svg)
{tables(ageing)}
"New" are six files made in what is left free, half of them written in blocks of 64 KiB, half
made sparse and stored through a mapping; LMDB fills a quarter of what is free at the highest level,
sparse at first, through its mapping. All figures are in `{name}.json`.

## Where

{facts}
    {ageing["command"]}
"""
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
    pictures.draw(folder / f"{name}.svg", picture(ageing))
