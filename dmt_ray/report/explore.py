"""A sweep's trials to explore in a page: parallel coordinates and a map of two settings, hovered and brushed.

Drawn by a script in the page from numbers in the page; nothing is fetched. Readers without a pointer have the
leaderboard, which holds the same numbers.
"""

import html
import json
from collections.abc import Sequence
from typing import Any

from dmt_ray.experiments.sweep import Sweep, Trial, short
from dmt_ray.methods.space import Choice, as_text
from dmt_ray.plan.words import counted

STYLE = """
.explore { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr)); gap: 1rem; }
.explore svg { width: 100%; height: 300px; touch-action: none; user-select: none; font: 12px system-ui, sans-serif; }
.explore text { fill: currentColor; } .explore .axis { stroke: currentColor; opacity: .6; }
.explore .hit { fill: transparent; cursor: ns-resize; } .explore .range { fill: currentColor; opacity: .18; }
.explore .trial { fill: none; stroke-width: 2; cursor: pointer; } .explore .stopped { stroke-dasharray: 5 3; }
.explore .dim { opacity: .08; } .explore .lit { stroke-width: 5; opacity: 1; } .explore circle { stroke: currentColor; }
.explore + p { min-height: 3em; }
"""
SCRIPT = r"""
for (const host of document.querySelectorAll(".explore")) {
  const {axes, trials, measure} = JSON.parse(host.querySelector("script").textContent);
  const told = host.nextElementSibling, help = told.textContent, marks = trials.map(() => []), ranges = {};
  const scores = trials.map(t => t.score).filter(s => s !== null);
  const low = Math.min(...scores), span = Math.max(...scores) - low || 1;
  const all = [...axes, {name: measure, low, high: low + span}];
  const value = (trial, i) => i < axes.length ? trial.values[i] : trial.score;
  const at = (axis, v) => axis.choices
    ? axis.choices.indexOf(v) / Math.max(1, axis.choices.length - 1) : (v - axis.low) / (axis.high - axis.low || 1);
  const colour = s => s === null ? "#8c8c8c"
    : `color-mix(in oklab, #e0b000 ${Math.round(100 * (s - low) / span)}%, #2c5a9c)`;
  const make = (parent, tag, attributes, text = "") => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, v] of Object.entries(attributes)) node.setAttribute(name, v);
    node.textContent = text;
    return parent.appendChild(node);
  };
  const show = number => {
    marks.forEach((own, i) => own.forEach(node => node.classList.toggle("lit", i === number)));
    const t = trials[number];
    told.textContent = t === undefined ? help : `Trial ${t.number}, ${t.state}: `
      + axes.map((axis, i) => `${axis.name} ${t.values[i]}`).join(", ")
      + (t.score === null ? "" : `; ${measure} ${t.score.toFixed(2)} at ${t.step}`);
  };
  const inside = trial => Object.entries(ranges).every(([i, [from, to]]) => {
    const v = value(trial, +i), place = v === null ? -1 : at(all[i], v);
    return place >= from && place <= to;
  });
  const filter = () => trials.forEach((trial, i) =>
    marks[i].forEach(node => node.classList.toggle("dim", !inside(trial))));
  const add = (i, node) => {
    marks[i].push(node);
    node.addEventListener("pointerenter", () => show(i));
    node.addEventListener("pointerleave", () => show());
  };
  const lines = host.querySelectorAll("svg")[0], width = lines.clientWidth || 350, height = 300;
  const x = i => 36 + i * (width - 80) / (all.length - 1), y = p => height - 40 - p * (height - 70);
  trials.forEach((trial, i) => {
    const points = all.map((axis, k) => [k, value(trial, k)]).filter(([, v]) => v !== null)
      .map(([k, v]) => `${x(k)},${y(at(all[k], v))}`).join(" ");
    const kind = trial.state === "complete" ? "trial" : "trial stopped";
    add(i, make(lines, "polyline", {points, class: kind, stroke: colour(trial.score)}));
  });
  all.forEach((axis, i) => {
    make(lines, "line", {class: "axis", x1: x(i), x2: x(i), y1: y(0), y2: y(1)});
    make(lines, "text", {x: x(i), y: height - 8, "text-anchor": "middle"}, axis.name);
    const ticks = axis.choices || [axis.low, (axis.low + axis.high) / 2, axis.high];
    ticks.forEach(tick => make(lines, "text", {x: x(i) + 5, y: y(at(axis, tick)) + 4},
      axis.choices ? tick : +tick.toPrecision(3)));
    const range = make(lines, "rect", {class: "range", x: x(i) - 10, width: 20, y: 0, height: 0});
    const hit = make(lines, "rect", {class: "hit", x: x(i) - 12, width: 24, y: y(1) - 8, height: y(0) - y(1) + 16});
    let start = null;
    const place = event => (height - 40 - (event.clientY - lines.getBoundingClientRect().top)) / (height - 70);
    hit.addEventListener("pointerdown", event => {
      start = place(event);
      hit.setPointerCapture(event.pointerId);
      delete ranges[i];
      range.setAttribute("height", 0);
      filter();
    });
    hit.addEventListener("pointermove", event => {
      if (start === null || Math.abs(place(event) - start) < .02) return;
      const [from, to] = [start, place(event)].sort((a, b) => a - b);
      ranges[i] = [from, to];
      range.setAttribute("y", y(to));
      range.setAttribute("height", y(from) - y(to));
      filter();
    });
    hit.addEventListener("pointerup", () => { start = null; });
  });
  const map = host.querySelectorAll("svg")[1];
  if (map) {
    const w = map.clientWidth || 350, u = p => 40 + p * (w - 60), [a, b] = axes;
    make(map, "line", {class: "axis", x1: u(0), x2: u(1), y1: y(0) + 8, y2: y(0) + 8});
    make(map, "line", {class: "axis", x1: u(0) - 8, x2: u(0) - 8, y1: y(0), y2: y(1)});
    make(map, "text", {x: u(.5), y: height - 4, "text-anchor": "middle"}, a.name);
    make(map, "text", {x: 4, y: 14}, b.name);
    for (const [axis, across] of [[a, true], [b, false]])
      for (const tick of axis.choices || [axis.low, (axis.low + axis.high) / 2, axis.high]) {
        const p = at(axis, tick), text = axis.choices ? tick : +tick.toPrecision(3);
        make(map, "text", across ? {x: u(p), y: height - 18, "text-anchor": "middle"} : {x: 2, y: y(p) + 4}, text);
      }
    trials.forEach((trial, i) => {
      const where = {cx: u(at(a, trial.values[0])), cy: y(at(b, trial.values[1])), r: 7};
      const dashes = trial.state === "complete" ? {} : {"stroke-dasharray": "3 2"};
      add(i, make(map, "circle", {...where, ...dashes, fill: colour(trial.score), class: "point"}));
    });
  }
}
"""
HELP = "Point at a trial to read it; drag along an axis to keep the trials in a range, and click the axis to undo it."


def explore(sweep: Sweep, trials: Sequence[Trial]) -> list[str]:
    """The trials of a sweep as parts of a page, whose style is `STYLE` and whose script is `SCRIPT`.

    Args:
        sweep: The sweep.
        trials: Its trials; those without settings are left out.

    Returns:
        Nothing where there are no trials.
    """
    begun = [trial for trial in trials if trial.params.keys() == sweep.space.keys()]
    if not any(trial.scores for trial in begun):
        return []
    axes: list[dict[str, Any]] = []
    for setting, values in sweep.space.items():
        if isinstance(values, Choice):
            axes.append({"name": short(setting), "choices": [as_text(value) for value in values.values]})
        else:
            axes.append({"name": short(setting), "low": float(values.low), "high": float(values.high)})
    content = {"axes": axes, "trials": [_trial(sweep, trial) for trial in begun], "measure": sweep.score_name}
    # In a script nothing is escaped but the end of it.
    numbers = json.dumps(content).replace("<", "\\u003c")
    pictures = [f"Every trial's settings and its validation {sweep.score_name}, as lines across parallel axes."]
    if len(axes) > 1:
        names = " and ".join(axis["name"] for axis in axes[:2])
        pictures.append(f"Every trial's validation {sweep.score_name} over {names}.")
    shown = "".join(f'<svg role="img" aria-label="{html.escape(text, quote=True)}"></svg>' for text in pictures)
    script = f'<script type="application/json">{numbers}</script>'
    return ["<h2>Explore</h2>", f'<div class="explore">{shown}{script}</div>', f'<p aria-live="polite">{HELP}</p>']


def _trial(sweep: Sweep, trial: Trial) -> dict[str, Any]:
    values = [
        as_text(trial.params[setting]) if isinstance(values, Choice) else float(trial.params[setting])
        for setting, values in sweep.space.items()
    ]
    steps = counted(len(trial.scores), "seed") if sweep.seed_by_seed else f"rung {max(trial.scores, default=0)}"
    score = None if trial.score is None else round(100 * trial.score, 4)
    return {"number": trial.number, "state": trial.state, "values": values, "score": score, "step": steps}
