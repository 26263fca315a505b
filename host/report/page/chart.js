// SPDX-License-Identifier: BSD-3-Clause
// The curves are in the page already, drawn along updates. This draws them anew when somebody asks
// for another axis, scale or smoothing, and shows values under the pointer. host/report/svg.cpp
// draws by the same rules.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const view = { axis: "update", log: false, smoothing: data.smoothing };
const [left, top_, right, bottom] = data.box;

function element(name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const key in attributes) made.setAttribute(key, attributes[key]);
  if (text !== undefined) made.textContent = text;
  return made;
}

// Of a drawing: with one decimal at most.
const coordinate = (value) => String(Number(value.toFixed(1)));

// In the unit of the largest number beside it.
function shortNumber(value, largest = value) {
  const size = Math.abs(largest);
  if (value === 0) return "0";
  if (size >= 1e15 || size < 1e-3) return value.toExponential(2).replace(/\.?0*e/, "e").replace("e+", "e");
  const [scale, unit] = size >= 1e9 ? [1e9, "G"] : size >= 1e6 ? [1e6, "M"] : size >= 1e4 ? [1e3, "k"] : [1, ""];
  return String(Number((value / scale).toPrecision(4))) + unit;
}

function duration(seconds) {
  const whole = Math.round(seconds);
  const two = (number) => String(number).padStart(2, "0");
  return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
}

// ---- what is drawn ----

function alongAxis(track) {
  if (view.axis === "time") return track.t;
  return view.axis === "epoch" ? track.u.map((update) => update / data.epoch) : track.u;
}

function axisRange() {
  if (view.axis === "time") return data.time;
  return view.axis === "epoch" ? data.update.map((update) => update / data.epoch) : data.update;
}

function axisText(value) {
  if (view.axis === "time") return duration(value);
  return view.axis === "epoch" ? `epoch ${value.toFixed(2)}` : `update ${Math.round(value).toLocaleString("en")}`;
}

// Exponential moving average, as if it had begun long ago; null where there is no number.
function smoothed(values, weight) {
  let sum = 0;
  let norm = 0;
  return values.map((value) => {
    if (value === null) return null;
    sum = sum * weight + value * (1 - weight);
    norm = norm * weight + 1 - weight;
    return sum / norm;
  });
}

// Powers of ten, or also 2 and 5 times them where there are few; round numbers within one of them.
function logTicks(low, high, most) {
  const decades = Math.log10(high / low);
  const step = Math.max(1, Math.ceil(decades / (most + 1)));
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); 10 ** power <= high; power += step) {
    for (const digit of decades < 2 ? [1, 2, 5] : [1]) ticks.push(Number(`${digit}e${power}`));
  }
  const inside = ticks.filter((tick) => tick >= low && tick <= high);
  return inside.length > 1 ? inside : ticksOf(low, high, most);
}

// 1, 2 or 5 times a power of ten apart.
function ticksOf(low, high, most) {
  const ticks = [];
  const rough = (high - low) / most;
  const base = 10 ** Math.floor(Math.log10(rough));
  const step = base * (rough / base > 5 ? 10 : rough / base > 2 ? 5 : rough / base > 1 ? 2 : 1);
  if (!(step > 0) || !(Math.abs(low / step) < 1e15) || !(Math.abs(high / step) < 1e15)) return ticks;
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; ++i) ticks.push(i * step);
  return ticks;
}

function timeTicks(high) {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400];
  const step = steps.find((each) => high / each <= 5) || 86400 * Math.ceil(high / 86400 / 5);
  const ticks = [];
  for (let at = 0; at <= high; at += step) ticks.push(at);
  return ticks;
}

// The range of all that is shown, with some air; null when there is nothing.
function valueRange(curves, log) {
  let low = Infinity;
  let high = -Infinity;
  for (const curve of curves) {
    for (const values of [curve.lo || curve.v, curve.hi || curve.v]) {
      for (const value of values) {
        if (value === null || (log && value <= 0)) continue;
        low = Math.min(low, value);
        high = Math.max(high, value);
      }
    }
  }
  if (low > high) return null;
  if (log) return low === high ? [low / 2, high * 2] : [low, high];
  const air = low === high ? Math.abs(low) * 0.1 || 1 : (high - low) * 0.04;
  return [low >= 0 && low - air < 0 ? 0 : low - air, high + air];
}

class Chart {
  constructor(figure, curves) {
    this.svg = figure.querySelector("svg");
    this.at = figure.querySelector(".at");
    this.curves = curves;
    this.position = null;
    figure.querySelectorAll(".key").forEach((key, i) => {
      curves[i].shown = true;
      curves[i].key = key;
      curves[i].colour = key.classList[1];
      curves[i].output = key.querySelector("output");
      key.addEventListener("click", () => this.toggle(curves[i]));
    });
    this.measure();
    this.svg.addEventListener("pointermove", (event) => this.pointAt(event));
    this.svg.addEventListener("pointerdown", (event) => this.pointAt(event));
    this.svg.addEventListener("pointerleave", () => this.leave());
    this.svg.addEventListener("keydown", (event) => this.onKey(event));
    this.svg.addEventListener("blur", () => this.leave());
  }

  toggle(curve) {
    curve.shown = !curve.shown;
    curve.key.setAttribute("aria-pressed", String(curve.shown));
    this.draw();
  }

  visible() { return this.curves.filter((curve) => curve.shown); }

  // Where each point is on the two axes.
  measure() {
    const shown = this.visible();
    this.log = view.log && shown.some((curve) => (curve.lo || curve.v).some((value) => value > 0));
    [this.x0, this.x1] = axisRange();
    if (this.x0 === this.x1) { this.x0 -= 0.5; this.x1 += 0.5; }
    const range = valueRange(shown, this.log);
    this.empty = range === null;
    [this.y0, this.y1] = range || [0, 1];
    for (const curve of this.curves) {
      const along = alongAxis(data.tracks[curve.k]);
      curve.x = curve.c ? curve.c.map((column) => along[column]) : along;
    }
  }

  toX(value) { return left + ((value - this.x0) / (this.x1 - this.x0)) * (right - left); }

  toY(value) {
    const [low, high, at] = this.log ? [Math.log(this.y0), Math.log(this.y1), Math.log(value)] : [this.y0, this.y1, value];
    return bottom - ((at - low) / (high - low)) * (bottom - top_);
  }

  drawable(value) { return value !== null && !(this.log && value <= 0); }

  draw() {
    this.measure();
    const grid = this.svg.querySelector(".grid");
    const plot = this.svg.querySelector(".plot");
    grid.replaceChildren();
    plot.replaceChildren();
    this.drawGrid(grid);
    for (const curve of this.visible()) this.drawCurve(plot, curve);
    this.showCursor();
  }

  drawGrid(grid) {
    const text = (x, y, anchor, content) => grid.append(element("text", { x: coordinate(x), y: coordinate(y), "text-anchor": anchor }, content));
    const largest = (ticks) => Math.max(...ticks.map(Math.abs));
    const rows = this.empty ? [] : this.log ? logTicks(this.y0, this.y1, 4) : ticksOf(this.y0, this.y1, 4);
    for (const value of rows) {
      const y = this.toY(value);
      grid.append(element("path", { d: `M${left} ${coordinate(y)}H${right}` }));
      text(left - 6, y + 4, "end", shortNumber(value, this.log ? value : largest(rows)));
    }
    const marks = view.axis === "time" ? timeTicks(this.x1) : ticksOf(this.x0, this.x1, 5);
    for (const value of marks) text(this.toX(value), bottom + 16, "middle", view.axis === "time" ? duration(value) : shortNumber(value, largest(marks)));
  }

  drawCurve(plot, curve) {
    const add = (kind, d) => { if (d) plot.append(element("path", { class: `${kind} ${curve.colour}`, d })); };
    const weight = curve.s ? view.smoothing : 0;
    if (weight > 0) {
      add("raw", this.line(curve.x, curve.lo || curve.v, curve.hi));
      add("smooth", this.line(curve.x, smoothed(curve.v, weight)));
    } else {
      add("smooth", this.line(curve.x, curve.lo || curve.v, curve.hi));
    }
    if (!curve.s && curve.v.length <= data.dots) add("dots", this.dots(curve));
    if (curve.bad) add("bad", curve.bad.map((i) => `M${coordinate(this.toX(curve.x[i]))} ${bottom}v-6`).join(""));
  }

  // Through the lowest and the highest value of each column, where it stands for many lines.
  line(x, low, high) {
    let d = "";
    let pen = false;
    for (let i = 0; i < low.length; ++i) {
      if (!this.drawable(low[i])) { pen = false; continue; }
      const at = coordinate(this.toX(x[i]));
      d += `${pen ? "L" : "M"}${at} ${coordinate(this.toY(low[i]))}`;
      if (high && high[i] !== low[i]) d += `L${at} ${coordinate(this.toY(high[i]))}`;
      if (!pen && !this.drawable(low[i + 1] ?? null)) d += "h0";
      pen = true;
    }
    return d;
  }

  dots(curve) {
    return curve.v.map((value, i) => (this.drawable(value) ? `M${coordinate(this.toX(curve.x[i]))} ${coordinate(this.toY(value))}h0` : "")).join("");
  }

  // ---- values under the pointer ----

  pointAt(event) {
    const box = this.svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * data.width;
    this.position = this.x0 + ((Math.min(Math.max(x, left), right) - left) / (right - left)) * (this.x1 - this.x0);
    this.showCursor();
  }

  onKey(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const curve = this.visible()[0];
    if (event.key === "Escape") this.leave();
    if (!step || !curve) return;
    event.preventDefault();
    const from = this.position === null ? (step > 0 ? -1 : curve.x.length) : this.nearest(curve);
    this.position = curve.x[Math.min(Math.max(from + step, 0), curve.x.length - 1)];
    this.showCursor();
  }

  leave() {
    this.position = null;
    this.showCursor();
  }

  nearest(curve) {
    let best = 0;
    curve.x.forEach((x, i) => { if (Math.abs(x - this.position) < Math.abs(curve.x[best] - this.position)) best = i; });
    return best;
  }

  showCursor() {
    const cursor = this.svg.querySelector(".cursor");
    cursor.replaceChildren();
    this.at.textContent = "";
    const reference = this.visible()[0];
    const shown = this.position !== null && reference;
    if (shown) {
      const at = reference.x[this.nearest(reference)];
      this.at.textContent = axisText(at);
      cursor.append(element("path", { d: `M${coordinate(this.toX(at))} ${top_}V${bottom}` }));
    }
    for (const curve of this.curves) {
      const i = shown ? this.nearest(curve) : curve.v.findLastIndex((value) => value !== null);
      const value = curve.v[i] ?? null;
      curve.output.textContent = value === null ? "none" : shortNumber(value);
      if (!shown || !curve.shown || !this.drawable(value)) continue;
      cursor.append(element("circle", { class: curve.colour, cx: coordinate(this.toX(curve.x[i])), cy: coordinate(this.toY(value)), r: 4 }));
    }
  }
}
