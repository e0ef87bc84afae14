"use strict";

const $ = (id) => document.getElementById(id);
const { net, ways, labels, classes } = CONTENT;
const hidden = net.count - 1;
const percent = (value, digits = 2) => `${(100 * value).toFixed(digits)} %`;
const worker = new Worker(URL.createObjectURL(new Blob([WORKER], { type: "text/javascript" })));
const points = new Map(); // by setting: { x: saved, y: right, way, kind }
let chosen = 0;
let shownLayer = 0;
let latest = null; // what was found last
let waiting = []; // settings of a sweep
let swept = false;

// ---- the setting ----

function places() {
  const layers = [...document.querySelectorAll("#layers input")].map((slider) => +slider.value);
  return $("by_layer").checked ? layers : Array(hidden).fill(+$("pulse").value);
}

function setting(at = places()) {
  const way = ways[$("way").value];
  return {
    way: +$("way").value,
    kind: $("kind").value,
    seed: Math.trunc(+$("seed").value) >>> 0,
    at,
    limits: at.map((place) => way.pulses[place].limits),
  };
}

const grouped = (n) => n.toLocaleString("en");
const keyOf = (s) => JSON.stringify([s.way, s.kind, s.seed, s.at]);

// Energy of a bit: counts (written, toggled, wrong, ones written, toggled up) times coefficients.
// What is written is taken to be alike in all layers.
function energyOf(s, counts) {
  const bits = net.maps.map((m) => (m.stored ? m.height * m.width * m.channels : 0));
  const all = bits.reduce((sum, n) => sum + n, 0);
  const pj = [0, 0, 0, 0];
  s.at.forEach((place, layer) => {
    ways[s.way].pulses[place].pj.forEach((value, n) => { pj[n] += value * bits[layer] / all; });
  });
  const [written, toggled, , ones, up] = counts;
  return pj[0] + (ones * pj[1] + (toggled - up) * pj[2] + up * pj[3]) / written;
}

// ---- what is computed ----

function ask(s = setting()) {
  worker.postMessage({ what: "job", tag: s, seed: s.seed, kind: CONTENT.kinds[s.kind],
    limits: s.limits, images: labels.length });
}

function askMaps() {
  const s = setting();
  worker.postMessage({ what: "maps", seed: s.seed, kind: CONTENT.kinds[s.kind], limits: s.limits,
    image: chosen });
}

function changed() {
  waiting = [];
  describe();
  ask();
  askMaps();
}

function describe() {
  const s = setting();
  const way = ways[s.way];
  const some = s.at.map((place) => way.pulses[place]);
  const one = (text) => [...new Set(text)].join(" ... ");
  const widths = some.map((pulse) => pulse.ns);
  const same = new Set(s.at).size === 1;
  $("pulse_text").textContent = way.pulses[+$("pulse").value].ns.toPrecision(4) + " ns";
  const rate = (value) => `${(100 * value).toPrecision(3)} %`;
  $("rates").textContent = same ? one(some[0].rates.map(rate)) : "by layer";
  document.querySelectorAll("#layers output").forEach((output, n) => {
    output.textContent = `${widths[n].toPrecision(3)} ns, ${rate(Math.max(...some[n].rates))}`;
  });
}

function take({ tag, found, counts, end, speed, scores }) {
  const right = found.filter((label, n) => label === labels[n]).length / found.length;
  if (tag.check) {
    if (end) compare(scores);
    return;
  }
  const energy = energyOf(tag, counts);
  const saved = 1 - energy / ways[tag.way].reference_pj;
  if (end) points.set(keyOf(tag), { x: saved, y: right, way: tag.way, kind: tag.kind });
  if (!tag.sweep) {
    latest = { found, right, saved, key: keyOf(tag) };
    $("right").textContent = percent(right);
    $("saved").textContent = percent(saved, 1);
    $("energy").textContent = `${energy.toPrecision(4)} pJ`;
    $("bits").textContent = `${grouped(counts[2])} of ${grouped(counts[0])}`;
    $("speed").textContent = `${found.length} of ${labels.length}, ${Math.round(speed)}/s`;
    document.body.dataset.done = end ? keyOf(tag) : "";
    document.body.dataset.speed = speed;
    document.body.dataset.right = end ? Math.round(right * labels.length) : "";
    showPredictions(found);
  }
  draw();
  if (end && !swept) sweep();
  if (end && waiting.length) ask({ ...setting(waiting.shift()), sweep: true });
}

// Settings over the whole range of pulses, so that there is a curve.
function sweep() {
  swept = true;
  waiting = [];
  for (let place = +$("pulse").max; place >= 0; place -= 6) waiting.push(Array(hidden).fill(place));
}

function compare(scores) {
  const text = new DataView(new ArrayBuffer(4 * scores.length));
  scores.forEach((value, n) => text.setInt32(4 * n, value, true));
  const hash = sha256(new Uint8Array(text.buffer));
  const same = hash === CONTENT.check.sha256;
  document.body.dataset.check = same ? "same" : "different";
  $("check").textContent = same
    ? `The scores of all pictures at 2.4 % write errors, seed 1, are those of mtjkit's simulator, ` +
      `bit for bit: SHA-256 ${hash.slice(0, 16)}...`
    : `The scores DIFFER from the simulator's: ${hash} here, ${CONTENT.check.sha256} there.`;
  changed();
}

// FIPS 180-4; a page opened from a file may have no crypto.subtle.
function sha256(bytes) {
  const roots = (power) => {
    const found = [];
    for (let n = 2; found.length < 64; n++) {
      let prime = true;
      for (let d = 2; d * d <= n; d++) prime = prime && n % d > 0;
      if (prime) found.push(Math.floor((n ** power % 1) * 2 ** 32) | 0);
    }
    return found;
  };
  const k = roots(1 / 3);
  const h = roots(1 / 2).slice(0, 8);
  const length = ((bytes.length + 8) >> 6) * 64 + 64;
  const padded = new Uint8Array(length);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(length - 8, Math.floor(bytes.length / 2 ** 29));
  view.setUint32(length - 4, bytes.length * 8);
  const turn = (x, n) => (x >>> n) | (x << (32 - n));
  const w = new Int32Array(64);
  for (let at = 0; at < length; at += 64) {
    for (let i = 0; i < 64; i++) {
      if (i < 16) {
        w[i] = view.getInt32(at + 4 * i);
        continue;
      }
      const s0 = turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ (w[i - 15] >>> 3);
      const s1 = turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ (w[i - 2] >>> 10);
      w[i] = (w[i - 16] + s0 + w[i - 7] + s1) | 0;
    }
    let [a, b, c, d, e, f, g, j] = h;
    for (let i = 0; i < 64; i++) {
      const s1 = turn(e, 6) ^ turn(e, 11) ^ turn(e, 25);
      const t1 = (j + s1 + ((e & f) ^ (~e & g)) + k[i] + w[i]) | 0;
      const s0 = turn(a, 2) ^ turn(a, 13) ^ turn(a, 22);
      const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      [a, b, c, d, e, f, g, j] = [(t1 + t2) | 0, a, b, c, (d + t1) | 0, e, f, g];
    }
    [a, b, c, d, e, f, g, j].forEach((value, i) => { h[i] = (h[i] + value) | 0; });
  }
  return h.map((word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
}

// ---- what is shown ----

const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

function drawPictures() {
  const pixels = bytesOf(CONTENT.pictures);
  const [height, width] = net.shape;
  const depth = pixels.length / labels.length / height / width;
  labels.forEach((label, n) => {
    const button = document.createElement("button");
    const canvas = document.createElement("canvas");
    const text = document.createElement("span");
    [canvas.width, canvas.height] = [width, height];
    const image = new ImageData(width, height);
    for (let i = 0; i < width * height; i++) {
      const from = (n * width * height + i) * depth;
      for (let k = 0; k < 3; k++) image.data[4 * i + k] = pixels[from + (depth === 3 ? k : 0)];
      image.data[4 * i + 3] = 255;
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
    button.append(canvas, text);
    button.title = `picture ${n}: ${classes[label]}`;
    button.onclick = () => {
      chosen = n;
      showChosen();
      askMaps();
    };
    $("pictures").append(button);
  });
  showChosen();
}

function showChosen() {
  [...$("pictures").children].forEach((button, n) => {
    button.classList.toggle("chosen", n === chosen);
  });
}

function showPredictions(found) {
  const buttons = $("pictures").children;
  found.forEach((label, n) => {
    buttons[n].lastChild.textContent = classes[label];
    buttons[n].classList.toggle("wrong", label !== labels[n]);
  });
}

function showMaps({ image, clean, noisy, found }) {
  if (image !== chosen) return;
  $("maps_title").textContent =
    `Feature maps of picture ${image}: ${classes[labels[image]]}, taken for ${classes[found]}`;
  $("maps").replaceChildren(...net.maps.map((map, layer) => {
    const bits = map.height * map.width * map.channels;
    const end = map.at + map.height * map.width * map.words;
    let differ = 0;
    for (let w = map.at; map.stored && w < end; w++) {
      for (let word = clean[w] ^ noisy[w]; word; word &= word - 1) differ++;
    }
    const row = document.createElement("div");
    const button = document.createElement("button");
    const bar = document.createElement("i");
    const text = document.createElement("span");
    row.className = "layer";
    button.textContent = `${layer + 1}: ${map.height}x${map.width}x${map.channels}`;
    button.onclick = () => {
      shownLayer = layer;
      drawMap(clean, noisy);
    };
    bar.style.width = `${100 * differ / bits}%`;
    text.textContent = percent(differ / bits);
    row.append(button, bar, text);
    return row;
  }));
  drawMap(clean, noisy);
}

function drawMap(clean, noisy) {
  const map = net.maps[shownLayer];
  const canvas = $("map");
  const across = Math.max(1, Math.round(Math.sqrt(map.channels * map.height / map.width)));
  const down = Math.ceil(map.channels / across);
  [canvas.width, canvas.height] = [across * (map.width + 1) - 1, down * (map.height + 1) - 1];
  const image = new ImageData(canvas.width, canvas.height);
  for (let ch = 0; map.stored && ch < map.channels; ch++) {
    for (let y = 0; y < map.height; y++) {
      for (let x = 0; x < map.width; x++) {
        const word = map.at + (y * map.width + x) * map.words + (ch >> 5);
        const [old, now] = [clean[word] >> (ch & 31) & 1, noisy[word] >> (ch & 31) & 1];
        const left = (ch % across) * (map.width + 1) + x;
        const to = 4 * ((Math.floor(ch / across) * (map.height + 1) + y) * canvas.width + left);
        const colour = old === now ? [255 * now, 255 * now, 255 * now] : [213, 94, 0];
        image.data.set([...colour, 255], to);
      }
    }
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function draw() {
  const [left, top, width, height] = [44, 10, 360, 250];
  const s = setting();
  const all = [...points.values()].filter((p) => p.way === s.way && p.kind === s.kind);
  const lowX = Math.min(0, ...all.map((p) => p.x));
  const x = (value) => left + width * (value - lowX) / (1 - lowX);
  const y = (value) => top + height * (1 - value);
  const parts = [];
  for (let n = 0; n <= 4; n++) {
    parts.push(`<line x1="${left}" x2="${left + width}" y1="${y(n / 4)}" y2="${y(n / 4)}"
      stroke="currentColor" opacity="0.2"/><text x="${left - 6}" y="${y(n / 4) + 4}"
      text-anchor="end">${25 * n}</text>`);
    if (x(n / 4) >= left) {
      parts.push(`<text x="${x(n / 4)}" y="${top + height + 16}" text-anchor="middle">${25 * n}</text>`);
    }
  }
  parts.push(`<text x="${left + width / 2}" y="${top + height + 32}" text-anchor="middle">write
    energy saved, %</text><text x="12" y="${top + height / 2}" text-anchor="middle"
    transform="rotate(-90 12 ${top + height / 2})">right, %</text>`);
  for (const p of all) {
    parts.push(`<circle cx="${x(p.x)}" cy="${y(p.y)}" r="3" fill="var(--right)"/>`);
  }
  if (latest) {
    parts.push(`<circle cx="${x(latest.saved)}" cy="${y(latest.right)}" r="6" fill="none"
      stroke="var(--wrong)" stroke-width="2"/>`);
  }
  $("curve").innerHTML = parts.join("");
}

// ---- the beginning ----

function start() {
  $("title").textContent = `${net.name}: how short may the write pulse be?`;
  $("about").textContent = `The real network, computed in this page bit for bit as on a device: ` +
    `${labels.length} pictures (${CONTENT.source}), their feature maps written into emulated MTJ ` +
    `cells. Savings compare with a fixed pulse of the same cell at an error rate of 1e-8.`;
  ways.forEach((way, n) => $("way").add(new Option(way.name, n)));
  const last = ways[0].pulses.length - 1;
  const nearest = (rate) => ways[0].pulses.findIndex((pulse) => Math.max(...pulse.rates) >= rate);
  [$("pulse").min, $("pulse").max, $("pulse").value] = [0, last, nearest(0.02)];
  net.maps.forEach((map, n) => {
    const label = document.createElement("label");
    const output = document.createElement("output");
    const slider = document.createElement("input");
    [slider.type, slider.min, slider.max, slider.value] = ["range", 0, last, $("pulse").value];
    label.append(`layer ${n + 1}: `, output, slider);
    label.hidden = !map.stored;
    slider.oninput = changed;
    $("layers").append(label);
  });
  $("layers").hidden = true;
  $("by_layer").onchange = () => {
    $("layers").hidden = !$("by_layer").checked;
    $("pulse").disabled = $("by_layer").checked;
    document.querySelectorAll("#layers input").forEach((s) => { s.value = $("pulse").value; });
    changed();
  };
  for (const id of ["way", "kind"]) $(id).onchange = changed;
  for (const id of ["pulse", "seed"]) $(id).oninput = changed;
  $("sweep").onclick = () => {
    sweep();
    ask({ ...setting(waiting.shift()), sweep: true });
  };
  drawPictures();
  draw();
  worker.postMessage({ what: "open", net, wasm: CONTENT.wasm, inputs: CONTENT.inputs });
}

worker.onerror = (error) => { $("check").textContent = `This page cannot compute: ${error.message}`; };
worker.onmessage = ({ data }) => {
  if (data.what === "found") take(data);
  if (data.what === "maps") showMaps(data);
  if (data.what === "ready") {
    const limits = Array(hidden).fill([CONTENT.check.limit, CONTENT.check.limit]);
    ask({ check: true, seed: CONTENT.check.seed, kind: "flip", limits, at: [] });
  }
};
start();
