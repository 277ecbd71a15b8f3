# SPDX-License-Identifier: BSD-3-Clause
"""What a run of the workloads found, as JSON; and of that JSON a page, tables and pictures.

Rendering needs nothing but the JSON, so that a machine without gnuplot measures and another draws.
"""

import itertools
import json
import re
import statistics

from bench_lib import machine, pictures
from bench_lib.tables import Ratio, table, time_of

REASON_LENGTH = 90
NOT_MADE = "not made"  # the filesystem; why is said once, elsewhere
OWN_COLOURS = ("#08519c", "#4292c6", "#9ecae1")
OTHER_COLOURS = ("#fdd0a2", "#fdae6b", "#e6550d", "#969696")


def cells_of(rounds, workload, figure, native):
    """{filesystem: times and ratios round by round, or why there are none}."""
    def times(name):
        return [measured.costs.get(figure)
                for measured in rounds.results[workload.name].get(name, [])]
    bound = times(native)
    cells = {}
    for name in rounds.recipes:
        own = times(name)
        pairs = [(a, b) for a, b in zip(own, bound) if a and b]
        cell = {"ns": own, "ratios": Ratio(*zip(*pairs)).values if pairs else []}
        reason = NOT_MADE if rounds.failures.get(name) else None
        reason = reason or rounds.failed[workload.name].get(name)
        for measured in rounds.results[workload.name].get(name, []):
            reason = reason or measured.missing.get(figure)
        if reason:
            cell["reason"] = reason
        cells[name] = cell
    return cells


def counts_of(rounds, workload, count):
    return {name: [measured.counts[count] for measured in results if count in measured.counts]
            for name, results in rounds.results[workload.name].items()}


def json_of(rounds, native):
    return {
        "native": native,
        "filesystems": {name: {"recipe": recipe, "failure": rounds.failures.get(name)}
                        for name, recipe in rounds.recipes.items()},
        "workloads": [{
            "name": workload.name, "group": workload.group, "shape": workload.shape,
            "figures": {figure: cells_of(rounds, workload, figure, native)
                        for figure in workload.figures},
            "counts": {count: counts_of(rounds, workload, count) for count in workload.counts},
        } for workload in rounds.workloads],
    }


def is_emulated(report):
    return machine.is_emulated(report["machine"]["cpu"])


def without_times(report):
    """A copy that has ratios alone: on an emulated processor a time says nothing."""
    report = json.loads(json.dumps(report))
    for workload in report["workloads"]:
        for cells in workload["figures"].values():
            for cell in cells.values():
                cell.pop("ns", None)
    return report


def median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def cell_text(cell):
    ratios = cell["ratios"]
    text = f"{median(ratios):.2f} ({min(ratios):.2f}..{max(ratios):.2f})" if ratios else ""
    if "reason" in cell:
        if cell["reason"] == NOT_MADE:
            return NOT_MADE
        reason = cell["reason"].replace("|", "/")
        if len(reason) > REASON_LENGTH:
            reason = reason[:REASON_LENGTH] + "..."
        text = f"{text}, then failed: {reason}" if text else f"failed: {reason}"
    return text or "no figure of the native one"


def native_text(cell, emulated):
    if "reason" in cell:
        return cell_text({**cell, "ratios": []})
    time = median(cell.get("ns", []))
    return "1" if emulated or time is None else f"{time_of(time)}"


def groups_of(report):
    groups = {}
    for workload in report["workloads"]:
        groups.setdefault(workload["group"], []).append(workload)
    return groups


def ratios_table(report, group, workloads):
    native, emulated = report["native"], is_emulated(report)
    others = [name for name in report["filesystems"] if name != native]
    rows = [(figure, native_text(cells[native], emulated),
             *(cell_text(cells[name]) for name in others))
            for workload in workloads for figure, cells in workload["figures"].items()]
    return table(f"Workloads, {group}: time over {native}'s, median (least..most) of rounds",
                 ("figure", native, *others), rows)


def counts_table(report, group, workloads):
    names = list(report["filesystems"])

    def text(values):
        return f"{median(values):.3g}" if values else ""
    rows = [(count, *(text(by_name.get(name)) for name in names))
            for workload in workloads for count, by_name in workload["counts"].items()]
    return table(f"Workloads, {group}: page faults for each 2 MiB, and share of them that is "
                 "mapped by one entry", ("figure", *names), rows)


def group_tables(report, group, workloads):
    texts = (ratios_table(report, group, workloads), counts_table(report, group, workloads))
    return "\n".join(text for text in texts if text)


def tables(report):
    texts = [group_tables(report, group, workloads)
             for group, workloads in groups_of(report).items()]
    texts += [f"\n- {name} was not made: {entry['failure']}"
              for name, entry in report["filesystems"].items() if entry["failure"]]
    return "\n".join(texts)


def rounds_text(report):
    """How many there were: a run that was ended early has fewer than it wanted."""
    done = max(len(cell["ratios"]) for workload in report["workloads"]
               for cells in workload["figures"].values() for cell in cells.values())
    wanted = report["sizes"]["rounds"]
    return f"{wanted} rounds" if done == wanted else f"figures of {done} of {wanted} rounds"


def header_lines(report):
    facts, load = report["machine"], report["load"]
    kernel = re.match(r"[\d.]+\d", facts["kernel"])
    yield f"- day: {report['day']}"
    yield f"- machine: {facts['cores']} processors, {facts['cpu']}"
    yield f"- kernel: Linux {kernel.group(0) if kernel else facts['kernel']}"
    yield ("- load: {:.1f} before, {:.1f} after the run, which itself makes about one of it"
           .format(*load))
    if max(load) > facts["cores"]:
        yield "- others were at work on this machine: trust ratios, not times"
    if is_emulated(report):
        yield ("- **the processor is emulated**: nothing here is a time, and the ratios hold in "
               "such a machine only; copies and page faults cost other than on hardware")
    skipped = ("kernel", "cpu", "cores", "load", "root")
    yield "- " + ", ".join(f"{name} {value.removeprefix(name + ' ')}"
                           for name, value in facts.items() if name not in skipped)
    yield (f"- command: `{report['command']}`, {rounds_text(report)}, "
           f"{report['seconds']} s; each filesystem holds "
           f"{report['filesystem_bytes'] >> 20} MiB")


def page(report, name):
    """The whole page, which names its pictures."""
    lines = [f"# Workloads x filesystems: {name}", ""]
    lines += list(header_lines(report))
    lines += ["", f"Each figure is the time of an operation over that of {report['native']} in the "
              "same round: less is better. README.md says what each workload does.", "",
              "| filesystem | made by |", "|---|---|"]
    lines += [f"| {system} | `{entry['recipe']}`"
              + (f", not made: {entry['failure']}" if entry["failure"] else "") + " |"
              for system, entry in report["filesystems"].items()]
    for group, workloads in groups_of(report).items():
        text = group_tables(report, group, workloads).strip()
        lines += ["", f"![{group}]({picture_name(name, group)})", "", text]
    lines += ["", "## Workloads", "", "| workload | what it does |", "|---|---|"]
    lines += [f"| {workload['name']} | {workload['shape']} |" for workload in report["workloads"]]
    sizes = ", ".join(f"{key} {value}" for key, value in report["sizes"].items())
    lines += ["", f"Sizes: {sizes}."]
    return "\n".join(lines) + "\n"


def picture_name(name, group):
    return f"{name}-{group.replace(' ', '-')}.svg"


def colours_of(names):
    """Ours are blue, others aren't."""
    ours, others = itertools.cycle(OWN_COLOURS), itertools.cycle(OTHER_COLOURS)
    return [next(ours if name.startswith("ingot") else others) for name in names]


def gnuplot_script(report, workloads):
    """Bars of ratios with their spread; figures along, a colour for each filesystem."""
    names = [name for name, entry in report["filesystems"].items()
             if name != report["native"] and not entry["failure"]]
    rows, values = [], [1.0]
    for workload in workloads:
        for figure, cells in workload["figures"].items():
            row = [f'"{figure}"']
            for name in names:
                ratios = cells[name]["ratios"]
                values += ratios
                row += ([f"{value:.4f}" for value in (median(ratios), min(ratios), max(ratios))]
                        if ratios else ["?"] * 3)
            rows.append(" ".join(row))
    plots = [f"$data using {3 * number + 2}:{3 * number + 3}:{3 * number + 4}"
             f"{':xtic(1)' if number == 0 else ''} title \"{name}\" lc rgb '{colour}'"
             for number, (name, colour) in enumerate(zip(names, colours_of(names)))]
    return "\n".join([
        f"set terminal svg size {240 + 13 * len(rows) * (len(names) + 2)},420 noenhanced "
        "font 'sans-serif,12' background '#ffffff'",
        "$data << END", *rows, "END", "set datafile missing '?'",
        "set style data histogram", "set style histogram errorbars gap 2 lw 1",
        "set style fill solid 0.7 border", "set boxwidth 0.9", "set logscale y",
        f"set yrange [{min(values) / 1.5:.4f}:{max(values) * 1.5:.4f}]", "set grid y",
        "set key outside right", "set xtics rotate by -25 nomirror",
        f"set ylabel \"time / that of {report['native']} (less is better)\"",
        f"plot {', '.join(plots)}, 1 with lines lc rgb '#000000' title \"{report['native']}\"", ""])


def write(folder, name, report):
    """A page, its pictures and its JSON: FOLDER/NAME.md, NAME-*.svg, NAME.json."""
    if is_emulated(report):
        report = without_times(report)
    for group, workloads in groups_of(report).items():
        pictures.draw(folder / picture_name(name, group), gnuplot_script(report, workloads))
    (folder / f"{name}.json").write_text(json.dumps({"workloads": report}, indent=1) + "\n",
                                        encoding="utf-8")
    (folder / f"{name}.md").write_text(page(report, name), encoding="utf-8")
