"""The picture of growth.py: a panel for each command, both axes logarithmic, a line for each server. The same figures always give the same file."""

import math

WIDTH, HEIGHT = 360, 240
LEFT, RIGHT, TOP, BOTTOM = 58, 34, 34, 40
COLUMNS = 2
COLOURS = {"msgstore": "#0b5cad", "Dovecot": "#c2570c"}
# Text stands out on a page of any colour, because the picture has a ground of its own.
STYLE = ("text{font:12px sans-serif;fill:#222}.title{font-weight:bold}.axis{stroke:#222;stroke-width:1}"
         ".grid{stroke:#ddd;stroke-width:1}.line{fill:none;stroke-width:2}.small{font-size:11px}")


def draw(figures, sizes, servers):
    """`figures`: title -> server -> seconds for each of `sizes`."""
    every = [seconds for by_server in figures.values() for each in by_server.values() for seconds in each]
    low, high = math.floor(math.log10(min(every))), math.ceil(math.log10(max(every)))
    high = max(high, low + 1)
    rows = -(-len(figures) // COLUMNS)
    width, height = COLUMNS * WIDTH, rows * HEIGHT + 34
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img">',
           "<title>What a command takes, by the number of messages in the folder</title>", f"<style>{STYLE}</style>",
           f'<rect width="{width}" height="{height}" fill="#fff"/>']
    for number, server in enumerate(servers):
        x = LEFT + number * 110
        out.append(f'<line class="line" x1="{x}" y1="18" x2="{x + 24}" y2="18" stroke="{COLOURS[server]}"/>'
                   f'<text x="{x + 30}" y="22">{server}</text>')
    for number, (title, by_server) in enumerate(figures.items()):
        x, y = number % COLUMNS * WIDTH, number // COLUMNS * HEIGHT + 30
        out.append(f'<g transform="translate({x} {y})">')
        out += panel(title, by_server, sizes, low, high)
        out.append("</g>")
    out.append("</svg>")
    return "\n".join(out) + "\n"


def panel(title, by_server, sizes, low, high):
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    first, last = math.log10(sizes[0]), math.log10(sizes[-1])

    def across(size):
        return LEFT + (right - LEFT) * (math.log10(size) - first) / max(last - first, 1)

    def up(seconds):
        return bottom - (bottom - TOP) * (math.log10(seconds) - low) / (high - low)
    yield f'<text class="title" x="{LEFT}" y="{TOP - 12}">{title}</text>'
    for power in range(low, high + 1):
        y = up(10 ** power)
        yield f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>'
        yield f'<text class="small" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{duration(power)}</text>'
    for size in sizes:
        x = across(size)
        yield f'<line class="grid" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}"/>'
        yield f'<text class="small" x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{size:,}</text>'
    yield f'<path class="axis" fill="none" d="M{LEFT} {TOP}V{bottom}H{right}"/>'
    yield f'<text class="small" x="{(LEFT + right) / 2:.1f}" y="{bottom + 31}" text-anchor="middle">messages in the folder</text>'
    for server, figures in by_server.items():
        points = [(across(size), up(seconds)) for size, seconds in zip(sizes, figures)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        yield f'<polyline class="line" stroke="{COLOURS[server]}" points="{path}"/>'
        for x, y in points:
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{COLOURS[server]}"/>'


def duration(power):
    """The words of a power of ten, in seconds."""
    if power >= 0:
        return f"{10 ** power} s"
    return f"{10 ** (power + 3)} ms" if power >= -3 else f"{10 ** (power + 6)} µs"
