"use strict";
// Scales, axes and what all charts share. A chart is drawn anew for each width, so text keeps its size on a phone.

const data = JSON.parse(document.getElementById("data").textContent);
const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)}\u00a0%`;
const count = (number) => number.toLocaleString("en");
const millions = (number) => (number >= 1e6 ? `${(number / 1e6).toFixed(2)}M` : `${(number / 1e3).toFixed(1)}K`);
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** Make an SVG element. */
function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** Make an HTML element; its text is text, whatever it holds. */
function html(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** A linear scale from values to pixels. */
function scale(low, high, from, to) {
  const wide = high > low ? high - low : 1;
  const place = (value) => from + ((value - low) / wide) * (to - from);
  return Object.assign(place, { low, high: low + wide, from, to });
}

/** Round numbers from `low` to `high`, about `wanted` of them. */
function ticks(low, high, wanted, whole = false) {
  const rough = Math.max((high - low) / Math.max(wanted, 1), whole ? 1 : 0);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough * 0.999);
  const found = [];
  for (let each = Math.ceil(low / step - 1e-9); each * step <= high + step * 1e-9; each++) found.push(each * step || 0);
  return { found, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
}

/** The range of most values, with some room: a few that lie far below do not squeeze the others together. */
function bulk(values, share = 0.02) {
  if (!values.length) return [0, 1];
  const sorted = Float64Array.from(values).sort();
  const high = sorted[sorted.length - 1];
  const quantile = sorted[Math.floor(share * (sorted.length - 1))];
  const room = (high - quantile) * 0.06 || Math.abs(high) * 0.02 || 1;
  return [quantile - room, high + room];
}

/** Draw a frame with labelled axes into `place`, and return it with its scales. */
function frame(place, { height, x, y, left = 58, right = 26, top = 14, label }) {
  const width = Math.max(place.clientWidth, 240);
  const box = { left, top, right: width - right, bottom: height - 42 };
  const across = scale(x.low, x.high, box.left, box.right);
  const up = scale(y.low, y.high, box.bottom, box.top);
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label });
  const [xs, ys] = [ticks(across.low, across.high, width / 70, x.whole), ticks(up.low, up.high, height / 45)];
  for (const value of y.plain ? [] : ys.found) {
    root.append(svg("line", { class: "grid", x1: box.left, x2: box.right, y1: up(value), y2: up(value) }));
    root.append(svg("text", { x: box.left - 7, y: up(value) + 4, "text-anchor": "end" }, value.toFixed(ys.digits)));
  }
  for (const value of xs.found) {
    root.append(svg("line", { class: "axis", x1: across(value), x2: across(value), y1: box.bottom, y2: box.bottom + 4 }));
    const text = xs.digits ? value.toFixed(xs.digits) : count(value);
    root.append(svg("text", { x: across(value), y: box.bottom + 18, "text-anchor": "middle" }, text));
  }
  root.append(svg("line", { class: "axis", x1: box.left, x2: box.right, y1: box.bottom, y2: box.bottom }));
  root.append(svg("text", { x: (box.left + box.right) / 2, y: height - 6, "text-anchor": "middle" }, x.label));
  if (!y.plain) {
    const middle = (box.top + box.bottom) / 2;
    root.append(svg("text", { x: 12, y: middle, "text-anchor": "middle", transform: `rotate(-90 12 ${middle})` }, y.label));
  }
  const clip = `clip-${place.dataset.chart}`;
  const area = { x: box.left, y: box.top - 6, width: box.right - box.left + 6, height: box.bottom - box.top + 6 };
  root.append(svg("clipPath", { id: clip }, svg("rect", area)));
  const inside = svg("g", { "clip-path": `url(#${clip})` });
  root.append(inside);
  place.replaceChildren(root);
  return { root, inside, box, x: across, y: up, width, height };
}

/** Paint what is too much for SVG as a picture inside a chart: `paint` gets a context in the chart's own pixels. */
function picture(chart, paint) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [2 * chart.width, 2 * chart.height];
  const context = canvas.getContext("2d");
  context.scale(2, 2);
  paint(context);
  const size = { width: chart.width, height: chart.height };
  chart.inside.append(svg("image", { ...size, href: canvas.toDataURL(), "aria-hidden": "true" }));
}

/** A path of steps through `[x, y]` pairs, or straight from one to the next. */
function path(points, x, y, steps = false) {
  return points
    .map(([a, b], place) => {
      if (!place) return `M${x(a).toFixed(1)} ${y(b).toFixed(1)}`;
      return steps ? `H${x(a).toFixed(1)}V${y(b).toFixed(1)}` : `L${x(a).toFixed(1)} ${y(b).toFixed(1)}`;
    })
    .join("");
}

/** Show words beside a point of a chart, or nothing; screen readers hear them, too. */
function tip(place, words, x = 0, y = 0) {
  let box = place.querySelector(".tip");
  if (!words) return box?.remove();
  if (!box) place.append((box = html("div", { class: "tip", role: "status" })));
  box.textContent = words;
  const left = x + 14 + box.offsetWidth > place.clientWidth ? x - 14 - box.offsetWidth : x + 14;
  box.style.left = `${Math.max(left, 0)}px`;
  box.style.top = `${Math.max(y - box.offsetHeight / 2, 0)}px`;
}

/** Tell where in a chart's own pixels the pointer is. */
function at(chart, event) {
  const seen = chart.root.getBoundingClientRect();
  return [((event.clientX - seen.left) * chart.width) / seen.width, ((event.clientY - seen.top) * chart.height) / seen.height];
}

/** The unit in which so many seconds are best written. */
function timeUnit(seconds) {
  return [[3600, "hours"], [60, "minutes"], [1, "seconds"]].find(([length]) => seconds >= 1.5 * length || length === 1);
}
