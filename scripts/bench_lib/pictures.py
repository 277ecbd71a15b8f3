# SPDX-License-Identifier: BSD-3-Clause
"""Pictures of figures, by gnuplot."""

import subprocess

# Of a palette that those who see colours differently tell apart (Okabe, Ito).
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#999999")
PANEL_WIDTH = 460
HEIGHT = 380


def draw(path, script):
    """Runs gnuplot; the picture is an SVG."""
    try:
        done = subprocess.run(["gnuplot"], input=script, text=True, capture_output=True,
                              check=False)
    except FileNotFoundError:
        raise SystemExit("bench: pictures want gnuplot (Debian: gnuplot-nox)") from None
    if done.returncode != 0:
        raise SystemExit(f"bench: gnuplot: {done.stderr.strip()}")
    # gnuplot writes blanks at ends of lines, which version control shows as faults.
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def head(panels):
    return (f"set terminal svg size {PANEL_WIDTH * panels},{HEIGHT} font 'sans-serif,12' "
            "background 'white' dynamic\n"
            "set border 3 lc rgb '#444444'\nset tics nomirror\nset grid ytics lc rgb '#dddddd'\n"
            f"set multiplot layout 1,{panels}\n")


def data_block(name, columns, rows):
    """A gnuplot data block; missing figures are None."""
    lines = [" ".join(f'"{column}"' for column in columns)]
    for row in rows:
        lines.append(" ".join("NaN" if cell is None else f'"{cell}"' if isinstance(cell, str)
                              else f"{cell:.6g}" for cell in row))
    return f"${name} << EOD\n" + "\n".join(lines) + "\nEOD\n"


def bars(title, groups, series, figures, y_label, y_range=""):
    """Groups of bars: figures[series][group]; one panel."""
    rows = [(group, *(figures[name].get(group) for name in series)) for group in groups]
    parts = [f"$bars using {column + 2}:xtic(1) title columnheader({column + 2}) "
             f"lc rgb '{COLOURS[column % len(COLOURS)]}'" for column in range(len(series))]
    return (data_block("bars", ("group", *series), rows) +
            f"set title '{title}'\nset ylabel '{y_label}'\nset yrange [{y_range or '0:*'}]\n"
            "set style data histogram\nset style histogram clustered gap 1\n"
            "set style fill solid noborder\nset key below maxrows 3\n"
            "plot " + ", ".join(parts) + "\n")


def curves(title, figures, x_label, y_label):
    """Lines through points: figures[series] = [(x, y)...], both axes logarithmic; one panel."""
    text, parts = "", []
    for number, (name, points) in enumerate(figures.items()):
        text += data_block(f"curve{number}", ("x", "y"), points)
        parts.append(f"$curve{number} using 1:2 every ::1 with linespoints pt 7 ps 0.5 lw 2 "
                     f"lc rgb '{COLOURS[number % len(COLOURS)]}' title '{name}'")
    return (text + f"set title '{title}'\nset xlabel '{x_label}'\nset ylabel '{y_label}'\n"
            "set logscale xy\nset format x '10^{%L}'\nset yrange [*:*]\nset key below maxrows 4\n"
            "plot " + ", ".join(parts) + "\n")
