// Computes images in a thread of its own: mtj_run of mtjkit's C library, as WebAssembly.
"use strict";

let c, net, inputs, memory, at;
const BATCH = 8;

const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

// Lay out the net and everything that mtj_run needs, once.
async function open(message) {
  net = message.net;
  const module = await WebAssembly.instantiate(bytesOf(message.wasm));
  c = module.instance.exports;
  memory = c.memory;
  inputs = bytesOf(message.inputs);
  let free = c.__heap_base.value;
  const room = (bytes) => {
    const here = (free + 63) & ~63;
    free = here + bytes;
    const missing = free - memory.buffer.byteLength;
    if (missing > 0) memory.grow((missing + 65535) >> 16);
    return here;
  };
  const put = (values) => {
    const here = room(values.byteLength);
    new Uint8Array(memory.buffer).set(new Uint8Array(values.buffer, 0, values.byteLength), here);
    return here;
  };
  at = { model: put(bytesOf(net.data)) };
  const layers = bytesOf(net.layers);
  at.layers = put(layers);
  const size = layers.byteLength / net.count;
  let packed = 0;
  let scratch = 0;
  for (let n = 0; n < net.count; n++) {
    const layer = at.layers + n * size;
    const bytes = c.mtj_packed_bytes(layer);
    // The last field: where the repacked weights are.
    new DataView(memory.buffer).setInt32(layer + size - 4, bytes ? packed : -1, true);
    packed += (bytes + 63) & ~63;
    scratch = Math.max(scratch, c.mtj_scratch_bytes(layer));
  }
  at.packed = room(packed);
  for (let n = 0; n < net.count; n++) c.mtj_pack(at.layers + n * size, at.model, at.packed);
  at.halves = put(new Uint32Array(net.half_words));
  const words = net.half_words[0] + net.half_words[1] + Math.max(...net.half_words);
  at.work = room(4 * words + scratch);
  at.images = room(BATCH * net.shape[0] * net.shape[1] * net.shape[2]);
  at.indices = room(4 * BATCH);
  at.key = room(8);
  at.errors = room(20 * (net.count - 1));
  at.scores = room(4 * BATCH * net.classes);
  at.counts = room(4 * BATCH * 5);
  at.trace = room(4 * BATCH * net.map_words);
}

// limits: (down, up) of each hidden layer, 0 to 2^32; 2^32 is certain.
function setErrors(seed, kind, limits) {
  new Uint32Array(memory.buffer, at.key, 2).set([seed, 0]);
  const words = new Uint32Array(memory.buffer, at.errors, 5 * limits.length);
  limits.forEach(([down, up], n) => {
    words.set([down % 2 ** 32, up % 2 ** 32, +(down === 2 ** 32), +(up === 2 ** 32), kind], 5 * n);
  });
}

function run(first, count, trace) {
  const pixels = net.shape[0] * net.shape[1] * net.shape[2];
  const from = inputs.subarray(first * pixels, (first + count) * pixels);
  new Uint8Array(memory.buffer, at.images, count * pixels).set(from);
  for (let k = 0; k < count; k++) {
    new Uint32Array(memory.buffer, at.indices, count)[k] = first + k;
  }
  c.mtj_run(at.layers, net.count, at.model, at.packed, count, at.images, at.indices, at.key,
    at.errors, 0, at.halves, 1, at.work, at.scores, at.counts, trace ? at.trace : 0, 0);
  return {
    scores: new Int32Array(memory.buffer, at.scores, count * net.classes).slice(),
    counts: new Uint32Array(memory.buffer, at.counts, count * 5).slice(),
    maps: trace ? new Uint32Array(memory.buffer, at.trace, net.map_words).slice() : null,
  };
}

// The class of an image: FORMAT.md, "Prediction".
function predict(scores, from) {
  let best = 0;
  let highest = 0;
  for (let k = 0; k < net.classes; k++) {
    let value = scores[from + k];
    if (net.scales.length) {
      value = Math.fround(Math.fround(Math.fround(value) * net.scales[2 * k]) +
        net.scales[2 * k + 1]);
    }
    if (k === 0 || value > highest) [best, highest] = [k, value];
  }
  return net.by_sign ? +(highest >= 0) : best;
}

const pause = () => new Promise((resolve) => {
  const channel = new MessageChannel();
  channel.port1.onmessage = resolve;
  channel.port2.postMessage(0);
});

let current = 0;

async function job(message) {
  const id = ++current;
  const { seed, kind, limits, images } = message;
  const all = new Int32Array(images * net.classes);
  const counts = [0, 0, 0, 0, 0];
  const found = [];
  const began = performance.now();
  let told = began;
  for (let first = 0; first < images; first += BATCH) {
    const count = Math.min(BATCH, images - first);
    setErrors(seed, kind, limits);
    const done = run(first, count, false);
    all.set(done.scores, first * net.classes);
    done.counts.forEach((value, n) => { counts[n % 5] += value; });
    for (let k = 0; k < count; k++) found.push(predict(done.scores, k * net.classes));
    const now = performance.now();
    const end = first + count === images;
    if (end || now - told > 100) {
      told = now;
      postMessage({ what: "found", tag: message.tag, found: found.slice(), counts: counts.slice(),
        end, speed: found.length / (now - began) * 1000, scores: end ? all : null });
      await pause();
      if (id !== current) return; // something else was asked for
    }
  }
}

function maps(message) {
  const { seed, kind, limits, image } = message;
  setErrors(seed, kind, limits.map(() => [0, 0]));
  const clean = run(image, 1, true);
  setErrors(seed, kind, limits);
  const noisy = run(image, 1, true);
  postMessage({ what: "maps", image, clean: clean.maps, noisy: noisy.maps,
    found: predict(noisy.scores, 0), scores: noisy.scores });
}

onmessage = async ({ data }) => {
  if (data.what === "open") {
    await open(data);
    postMessage({ what: "ready" });
  } else if (data.what === "job") {
    job(data);
  } else if (data.what === "maps") {
    maps(data);
  }
};
