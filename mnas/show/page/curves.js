// Accuracy after each epoch of the best trials.

function curves(place) {
  const values = data.curves.flatMap(({ curve }) => curve).map((accuracy) => 100 * accuracy);
  const epochs = data.curves.reduce((most, { curve }) => Math.max(most, curve.length), 2);
  const [low, high] = bulk(values, 0);
  const chart = frame(place, {
    height: place.clientWidth < 500 ? 260 : 320,
    right: 70,
    x: { low: 1, high: epochs, label: "epoch", whole: true },
    y: { low: Math.max(low, 0), high: Math.min(high, 101), label: "validation accuracy (%)" },
    label: `Accuracy by epoch of ${data.curves.length} trials.`,
  });
  const { x, y, inside, root, box } = chart;
  const lines = data.curves.map(({ trial, curve }) => ({ trial, points: curve.map((a, epoch) => [epoch + 1, 100 * a]) }));
  for (const { trial, points } of [...lines].reverse()) {
    const first = trial === data.winner;
    inside.append(svg("path", { class: first ? "curve first" : "curve", d: path(points, x, y) }));
    if (!first) continue;
    const [last, reached] = points[points.length - 1];
    root.append(svg("text", { class: "hot halo", x: x(last) + 6, y: y(reached) + 4 }, `trial ${trial}`));
  }
  root.addEventListener("pointermove", (event) => {
    const [px, py] = at(chart, event);
    const all = lines.flatMap(({ trial, points }) => points.map(([a, b]) => [trial, a, b, Math.hypot(x(a) - px, y(b) - py)]));
    const [trial, epoch, accuracy, far] = all.reduce((best, each) => (each[3] < best[3] ? each : best));
    if (far > 30) return tip(place, null);
    return tip(place, `trial ${trial}, epoch ${epoch}\n${accuracy.toFixed(2)} %`, x(epoch), y(accuracy));
  });
  root.addEventListener("pointerleave", () => tip(place, null));
}
