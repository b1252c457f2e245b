// The network: layers one after the other, residual blocks among them, as the page's table describes them.

// --- element by element ----------------------------------------------------------------------------------------------

const sigmoid = (x) => 1 / (1 + Math.exp(-x));
const twiceU = (x) => 2 * Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3); // of gelu: Φ(x) ≈ σ(2u)

// y = f(x), dL/dx = f′(x) g: each function, and its slope by x.
const FUNCTIONS = {
  relu: [(x) => (x > 0 ? x : 0), (x) => (x > 0 ? 1 : 0)],
  leaky_relu: [(x) => (x > 0 ? x : 0.01 * x), (x) => (x > 0 ? 1 : 0.01)],
  sigmoid: [sigmoid, (x) => sigmoid(x) * sigmoid(-x)],
  tanh: [Math.tanh, (x) => 4 * sigmoid(2 * x) * sigmoid(-2 * x)],
  softplus: [(x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))), sigmoid],
  silu: [(x) => x * sigmoid(x), (x) => sigmoid(x) * (1 + x * sigmoid(-x))],
  hard_swish: [
    (x) => (Math.abs(x) <= 3 ? (x * (x + 3)) / 6 : Math.max(x, 0)),
    (x) => (Math.abs(x) <= 3 ? x / 3 + 0.5 : x > 3 ? 1 : 0),
  ],
  gelu: [
    (x) => x * sigmoid(twiceU(x)),
    (x) => {
      const held = Math.min(Math.max(x, -30), 30), t = twiceU(held);
      const rise = 2 * Math.sqrt(2 / Math.PI) * (1 + 3 * 0.044715 * held ** 2);
      return sigmoid(t) + held * sigmoid(t) * sigmoid(-t) * rise;
    },
  ],
};

function activation(layer) {
  const [f, slope] = FUNCTIONS[layer.function];
  const output = new Float32Array(volume(layer.input)), gradient = new Float32Array(output.length);
  let input;
  return {
    output,
    forward(x) {
      input = x;
      for (let i = 0; i < x.length; i++) output[i] = f(x[i]);
      return output;
    },
    backward(g) {
      for (let i = 0; i < g.length; i++) gradient[i] = slope(input[i]) * g[i];
      return gradient;
    },
  };
}

// What the network sees of an image: a part of it, y = scale x + shift with x from (top, left) on.
function preprocess(layer, { scale, shift }) {
  const { top, left, input: [, width, channels], output: [high, wide] } = layer;
  const output = new Float32Array(scale.length), gradient = new Float32Array(volume(layer.input));
  const pass = (visit) => {
    for (let h = 0, i = 0; h < high; h++) {
      for (let w = 0; w < wide * channels; w++, i++) visit(i, ((top + h) * width + left) * channels + w);
    }
  };
  return {
    output,
    forward(x) {
      pass((i, place) => { output[i] = x[place] * scale[i] + shift[i]; });
      return output;
    },
    backward(g) {
      pass((i, place) => { gradient[place] = g[i] * scale[i]; });
      return gradient;
    },
  };
}

// The same values, as a vector.
function flatten() {
  return { forward: (x) => x, backward: (g) => g };
}

// --- layers together -------------------------------------------------------------------------------------------------

const KINDS = {
  activation, avgPool, batchNorm, conv, dense, flatten, globalAvgPool, localResponseNorm, maxPool, preprocess, residual,
  standardize,
};

// From where to where an array is in the weights.
const within = ([start, size]) => [start, start + size];

// Layers one after the other. `show` is told of every result that has a name, in the order of the network.
function sequence(layers, weights, show) {
  const built = layers.map((layer) => {
    const own = Object.fromEntries(
      Object.entries(layer.weights ?? {}).map(([name, place]) => [name, place && weights.subarray(...within(place))]),
    );
    const made = KINDS[layer.kind](layer, own, weights, show);
    if (layer.name) show(layer.name, layer.output, made.output);
    return made;
  });
  return {
    forward: (x) => built.reduce((value, layer) => layer.forward(value), x),
    backward: (g) => built.reduceRight((gradient, layer) => layer.backward(gradient), g),
  };
}

// y = f(s), s = body(x) + shortcut(x): dL/ds = f′(s) g goes down both ways, and what comes out of them adds up.
function residual(layer, _, weights, show) {
  const body = sequence(layer.body, weights, show), shortcut = sequence(layer.shortcut, weights, show);
  const sum = new Float32Array(volume(layer.output)), gradient = new Float32Array(volume(layer.input));
  show(`${layer.name}/sum`, layer.output, sum);
  const after = activation({ function: layer.function, input: layer.output });
  return {
    output: after.output,
    forward(x) {
      const one = body.forward(x), other = shortcut.forward(x);
      for (let i = 0; i < sum.length; i++) sum[i] = one[i] + other[i];
      return after.forward(sum);
    },
    backward(g) {
      const inside = after.backward(g);
      const one = body.backward(inside), other = shortcut.backward(inside);
      for (let i = 0; i < gradient.length; i++) gradient[i] = one[i] + other[i];
      return gradient;
    },
  };
}

function softmax(logits) {
  const most = Math.max(...logits);
  const powers = Array.from(logits, (logit) => Math.exp(logit - most));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return powers.map((power) => power / total);
}

const largest = (values) => values.reduce((best, value, k) => (value > values[best] ? k : best), 0);

// network: the page's table. weights: all of them, one after the other, as a Float32Array.
class Network {
  constructor(network, weights) {
    this.results = new Map(); // name -> {shape, values}, in the order of the network
    this.network = network;
    this.fill = weights.subarray(...within(network.occlusion.fill));
    this.layers = sequence(network.layers, weights, (name, shape, values) => this.results.set(name, { shape, values }));
  }

  // Logits of an image [H, W, C] in 0 … 1; every result is in `results` until the next image.
  forward(image) {
    return this.layers.forward(image);
  }

  // The gradient of the logit of class `label` by the pixels of the image that went forward last.
  backward(label) {
    const seed = new Float32Array(this.network.class_names.length);
    seed[label] = 1;
    return this.layers.backward(seed);
  }

  // How much the logit of `label` falls where a window is hidden, for each pixel the mean over the windows that hide
  // it: [H, W]. (Zeiler & Fergus, ECCV 2014, take the probability, which says little where it is almost 1.) Yields that
  // map, as far as it is known, after every window.
  *occlusion(image, label) {
    const { image_shape: [height, width, channels], occlusion: { window, stride, counts } } = this.network;
    const clean = this.forward(image)[label];
    const sums = new Float64Array(height * width), cover = new Int32Array(height * width);
    const hidden = Float32Array.from(image);
    for (let i = 0; i < counts[0]; i++) {
      for (let j = 0; j < counts[1]; j++) {
        const pixels = [];
        for (let h = i * stride[0]; h < Math.min(i * stride[0] + window[0], height); h++) {
          for (let w = j * stride[1]; w < Math.min(j * stride[1] + window[1], width); w++) pixels.push(h * width + w);
        }
        const put = (values, pixel) => {
          for (let i = pixel * channels; i < (pixel + 1) * channels; i++) hidden[i] = values[i];
        };
        pixels.forEach((pixel) => put(this.fill, pixel));
        const drop = clean - this.forward(hidden)[label];
        for (const pixel of pixels) {
          sums[pixel] += drop;
          cover[pixel] += 1;
          put(image, pixel);
        }
        yield () => Float32Array.from(sums, (sum, pixel) => (cover[pixel] ? sum / cover[pixel] : 0));
      }
    }
  }
}
