// Which worker trained what, and when.

function timeline(place) {
  const { workers, bars, failed, resumed, end } = data.timeline;
  const [length, unit] = timeUnit(end);
  const lane = workers.length > 20 ? 12 : workers.length > 8 ? 18 : 26;
  const chart = frame(place, {
    height: workers.length * lane + 62,
    left: 64,
    x: { low: 0, high: end / length, label: `${unit} of search` },
    y: { low: 0, high: workers.length, plain: true },
    label: `Timeline of ${workers.length} workers over ${(end / length).toFixed(1)} ${unit}; ${data.timeline.failures} failures.`,
  });
  const { x, box, root, inside } = chart;
  const top = (worker) => box.top + worker * lane;
  workers.forEach((name, worker) => {
    const short = name.length > 8 ? `…${name.slice(-7)}` : name;
    const every = lane > 12 || worker % 2 === 0;
    if (every) root.append(svg("text", { x: box.left - 7, y: top(worker) + lane / 2 + 4, "text-anchor": "end" }, short));
  });
  root.append(svg("text", { x: 0, y: 10 }, "worker"));
  picture(chart, (context) => {
    context.fillStyle = colour("mark");
    bars.forEach((spans, worker) => {
      for (const [from, to, , trials] of spans) {
        const [left, right] = [x(from / length), x(to / length)];
        // One apart from the next, where there is room for that.
        const wide = Math.max(right - left - (right - left > 3 ? 1 : 0), 0.5);
        context.globalAlpha = trials > 1 ? 0.75 : 0.6;
        context.fillRect(left, top(worker) + 3, wide, lane - 6);
      }
    });
  });
  for (const second of resumed) {
    const px = x(second / length);
    inside.append(svg("line", { class: "resumed", x1: px, x2: px, y1: box.top - 4, y2: box.bottom }));
  }
  const marks = failed.map(([worker, second, trial, kind, again]) => {
    const [px, py] = [x(second / length), top(worker) + lane / 2];
    const cross = `M${px - 4} ${py - 4}l8 8m0 -8l-8 8`;
    inside.append(again ? svg("circle", { class: "ring", cx: px, cy: py, r: 4 }) : svg("path", { class: "cross", d: cross }));
    return [px, py, trial, `trial ${trial}\n${kind}${again ? ", tried again" : ""}`];
  });
  const find = (event) => {
    const [px, py] = at(chart, event);
    const mark = marks.find(([mx, my]) => Math.abs(mx - px) < 7 && Math.abs(my - py) < 9);
    if (mark) return { px, py, trial: mark[2], words: mark[3] };
    const worker = Math.floor((py - box.top) / lane);
    const second = ((px - box.left) / (box.right - box.left)) * end;
    const bar = bars[worker]?.find(([from, to]) => from <= second && second <= to);
    if (!bar) return null;
    const [from, to, trial, trials] = bar;
    const took = `${((to - from) / length).toFixed(2)} ${unit}`;
    return { px, py, trial, words: trials > 1 ? `trial ${trial} and ${trials - 1} more\n${took}` : `trial ${trial}\n${took}` };
  };
  root.addEventListener("pointermove", (event) => {
    const found = find(event);
    root.style.cursor = found ? "pointer" : "";
    tip(place, found?.words, found?.px, found?.py);
  });
  root.addEventListener("pointerleave", () => tip(place, null));
  root.addEventListener("click", (event) => {
    const found = find(event);
    if (found) openTrial(found.trial);
  });
}
