// Accuracy against cost: all trials, the Pareto front, curves of equal reward.

const done = data.accuracy.map((_, trial) => trial).filter((trial) => data.accuracy[trial] !== null);

/** The accuracy that earns `reward` at a cost of `ratio` times the target. */
function accuracyFor(reward, ratio) {
  const { kind, alpha, beta } = data.reward;
  if (kind === "absolute") return reward - beta * Math.abs(ratio - 1);
  return reward / ratio ** (ratio <= 1 ? alpha : beta);
}

/** Say in a few words what a trial is. */
function brief(trial) {
  const cost = `${millions(data.cost[trial])} ${data.unit}`;
  return `trial ${trial}\n${percent(data.accuracy[trial], 2)}, ${cost}\nreward ${data.reward_of[trial].toFixed(4)}`;
}

/** Draw curves of equal reward with their values at the right. */
function isoRewards(chart) {
  const { x, y, box } = chart;
  const ratio = (cost) => (cost * 1e6) / data.reward.target;
  const at = (place) => x.low + (place / 120) * (x.high - x.low);
  const rewards = done.map((trial) => data.reward_of[trial]);
  const [low, high] = bulk(rewards);
  const values = ticks(low, high + (high - low) * 0.5, 9);
  let above = Infinity; // where the last value above the frame stands: they go to the left
  for (const reward of values.found) {
    const points = Array.from({ length: 121 }, (_, place) => [at(place), 100 * accuracyFor(reward, ratio(at(place)))]);
    const seen = points.filter(([, accuracy]) => y(accuracy) >= box.top && y(accuracy) <= box.bottom);
    if (seen.length < 2) continue;
    chart.inside.append(svg("path", { class: "iso", d: path(points, x, y) }));
    // Its value stands at the right, or where it leaves through the top.
    const [px, py] = [x(seen[seen.length - 1][0]), y(seen[seen.length - 1][1])];
    const right = px > box.right - 4;
    if (py > box.bottom - 8 || (!right && above - px < 34)) continue;
    if (!right) above = px;
    const place = right ? { x: box.right + 6, y: py + 4 } : { x: px, y: box.top - 10, "text-anchor": "middle" };
    chart.root.append(svg("text", place, reward.toFixed(values.digits)));
  }
  chart.root.append(svg("text", { x: chart.width, y: 11, "text-anchor": "end" }, "equal reward"));
}

/** Paint all trials, a later one darker. */
function cloud(chart, places) {
  const size = done.length > 20000 ? 0.7 : done.length > 2000 ? 1.4 : done.length > 300 ? 2.4 : 3.2;
  const shades = 24;
  const mix = (share) => `color-mix(in srgb, ${colour("late")} ${Math.round(100 * share)}%, ${colour("early")})`;
  picture(chart, (context) => {
    context.globalAlpha = done.length > 2000 ? 0.6 : 0.9;
    for (let shade = 0; shade < shades; shade++) {
      context.fillStyle = mix(shade / (shades - 1));
      const [from, to] = [shade, shade + 1].map((each) => Math.floor((each / shades) * places.length));
      for (const [, px, py] of places.slice(from, to)) {
        if (size < 2) context.fillRect(px - size, py - size, 2 * size, 2 * size);
        else {
          context.beginPath();
          context.arc(px, py, size, 0, 2 * Math.PI);
          context.fill();
        }
      }
    }
  });
}

function scatter(place) {
  const costs = done.map((trial) => data.cost[trial] / 1e6);
  const accuracies = done.map((trial) => 100 * data.accuracy[trial]);
  const least = costs.reduce((a, b) => Math.min(a, b));
  const most = costs.reduce((a, b) => Math.max(a, b), data.reward.target / 1e6);
  const low = Math.min(least, data.reward.target / 1e6);
  const [yLow, yHigh] = bulk(accuracies, 0.01);
  const narrow = place.clientWidth < 500;
  const chart = frame(place, {
    height: narrow ? 330 : 440,
    right: 46,
    top: 34,
    x: { low: Math.max(low - (most - low) * 0.04, 0), high: most + (most - low) * 0.03 || 1, label: `million ${data.unit}` },
    y: { low: Math.max(yLow, 0), high: Math.min(yHigh, 101), label: "validation accuracy (%)" },
    label: `Scatter of ${count(done.length)} trials: accuracy against ${data.unit}. The Pareto front is in the table below.`,
  });
  const { x, y, box, root, inside } = chart;
  isoRewards(chart);
  // Those below the axis lie on it.
  const spot = (trial) => [trial, x(data.cost[trial] / 1e6), Math.min(y(100 * data.accuracy[trial]), box.bottom)];
  const places = done.map(spot);
  cloud(chart, places);

  const target = x(data.reward.target / 1e6);
  inside.append(svg("line", { class: "target", x1: target, x2: target, y1: box.top, y2: box.bottom }));
  const side = target > (box.left + box.right) / 2 ? ["end", -5] : ["start", 5];
  const said = { x: target + side[1], y: box.bottom - 8, "text-anchor": side[0], class: "halo" };
  root.append(svg("text", said, `target ${millions(data.reward.target).replace(".00", "")}`));

  const front = data.front.map((trial) => [data.cost[trial] / 1e6, 100 * data.accuracy[trial]]);
  inside.append(svg("path", { class: "front", d: path(front, x, y, true) }));
  const ordered = [...new Set([...data.front, data.winner])].sort((a, b) => data.cost[a] - data.cost[b]);
  for (const trial of ordered) {
    const [, cx, cy] = spot(trial);
    const [name, r] = trial === data.winner ? ["winner", 7] : ["dot", 4];
    if (cy < box.bottom) root.append(svg("circle", { class: name, cx, cy, r, "data-trial": trial }));
  }
  const [, wx, wy] = spot(data.winner);
  const inward = wx > box.right - 90 ? ["end", -12] : ["start", 12];
  const named = { x: wx + inward[1], y: wy + 18, "text-anchor": inward[0], class: "hot halo" };
  root.append(svg("text", named, `trial ${data.winner}`));
  interact(place, chart, places, ordered, spot);
}

/** Let pointer and keyboard find trials, and open them. */
function interact(place, chart, places, ordered, spot) {
  const ring = svg("circle", { class: "found", r: 9, visibility: "hidden" });
  chart.root.append(ring);
  let shown = null;
  const show = (found) => {
    shown = found?.[0] ?? null;
    ring.setAttribute("visibility", found ? "visible" : "hidden");
    chart.root.style.cursor = found ? "pointer" : "";
    if (!found) return tip(place, null);
    ring.setAttribute("cx", found[1]);
    ring.setAttribute("cy", found[2]);
    return tip(place, brief(found[0]), found[1], found[2]);
  };
  const nearest = (event) => {
    const [px, py] = at(chart, event);
    let [best, least] = [null, 24 ** 2];
    for (const each of places) {
      const distance = (each[1] - px) ** 2 + (each[2] - py) ** 2;
      if (distance < least) [best, least] = [each, distance];
    }
    return best;
  };
  chart.root.addEventListener("pointermove", (event) => show(nearest(event)));
  chart.root.addEventListener("pointerleave", () => show(null));
  chart.root.addEventListener("click", (event) => {
    show(nearest(event));
    if (shown !== null) openTrial(shown);
  });
  chart.root.setAttribute("tabindex", "0");
  chart.root.setAttribute("role", "application");
  chart.root.setAttribute("aria-roledescription", "chart; arrow keys go along the Pareto front, Enter opens a trial");
  chart.root.addEventListener("blur", () => show(null));
  chart.root.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) {
      const from = ordered.indexOf(shown);
      const next = from < 0 ? ordered.indexOf(data.winner) : Math.min(Math.max(from + step, 0), ordered.length - 1);
      show(spot(ordered[next]));
    } else if (event.key === "Enter" && shown !== null) openTrial(shown);
    else return;
    event.preventDefault();
  });
}
