"use strict";

// The program of a campaign's report. It computes with cells alone; all else is in CONTENT.

const $ = (id) => document.getElementById(id);
const OWN = ["tau_ns", "current_ua", "voltage_v"];
const MEMORIES = { weights: "weights", feature_maps: "feature maps" };
const KINDS = { flip: "bit flipped", keep: "old value kept" };
const AXES = { ns: "pulse width (ns)", pj: "energy of a written bit (pJ)", rate: "write-error rate (%)" };
const dark = matchMedia("(prefers-color-scheme: dark)");
const shown = {}; // figure -> { view, spec, rows }

// ---- cells ----

// A cell of Eq. 2: see mtjkit_host.mtj.cell. 0 where a field holds no number above 0.
function eq2([tau, current, voltage]) {
  const energy = (ns) => voltage * current * ns * 1e-3;
  const width = (rate) => (rate >= 1 ? 0 : -tau * Math.log(rate));
  return {
    ns: width,
    pj: (rate) => energy(width(rate)),
    reference: energy(width(CONTENT.reference_rate)),
    onlyKeep: false,
  };
}

// A cell as a table of [rate, ns, pJ]: linear in the logarithm of the rate.
function fromTable(table) {
  const at = (column) => (rate) => {
    const { rows } = table;
    const k = rows.findIndex((row) => row[0] >= rate);
    if (k < 0 || rate < rows[0][0]) return NaN;
    if (rows[k][0] === rate) return rows[k][column];
    const [a, b] = [rows[k - 1], rows[k]];
    const share = Math.log(rate / a[0]) / Math.log(b[0] / a[0]);
    return a[column] + share * (b[column] - a[column]);
  };
  return { ns: at(1), pj: at(2), reference: table.reference_pj, onlyKeep: table.only_keep };
}

function cell() {
  if ($("cell").value === "table") return fromTable(CONTENT.table);
  return eq2(OWN.map((name) => (+$(name).value > 0 ? +$(name).value : NaN)));
}

const saving = (of, pj) => 100 * (1 - pj / of.reference);

// ---- answers to the accepted loss ----

const LOSS = () => CONTENT.limits[+$("loss").value];

// Of each curve: the acceptable rate, and what the cell makes of it. [value, low, high], NaN where
// it is not known; `bound` in place of the value where the loss lies outside the measured rates.
function answers(of = cell()) {
  const step = +$("loss").value;
  return CONTENT.curves.filter((curve) => curve.accept.length).map((curve) => {
    const [rate, low, high, bound] = curve.accept[step];
    const known = (value) => (value === null ? NaN : value);
    const rates = [rate, low, high].map(known);
    const worth = !(of.onlyKeep && curve.errors === "flip");
    const pj = rates.map((value) => (worth ? of.pj(value) : NaN));
    const [, lowPj, highPj] = pj;
    const ns = rates.map((value) => (worth ? of.ns(value) : NaN));
    return {
      curve,
      bound,
      rate: rates,
      ns: [ns[0], ns[2], ns[1]], // a lower rate takes a longer pulse
      pj: [pj[0], highPj, lowPj],
      saving: [pj[0], lowPj, highPj].map((value) => saving(of, value)),
    };
  });
}

const short = (value, digits = 3) => (Number.isFinite(value) ? (+value.toPrecision(digits)).toString() : "…");

function interval([value, low, high], scale = 1, digits = 3) {
  if (!Number.isFinite(value)) return "";
  const ends = [low, high].map((end) => short(scale * end, digits));
  return short(scale * value, digits) + (ends.every((end) => end === "…") ? "" : ` [${ends.join(", ")}]`);
}

function fill(table, head, rows) {
  const words = head.map((_, k) => rows.some((texts) => /^[^-+<>\d]/.test(texts[k])));
  const line = (texts, tag) => {
    const row = document.createElement("tr");
    texts.forEach((text, k) => {
      const place = document.createElement(tag);
      place.textContent = text;
      place.className = words[k] ? "text" : "";
      row.append(place);
    });
    return row;
  };
  table.replaceChildren(line(head, "th"), ...rows.map((texts) => line(texts, "td")));
}

function showAnswers() {
  const of = cell();
  const found = answers(of);
  $("loss_text").textContent = `${short(100 * LOSS())} %`;
  $("reference").textContent = Number.isFinite(of.reference)
    ? `In brackets: 95 % bootstrap intervals over the repeats; … lies outside the measured rates. ` +
      `Savings are modelled, against a fixed pulse at an error rate of ${CONTENT.reference_rate}: ` +
      `${of.reference.toFixed(3)} pJ.`
    : "Give the cell numbers above 0.";
  fill($("answers"),
    ["net", "errors in", "an error", "acceptable rate (%)", "shortest pulse (ns)", "energy (pJ)", "saving (%)"],
    found.map((row) => [
      row.curve.net, MEMORIES[row.curve.memory], KINDS[row.curve.errors],
      row.bound ? `${row.bound[0]} ${short(100 * +row.bound.slice(1))}` : interval(row.rate, 100),
      interval(row.ns, 1, 4), interval(row.pj, 1, 4), interval(row.saving),
    ]));
  shown.answers = { rows: found.map((row) => ({
    net: row.curve.net, memory: row.curve.memory, errors: row.curve.errors, accepted_loss: LOSS(),
    bound: row.bound, rate: row.rate[0], rate_low: row.rate[1], rate_high: row.rate[2],
    pulse_ns: row.ns[0], pulse_ns_low: row.ns[1], pulse_ns_high: row.ns[2],
    energy_pj: row.pj[0], energy_pj_low: row.pj[1], energy_pj_high: row.pj[2],
    saving_percent: row.saving[0], saving_low: row.saving[1], saving_high: row.saving[2],
  })) };
}

// ---- figures ----

const EMBED = { actions: false, renderer: "svg", logLevel: 1 };
const copy = (value) => JSON.parse(JSON.stringify(value));

const narrow = () => innerWidth < 640;

function config(isDark) {
  const text = isDark ? "#dddddd" : "#222222";
  const line = isDark ? "#ffffff33" : "#00000022";
  const titles = { labelColor: text, titleColor: text };
  return {
    background: "transparent",
    font: "system-ui, sans-serif",
    view: { stroke: line },
    axis: { ...titles, gridColor: line, domainColor: line, tickColor: line },
    axisY: { labelLimit: narrow() ? 130 : 400 },
    legend: { ...titles, orient: "bottom", columns: narrow() ? 1 : 4, labelLimit: 260,
      symbolBaseStrokeColor: text },
    range: { category: COLOURS },
    style: { edged: { stroke: isDark ? "white" : "black", strokeWidth: 1.2 } },
  };
}

// A figure with its rows; embedded anew only where more than the rows changed.
async function draw(name, spec, data) {
  const key = JSON.stringify([spec, dark.matches, narrow()]);
  const there = shown[name];
  if (there && there.key === key) {
    there.data = data;
    if (!there.view) return;
    for (const [set, rows] of Object.entries(data)) there.view.data(set, copy(rows));
    await there.view.runAsync();
    return;
  }
  const now = { key, spec, data, rows: null, view: null };
  shown[name] = now;
  const full = { ...copy(spec), datasets: copy(data), config: config(dark.matches) };
  const found = await vegaEmbed($(name).querySelector(".chart"), full, EMBED);
  if (shown[name] !== now) {
    found.view.finalize();
    return;
  }
  now.view = found.view;
  if (now.data !== data) await draw(name, spec, now.data);
}

// The legend of the kinds of errors, where there are two.
function dashes(encoding, rows) {
  const several = new Set(rows.map((row) => row.errors)).size > 1;
  encoding.legend = several ? { symbolType: "stroke", symbolStrokeColor: "#888888" } : null;
}

function accuracyRows(of) {
  const axis = $("axis").value;
  return CONTENT.curves.filter((curve) => curve.memory === $("memory").value).flatMap((curve) => {
    if (of.onlyKeep && curve.errors === "flip" && axis !== "rate") return [];
    return curve.levels.map((level) => {
      const half = level.half === null ? null : 100 * level.half;
      const row = {
        net: curve.net, memory: curve.memory, errors: curve.errors, rate: 100 * level.rate,
        ns: of.ns(level.rate), pj: of.pj(level.rate), accuracy: 100 * level.accuracy, half,
        repeats: level.repeats,
      };
      const band = level.repeats >= 4 ? half : 0;
      return { ...row, x: row[axis], low: row.accuracy - band, high: row.accuracy + band };
    });
  }).filter((row) => Number.isFinite(row.x));
}

function drawAccuracy() {
  const of = cell();
  const axis = $("axis").value;
  const spec = copy(FIGURES.accuracy);
  spec.encoding.x.title = AXES[axis];
  spec.encoding.x.scale.type = axis === "rate" ? "log" : "linear";
  spec.encoding.x.scale.nice = axis !== "rate";
  const rows = accuracyRows(of);
  // A net keeps its colour; the legend names what is there.
  spec.encoding.color.scale = { domain: CONTENT.nets };
  spec.encoding.color.legend.values = CONTENT.nets.filter((net) => rows.some((row) => row.net === net));
  dashes(spec.layer[1].encoding.strokeDash, rows);
  const accepted = answers(of).filter((row) => row.curve.memory === $("memory").value).map((row) => {
    const one = { net: row.curve.net, rate: 100 * row.rate[0], ns: row.ns[0], pj: row.pj[0] };
    return { ...one, x: one[axis], accuracy: 100 * row.curve.error_free * (1 - LOSS()) };
  }).filter((row) => Number.isFinite(row.x));
  return draw("accuracy", spec, { rows, accepted });
}

function drawSchemes() {
  $("schemes_section").hidden = !CONTENT.tradeoffs.length;
  if (!CONTENT.tradeoffs.length) return null;
  options($("net"), [...new Set(CONTENT.tradeoffs.map((spot) => spot.net))].map((net) => [net, net]));
  const spec = copy(FIGURES.schemes);
  const ways = [...new Set(CONTENT.tradeoffs.map((spot) => spot.way))];
  spec.encoding.color.scale = { domain: ways };
  const rows = CONTENT.tradeoffs.filter((spot) => spot.net === $("net").value).map((spot) => ({
    ...spot, rate: 100 * spot.rate, accuracy: 100 * spot.accuracy,
    half: spot.half === null ? null : 100 * spot.half,
  }));
  dashes(spec.layer[0].encoding.strokeDash, rows);
  return draw("schemes", spec, { rows });
}

function drawLayers() {
  const rates = [...new Set(CONTENT.layers.map((row) => row.rate))].sort((a, b) => a - b);
  const choices = rates.map((rate) => [String(rate), `RRMSE at a write-error rate of ${short(100 * rate)} %`]);
  if (CONTENT.plans.length) choices.push(["plans", "pulse widths of the plans (ns)"]);
  $("layers_section").hidden = !choices.length;
  if (!choices.length) return null;
  const best = rates.filter((rate) => rate <= 0.1).pop();
  options($("layers_of"), choices, best === undefined ? undefined : String(best));
  const spec = copy(FIGURES.layers);
  const chosen = $("layers_of").value;
  let rows;
  if (chosen === "plans") {
    spec.encoding.color.title = "pulse (ns)";
    rows = CONTENT.plans.flatMap((plan) => {
      const same = plan.down.every((value, layer) => value === plan.up[layer]);
      return (same ? ["down"] : ["down", "up"]).flatMap((way) => plan[way].map((value, layer) => (
        { what: same ? plan.plan : `${plan.plan}, ${way}`, layer, value })));
    });
  } else {
    spec.encoding.color.title = "RRMSE";
    rows = CONTENT.layers.filter((row) => String(row.rate) === chosen).flatMap((row) =>
      row.by_layer.map((value, layer) => ({
        what: `${row.net}, ${MEMORIES[row.memory]}, ${KINDS[row.errors]}`, layer, value,
      }))).filter((row) => row.value !== null);
  }
  return draw("layers", spec, { rows });
}

// The choices of a select; what was chosen stays.
function options(select, choices, first) {
  const key = JSON.stringify(choices);
  if (select.dataset.choices === key) return;
  select.dataset.choices = key;
  const before = select.value || first;
  select.replaceChildren(...choices.map(([value, text]) => {
    const option = document.createElement("option");
    option.value = value;
    option.textContent = text;
    return option;
  }));
  if (choices.some(([value]) => value === before)) select.value = before;
}

// ---- downloads ----

function save(name, text, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = `${CONTENT.name}-${name}`;
  link.click();
  URL.revokeObjectURL(link.href);
}

function csv(rows) {
  if (!rows.length) return "";
  const names = Object.keys(rows[0]).filter((name) => name !== "x");
  const field = (value) => {
    if (value === null || value === undefined || Number.isNaN(value)) return "";
    const text = String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [names, ...rows.map((row) => names.map((name) => row[name]))]
    .map((line) => line.map(field).join(",") + "\r\n").join("");
}

// A figure for paper: dark on white, whatever the page's own colours are.
async function svg(name) {
  const { spec, data } = shown[name];
  const place = document.createElement("div");
  place.style.width = "720px";
  document.body.append(place);
  const full = { ...copy(spec), datasets: copy(data), config: { ...config(false), background: "white" } };
  const { view } = await vegaEmbed(place, full, EMBED);
  const text = await view.toSVG();
  view.finalize();
  place.remove();
  return text;
}

// ---- the page ----

let asked = 0; // how often the page was to be drawn

function redraw() {
  const turn = String(++asked);
  document.body.dataset.asked = turn;
  const memories = Object.keys(MEMORIES).filter((memory) =>
    CONTENT.curves.some((curve) => curve.memory === memory));
  options($("memory"), memories.map((memory) => [memory, MEMORIES[memory]]), "feature_maps");
  showAnswers();
  const drawn = [drawAccuracy(), drawSchemes(), drawLayers()];
  return Promise.all(drawn).then(() => { document.body.dataset.drawn = turn; });
}

function begin() {
  const choices = CONTENT.table ? [["table", CONTENT.table.name]] : [];
  options($("cell"), [...choices, ["own", "Eq. 2 with these numbers"]]);
  $("cell_label").hidden = !CONTENT.table;
  OWN.forEach((name) => {
    $(name).value = CONTENT.own[name];
    $(name).addEventListener("input", () => {
      $("cell").value = "own";
      redraw();
    });
  });
  $("loss").max = CONTENT.limits.length - 1;
  $("loss").value = CONTENT.limits.indexOf(0.03);
  $("loss").addEventListener("input", redraw);
  for (const id of ["cell", "memory", "axis", "net", "layers_of"]) $(id).addEventListener("change", redraw);
  for (const button of document.querySelectorAll("[data-csv]")) {
    const name = button.dataset.csv;
    button.onclick = () => save(`${name}.csv`, csv(shown[name].rows || shown[name].data.rows), "text/csv");
  }
  for (const button of document.querySelectorAll("[data-svg]")) {
    const name = button.dataset.svg;
    button.onclick = async () => save(`${name}.svg`, await svg(name), "image/svg+xml");
  }
  dark.addEventListener("change", redraw);
  addEventListener("resize", redraw);
  redraw();
}

// ---- while the campaign runs: see mtjkit_host.analysis.live ----

const minutes = (seconds) => {
  const whole = Math.round(seconds);
  if (whole < 90) return `${whole} s`;
  return whole < 5400 ? `${Math.round(whole / 60)} min` : `${(whole / 3600).toFixed(1)} h`;
};

function showStanding(standing) {
  const { done, points, running, workers } = standing;
  $("bar").max = points;
  $("bar").value = done;
  const left = standing.left_s === null ? "" : `, about ${minutes(standing.left_s)} left`;
  $("done").textContent = done === points
    ? `All ${points} points are measured; the report is being written.`
    : `${done} of ${points} points, ${running} handed out, ${minutes(standing.elapsed_s)} so far${left}.`;
  fill($("workers"), ["measured by", "points", "s a point", "last"], workers.map((worker) => [
    worker.name, String(worker.points), short(worker.seconds / worker.points), worker.last,
  ]));
}

let have = -1; // records that CONTENT is of

async function poll() {
  try {
    const news = await (await fetch(`results.json?have=${have}`, { cache: "no-store" })).json();
    if (news.ended) {
      location.reload();
      return;
    }
    showStanding(news.standing);
    if (news.content) {
      CONTENT = news.content;
      have = news.records;
      await redraw();
    }
  } catch {
    $("done").textContent = "The campaign does not answer: it has stopped, or this machine is busy. " +
      "The same command goes on where it stopped.";
  }
  setTimeout(poll, 2000);
}

begin();
if (LIVE) poll();
