// One trial, in a panel of its own, with an address of its own: #trial-17.

const pane = document.getElementById("details");
let opener = null;

function openTrial(trial) {
  if (location.hash === `#trial-${trial}`) return showTrial();
  location.hash = `trial-${trial}`;
  return undefined;
}

function closeTrial() {
  pane.hidden = true;
  if (location.hash.startsWith("#trial-")) history.replaceState(null, "", location.pathname + location.search);
  opener?.focus({ preventScroll: true });
}

/** Show the trial that the page's address names, if it names one. */
function showTrial() {
  const named = /^#trial-(\d+)$/.exec(location.hash);
  if (!named) return;
  const trial = Number(named[1]);
  if (pane.hidden) opener = document.activeElement;
  document.getElementById("details-title").textContent = `Trial ${trial}`;
  document.getElementById("details-body").replaceChildren(...told(trial));
  pane.hidden = false;
  pane.scrollTop = 0;
  document.getElementById("details-title").focus({ preventScroll: true });
}

function told(trial) {
  if (trial >= data.cost.length) return [html("p", {}, `There is none: ${count(data.cost.length)} were asked, counted from 0.`)];
  const known = data.details[trial];
  const rows = [["state", state(trial, known)]];
  if (data.accuracy[trial] !== null) {
    rows.push(["accuracy", percent(data.accuracy[trial], 2)], ["reward", data.reward_of[trial].toFixed(4)]);
  }
  if (!known) {
    rows.push([data.unit, count(data.cost[trial])]);
    const more = html("p", {}, "This page holds every number of this trial but not its architecture: ");
    more.append(html("code", {}, `mnas inspect ${data.run} --trial ${trial}`));
    return [table(rows), more];
  }
  rows.push(["MACs", count(known.macs)], ["parameters", count(known.params)]);
  if (known.seconds) rows.push(["trained for", `${known.seconds.toFixed(1)} s on worker ${known.worker}`]);
  if (known.curve?.length > 1) rows.push(["by epoch", known.curve.map((accuracy) => percent(accuracy)).join(", ")]);
  rows.push(...known.retries.map((why) => ["tried again", why]), ["network", known.digest]);
  return [table(rows), html("h3", {}, "What was asked"), answers(known.genotype)];
}

function state(trial, known) {
  if (trial === data.winner) return data.advised ? "recommended" : "told the highest reward";
  if (known?.failure) return `failed: ${known.failure}`;
  if (data.failed[trial]) return `failed: ${data.failed[trial]}`;
  if (data.stopped_early[trial]) {
    const [epochs, expected] = data.stopped_early[trial];
    return `ended after epoch ${epochs}, expected to reach ${percent(expected, 2)}`;
  }
  if (data.accuracy[trial] === null) return "not done yet";
  if (known && known.reused_from !== null) return `the network of trial ${known.reused_from}, told again`;
  return data.front.includes(trial) ? "on the Pareto front" : "done";
}

function table(rows) {
  const made = html("table", { class: "text" });
  for (const [name, value] of rows) made.append(html("tr", {}, html("th", { scope: "row" }, name), html("td", {}, value)));
  return made;
}

/** The answers of a genotype: a row a stage, a column a field. */
function answers(genotype) {
  const fields = [...new Set(data.space.map(({ field }) => field))];
  const stages = [...new Set(data.space.map(({ stage }) => stage))];
  const head = html("tr", {}, ...["stage", ...fields].map((name) => html("th", { scope: "col" }, name.replace("_", " "))));
  const made = html("table", {}, html("thead", {}, head));
  for (const stage of stages) {
    const row = html("tr", {}, html("th", { scope: "row" }, String(stage)));
    for (const field of fields) {
      const number = data.space.findIndex((each) => each.stage === stage && each.field === field);
      row.append(html("td", {}, number < 0 ? "" : data.space[number].choices[genotype[number]]));
    }
    made.append(row);
  }
  return html("div", { class: "scroll" }, made);
}
