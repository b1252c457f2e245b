"use strict";
// A trained network in plain JavaScript: forward, and backward to the image, every gradient derived by hand.
//
// Arrays are flat Float32Arrays: maps [H, W, C] with channels last, kernels [KH, KW, C / groups, K], one image at a
// time. g is dL/dy, and backward(g) gives dL/dx. Sums are made in double precision, results are kept in single. A layer
// writes into arrays of its own, again and again, so that a frame makes no garbage.
//
// A layer is {output, forward(x) -> output, backward(g) -> dL/dx}.

const volume = (shape) => shape.reduce((product, side) => product * side, 1);

// --- sums of products ------------------------------------------------------------------------------------------------

// out[p, k] = Σ_q a[p, q] · b[k, q], both read along q, plus bias[k]. A row of `a` begins at a0 + p · da, and so on.
// Two rows meet four at a time, so six numbers that are read make eight products; past the end the last row serves
// again, and the same sum is written twice.
function multiply(a, a0, da, rows, b, b0, db, columns, depth, out, out0, dout, bias, bias0) {
  for (let p = 0; p < rows; p += 2) {
    const p1 = Math.min(p + 1, rows - 1);
    const x0 = a0 + p * da, x1 = a0 + p1 * da;
    const y0 = out0 + p * dout, y1 = out0 + p1 * dout;
    for (let k = 0; k < columns; k += 4) {
      const k1 = Math.min(k + 1, columns - 1), k2 = Math.min(k + 2, columns - 1), k3 = Math.min(k + 3, columns - 1);
      const w0 = b0 + k * db, w1 = b0 + k1 * db, w2 = b0 + k2 * db, w3 = b0 + k3 * db;
      let s00 = 0, s01 = 0, s02 = 0, s03 = 0, s10 = 0, s11 = 0, s12 = 0, s13 = 0;
      for (let q = 0; q < depth; q++) {
        const u = a[x0 + q], v = a[x1 + q];
        const c0 = b[w0 + q], c1 = b[w1 + q], c2 = b[w2 + q], c3 = b[w3 + q];
        s00 += u * c0; s01 += u * c1; s02 += u * c2; s03 += u * c3;
        s10 += v * c0; s11 += v * c1; s12 += v * c2; s13 += v * c3;
      }
      if (bias) {
        const t0 = bias[bias0 + k], t1 = bias[bias0 + k1], t2 = bias[bias0 + k2], t3 = bias[bias0 + k3];
        s00 += t0; s01 += t1; s02 += t2; s03 += t3; s10 += t0; s11 += t1; s12 += t2; s13 += t3;
      }
      out[y0 + k] = s00; out[y0 + k1] = s01; out[y0 + k2] = s02; out[y0 + k3] = s03;
      out[y1 + k] = s10; out[y1 + k1] = s11; out[y1 + k2] = s12; out[y1 + k3] = s13;
    }
  }
}

function transposed(matrix, rows, columns) {
  const out = new Float32Array(matrix.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) out[j * rows + i] = matrix[i * columns + j];
  return out;
}

// y[k] = Σ_d x[d] w[d, k] + b[k];   dL/dx[d] = Σ_k g[k] w[d, k].
function dense(layer, { kernel, bias }) {
  const [inputs] = layer.input, [outputs] = layer.output;
  const output = new Float32Array(outputs), gradient = new Float32Array(inputs);
  const across = transposed(kernel, inputs, outputs);
  return {
    output,
    forward(x) {
      multiply(x, 0, 0, 1, across, 0, inputs, outputs, inputs, output, 0, 0, bias, 0);
      return output;
    },
    backward(g) {
      multiply(g, 0, 0, 1, kernel, 0, outputs, inputs, outputs, gradient, 0, 0, null, 0);
      return gradient;
    },
  };
}

// --- windows ---------------------------------------------------------------------------------------------------------

// Along an axis, window p reads the elements p·stride + i·dilation − lo, i < kernel; outside of the input is padding.
const first = (axis, p) => p * axis.stride - axis.lo;

// Calls visit(place in x, number of the tap) for every tap of window (p, q) that lies in the input, row by row.
function eachTap({ rows, columns, input: [height, width, channels] }, p, q, visit) {
  for (let i = 0; i < rows.kernel; i++) {
    const h = first(rows, p) + i * rows.dilation;
    if (h < 0 || h >= height) continue;
    for (let j = 0; j < columns.kernel; j++) {
      const w = first(columns, q) + j * columns.dilation;
      if (w >= 0 && w < width) visit((h * width + w) * channels, i * columns.kernel + j);
    }
  }
}

// y[p, k] = Σ_{i, c} x[p·s + i·d − lo, c] w[i, c, k] + b[k]: the taps of a window laid out as a row, times the kernel
// as a matrix, a row of windows at a time. dL/dx: g times the transposed matrix gives what every tap of every window
// gets, and this is added up where it was read. Group j of the channels makes group j of the features.
function conv(layer, { kernel, bias }) {
  const { rows, columns, groups } = layer, [, , channels] = layer.input, [high, wide, features] = layer.output;
  const own = channels / groups, made = features / groups, depth = rows.kernel * columns.kernel * own;
  const output = new Float32Array(high * wide * features), gradient = new Float32Array(volume(layer.input));
  const taps = new Float32Array(wide * depth), across = transposed(kernel, depth, features);
  return {
    output,
    forward(x) {
      for (let p = 0; p < high; p++) {
        for (let group = 0; group < groups; group++) {
          taps.fill(0);
          for (let q = 0; q < wide; q++) {
            eachTap(layer, p, q, (place, tap) => {
              const from = place + group * own, to = q * depth + tap * own;
              for (let c = 0; c < own; c++) taps[to + c] = x[from + c];
            });
          }
          const k0 = group * made;
          const at = p * wide * features + k0;
          multiply(taps, 0, depth, wide, across, k0 * depth, depth, made, depth, output, at, features, bias, k0);
        }
      }
      return output;
    },
    backward(g) {
      gradient.fill(0);
      for (let p = 0; p < high; p++) {
        for (let group = 0; group < groups; group++) {
          const k0 = group * made;
          const at = p * wide * features + k0;
          multiply(g, at, features, wide, kernel, k0, features, depth, made, taps, 0, depth, null, 0);
          for (let q = 0; q < wide; q++) {
            eachTap(layer, p, q, (place, tap) => {
              const to = place + group * own, from = q * depth + tap * own;
              for (let c = 0; c < own; c++) gradient[to + c] += taps[from + c];
            });
          }
        }
      }
      return gradient;
    },
  };
}

// y[p] = x[winner(p)], the first of equal ones in the order of rows; dL/dx[h] = Σ_{p: winner(p) = h} g[p].
function maxPool(layer) {
  const [, , channels] = layer.input, [high, wide] = layer.output;
  const output = new Float32Array(volume(layer.output)), gradient = new Float32Array(volume(layer.input));
  const winner = new Int32Array(output.length);
  return {
    output,
    forward(x) {
      output.fill(-Infinity);
      for (let p = 0; p < high; p++) {
        for (let q = 0; q < wide; q++) {
          const to = (p * wide + q) * channels;
          eachTap(layer, p, q, (place) => {
            for (let c = 0; c < channels; c++) {
              if (x[place + c] <= output[to + c]) continue;
              output[to + c] = x[place + c];
              winner[to + c] = place + c;
            }
          });
        }
      }
      return output;
    },
    backward(g) {
      gradient.fill(0);
      for (let p = 0; p < g.length; p++) gradient[winner[p]] += g[p];
      return gradient;
    },
  };
}

// y[p] = Σ_{h ∈ p} x[h] / n, n taps of a window, padding counted in; dL/dx[h] = Σ_{p ∋ h} g[p] / n.
function avgPool(layer) {
  const [, , channels] = layer.input, [high, wide] = layer.output, count = layer.rows.kernel * layer.columns.kernel;
  const output = new Float32Array(volume(layer.output)), gradient = new Float32Array(volume(layer.input));
  const pass = (from, to, down) => {
    to.fill(0);
    for (let p = 0; p < high; p++) {
      for (let q = 0; q < wide; q++) {
        const own = (p * wide + q) * channels;
        eachTap(layer, p, q, (place) => {
          const [source, target] = down ? [own, place] : [place, own];
          for (let c = 0; c < channels; c++) to[target + c] += from[source + c] / count;
        });
      }
    }
    return to;
  };
  return {
    output,
    forward: (x) => pass(x, output, false),
    backward: (g) => pass(g, gradient, true),
  };
}

// y[c] = Σ_h x[h, c] / n;   dL/dx[h, c] = g[c] / n.
function globalAvgPool(layer) {
  const [channels] = layer.output, places = volume(layer.input) / channels;
  const output = new Float32Array(channels), gradient = new Float32Array(places * channels);
  return {
    output,
    forward(x) {
      for (let c = 0; c < channels; c++) {
        let sum = 0;
        for (let i = c; i < x.length; i += channels) sum += x[i];
        output[c] = sum / places;
      }
      return output;
    },
    backward(g) {
      for (let i = 0; i < gradient.length; i++) gradient[i] = g[i % channels] / places;
      return gradient;
    },
  };
}

// --- normalisation ---------------------------------------------------------------------------------------------------

const EPSILON = 1e-5; // of the library's ops

// y = γ ρ (x − μ) + β with ρ = (v + ε)^−½ and μ, v of training: dL/dx = γ ρ g.
function batchNorm(layer, { scale, bias, mean, var: variance }) {
  const channels = scale.length, size = volume(layer.input);
  const output = new Float32Array(size), gradient = new Float32Array(size);
  const rate = Float64Array.from(scale, (value, c) => value / Math.sqrt(variance[c] + EPSILON));
  return {
    output,
    forward(x) {
      for (let i = 0; i < size; i += channels) {
        for (let c = 0; c < channels; c++) output[i + c] = rate[c] * (x[i + c] - mean[c]) + bias[c];
      }
      return output;
    },
    backward(g) {
      for (let i = 0; i < size; i += channels) {
        for (let c = 0; c < channels; c++) gradient[i + c] = rate[c] * g[i + c];
      }
      return gradient;
    },
  };
}

// y = γ x̂ + β with x̂ = ρ (x − μ), ρ = (v + ε)^−½, μ and v over a set of values of the image: with h = γ g and ⟨·⟩ the
// mean over the set, dL/dx = ρ (h − ⟨h⟩ − x̂ ⟨h x̂⟩). Layer norm: the channels of a place are a set. Group norm: the
// channels of a group at all places.
function standardize(layer, { scale, bias }) {
  const channels = scale.length, size = volume(layer.input);
  const output = new Float32Array(size), gradient = new Float32Array(size), normal = new Float64Array(size);
  const together = layer.groups === null ? channels : channels / layer.groups; // neighbouring channels of a set
  const places = layer.groups === null ? 1 : size / channels;
  const sets = size / (together * places), count = together * places;
  const rates = new Float64Array(sets);
  const each = (set, visit) => {
    for (let place = 0, from = set * together; place < places; place++, from += channels) {
      for (let i = from; i < from + together; i++) visit(i);
    }
  };
  const mean = (set, value) => {
    let sum = 0;
    each(set, (i) => { sum += value(i); });
    return sum / count;
  };
  return {
    output,
    forward(x) {
      for (let set = 0; set < sets; set++) {
        const centre = mean(set, (i) => x[i]);
        rates[set] = 1 / Math.sqrt(mean(set, (i) => (x[i] - centre) ** 2) + EPSILON);
        each(set, (i) => {
          normal[i] = rates[set] * (x[i] - centre);
          output[i] = scale[i % channels] * normal[i] + bias[i % channels];
        });
      }
      return output;
    },
    backward(g) {
      for (let set = 0; set < sets; set++) {
        const h = (i) => scale[i % channels] * g[i];
        const average = mean(set, h), along = mean(set, (i) => h(i) * normal[i]);
        each(set, (i) => { gradient[i] = rates[set] * (h(i) - average - normal[i] * along); });
      }
      return gradient;
    },
  };
}

// y = x s^−β with s = k + (α/n) W[x²], W[·] at channel c the sum over channels c − ⌊n/2⌋ … c + ⌊(n − 1)/2⌋ that exist:
// dL/dx = s^−β g − (2αβ/n) x Wᵀ[g x s^(−β−1)], Wᵀ the mirrored window.
function localResponseNorm(layer) {
  const { size, k, alpha, beta } = layer, channels = layer.input.at(-1);
  const before = Math.floor(size / 2), after = size - 1 - before;
  const output = new Float32Array(volume(layer.input)), gradient = new Float32Array(output.length);
  const s = new Float64Array(output.length);
  let input;
  const sum = (place, c, low, high, value) => {
    let total = 0;
    for (let d = Math.max(c - low, 0); d <= Math.min(c + high, channels - 1); d++) total += value(place + d);
    return total;
  };
  return {
    output,
    forward(x) {
      input = x;
      for (let i = 0; i < x.length; i++) {
        const c = i % channels;
        s[i] = k + (alpha / size) * sum(i - c, c, before, after, (j) => x[j] ** 2);
        output[i] = x[i] * s[i] ** -beta;
      }
      return output;
    },
    backward(g) {
      for (let i = 0; i < g.length; i++) {
        const c = i % channels;
        const across = sum(i - c, c, after, before, (j) => g[j] * input[j] * s[j] ** (-beta - 1));
        gradient[i] = s[i] ** -beta * g[i] - ((2 * alpha * beta) / size) * input[i] * across;
      }
      return gradient;
    },
  };
}
