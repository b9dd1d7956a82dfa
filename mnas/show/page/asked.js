// How often each answer was asked, over the trials: a panel a stage, a row an answer.

function asked(place) {
  const { edges, shares } = data.asked;
  const decisions = data.space.map((decision, number) => ({ ...decision, number }));
  const stages = [...new Set(decisions.map(({ stage }) => stage))];
  const of = (stage) => decisions.filter((each) => each.stage === stage);
  place.replaceChildren(...stages.map((stage) => panel(stage, of(stage), edges, shares)));
}

function panel(stage, decisions, edges, shares) {
  const [row, gap, left, wide] = [13, 9, 108, 300];
  const rows = decisions.reduce((sum, { choices }) => sum + choices.length, 0);
  const height = 20 + rows * row + decisions.length * gap + 22;
  const words = decisions.map(({ field, choices, number }) => `${field} ${choices[lastMost(shares[number])]}`);
  const label = `Stage ${stage}. Most asked at the end: ${words.join(", ")}.`;
  const root = svg("svg", { viewBox: `0 0 ${wide} ${height}`, width: "100%", role: "img", "aria-label": label });
  root.append(svg("text", { class: "strong", x: 0, y: 12 }, `Stage ${stage}`));
  const x = scale(edges[0], edges[edges.length - 1], left, wide);
  let top = 20;
  for (const { field, choices, number } of decisions) {
    root.append(svg("text", { x: 0, y: top + 10 }, field.replace("_", " ")));
    const most = lastMost(shares[number]);
    choices.forEach((choice, index) => {
      const strong = index === most ? { class: "strong" } : {};
      const short = choice.length > 11 ? `${choice.slice(0, 10)}…` : choice;
      root.append(svg("text", { x: left - 5, y: top + 10, "text-anchor": "end", ...strong }, short));
      root.append(svg("rect", { class: "back", x: left, y: top, width: wide - left, height: row - 1 }));
      shares[number][index].forEach((share, bin) => {
        const [from, to] = [x(edges[bin]), x(edges[bin + 1])];
        const cell = { class: "cell", x: from, y: top, width: to - from + 0.2, height: row - 1, "fill-opacity": share / 100 };
        const said = `trials ${edges[bin]} to ${edges[bin + 1] - 1}: ${field} ${choice} in ${share} %`;
        if (share) root.append(svg("rect", cell, svg("title", {}, said)));
      });
      top += row;
    });
    top += gap;
  }
  root.append(svg("text", { x: left, y: height - 6 }, `trial ${edges[0]}`));
  root.append(svg("text", { x: wide, y: height - 6, "text-anchor": "end" }, count(edges[edges.length - 1] - 1)));
  return root;
}

/** Return the choice that was asked most in the last bin. */
function lastMost(choices) {
  const last = choices.map((bins) => bins[bins.length - 1]);
  return last.indexOf(Math.max(...last));
}
