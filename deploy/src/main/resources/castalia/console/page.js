const PERIOD = 1000;

const text = (tag, value) => {
  const cell = document.createElement(tag);
  cell.textContent = value;
  return cell;
};

const rows = (id, list) => {
  document.getElementById(id).replaceChildren(...list.map((cells) => {
    const row = document.createElement("tr");
    row.append(...cells.map((value) => text("td", value)));
    return row;
  }));
};

const bytes = (count) => {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (count >= 1000 && unit < units.length - 1) { count /= 1000; unit++; }
  return `${count.toFixed(unit ? 1 : 0)} ${units[unit]}`;
};

const show = ({ run, actors }) => {
  document.getElementById("run").textContent = `run ${run.facts.run} in ${run.facts.folder}`;
  const facts = [
    ["phase", run.phase],
    ["generation", run.generation],
    ["layout", run.layoutWords],
    ["step", `${run.step} of ${run.facts.steps}`],
    ["loss", run.loss.toFixed(4)],
    ["gradient norm", run.gradientNorm.toFixed(3)],
    ["tokens/s", Math.round(run.tokensPerSecond).toLocaleString("en")],
    ["checkpoint", run.saved < 0 ? "none" : `step ${run.saved}`],
    ["stale messages", run.staleMessages],
    ["last failure", run.lastFailure || "none"],
  ];
  document.getElementById("facts").replaceChildren(...facts.map(([name, value]) => {
    const pair = document.createElement("div");
    pair.append(text("dt", name), text("dd", value));
    return pair;
  }));
  rows("workers", run.workers.map((w) => [
    w.rank < 0 ? "-" : w.rank, `${w.name}@${w.node}`, w.pid, w.state, w.step,
    w.stepSeconds ? `${w.stepSeconds.toFixed(3)} s` : "-",
    w.totals.sequences, bytes(w.totals.sentBytes), w.totals.staleFrames,
  ]));
  rows("actors", actors.map((a) => [a.node, a.actor, a.messages, a.restarts, a.lastFailure || "-"]));
  rows("events", run.happenings.toReversed().map((h) => [h.seconds.toFixed(2), h.kind, h.text]));
};

const refresh = async () => {
  try {
    const answer = await fetch("state.json", { signal: AbortSignal.timeout(5 * PERIOD) });
    show(await answer.json());
  } catch {
    document.getElementById("run").textContent = "the process that serves this page is gone or busy";
    document.getElementById("run").className = "gone";
  }
  setTimeout(refresh, PERIOD);
};

refresh();
