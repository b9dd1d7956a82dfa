// The best reward so far, over trials or over time, beside what random search or another run found.

function progress(place) {
  const axis = document.querySelector('input[name="axis"]:checked').value;
  const byTrials = axis === "trials";
  const { own, random, other } = data.progress;
  const [length, unit] = byTrials ? [1, "trials"] : timeUnit(own.seconds[own.seconds.length - 1][0]);
  const steps = (found) => found[axis].map(([x, y]) => [x / length, y]);
  const lines = [{ name: "this search", kind: "own", points: steps(own) }];
  if (other && !(byTrials && random)) lines.push({ name: other.run, kind: "other", points: steps(other) });
  const all = lines.flatMap((line) => line.points);
  if (byTrials && random) all.push(...random.points.flatMap(([n, , low, high]) => [[n, low], [n, high]]));

  const rewards = byTrials ? done.map((trial) => data.reward_of[trial]) : [];
  const [low, high] = bulk(byTrials ? rewards.concat(all.map((point) => point[1])) : all.map((point) => point[1]), 0.1);
  const end = all.reduce((most, [x]) => Math.max(most, x), 1e-9);
  const chart = frame(place, {
    height: place.clientWidth < 500 ? 280 : 340,
    x: { low: 0, high: end, label: byTrials ? "trials" : `${unit} of search`, whole: byTrials },
    y: { low: Math.min(low, all[0][1]), high, label: "reward" },
    label: `The best reward so far, from ${own[axis][0][1].toFixed(4)} to ${own[axis][own[axis].length - 1][1].toFixed(4)}.`,
  });
  const { x, y, inside, root, box } = chart;
  if (byTrials) {
    picture(chart, (context) => {
      context.globalAlpha = done.length > 2000 ? 0.25 : 0.5;
      context.fillStyle = colour("calm");
      const size = done.length > 2000 ? 1.2 : 2.4;
      for (const trial of done) context.fillRect(x(trial + 1) - size / 2, y(data.reward_of[trial]) - size / 2, size, size);
    });
  }
  if (byTrials && random) {
    const upper = random.points.map(([n, , , above]) => [n, above]);
    const lower = random.points.map(([n, , below]) => [n, below]).reverse();
    inside.append(svg("path", { class: "band", d: `${path([...upper, ...lower], x, y)}Z` }));
    inside.append(svg("path", { class: "random", d: path(random.points.map(([n, mean]) => [n, mean]), x, y) }));
    lines.push({ name: "random search, expected", kind: "random", points: [] });
  }
  for (const { kind, points } of [...lines].reverse()) inside.append(svg("path", { class: kind, d: path(points, x, y, true) }));
  const [last, reached] = lines[0].points[lines[0].points.length - 1];
  root.append(svg("circle", { class: "dot", cx: x(last), cy: y(reached), r: 4 }));
  lines.forEach(({ name, kind }, place) => {
    const row = box.bottom - 14 - 17 * (lines.length - 1 - place);
    root.append(svg("line", { class: kind, x1: box.right - 24, x2: box.right - 2, y1: row - 4, y2: row - 4 }));
    const short = name.length > 40 ? `…${name.slice(-39)}` : name;
    root.append(svg("text", { class: "halo", x: box.right - 30, y: row, "text-anchor": "end" }, short));
  });
  const bestAt = (points, value) => points.findLast((point) => point[0] <= value)?.[1];
  root.addEventListener("pointermove", (event) => {
    const [px, py] = at(chart, event);
    const value = x.low + ((px - box.left) / (box.right - box.left)) * (x.high - x.low);
    const reached = bestAt(lines[0].points, value);
    if (reached === undefined || value > end) return tip(place, null);
    const where = byTrials ? `after ${count(Math.floor(value))} trials` : `after ${value.toFixed(2)} ${unit}`;
    return tip(place, `${where}\nbest reward ${reached.toFixed(4)}`, px, py);
  });
  root.addEventListener("pointerleave", () => tip(place, null));
}
