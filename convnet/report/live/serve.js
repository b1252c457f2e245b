// What computes, apart from the page: it answers requests for frames, and in between fills in the occlusion map.

// Something to send requests to: {id, image, label, watch}. label null: the predicted class. Each is answered with
// {kind: "frame", id, label, logits, probabilities, gradient, results, time}; results: of all layers, one after the
// other. With `watch` the occlusion map follows as {kind: "occlusion", id, map, done}, in slices, until the next watched
// request.
function server(network, weights, reply) {
  const net = new Network(network, weights);
  const channel = new MessageChannel(); // comes back to us after the requests that wait
  let slices = null, coming = false;
  channel.port1.onmessage = () => {
    coming = false;
    slices.next();
  };
  const goOnLater = () => {
    if (!coming) channel.port2.postMessage(null);
    coming = true;
  };

  function frame({ id, image, label }) {
    const begun = performance.now();
    const logits = Float32Array.from(net.forward(image));
    const of = label ?? largest(logits);
    const all = [...net.results.values()];
    const results = new Float32Array(all.reduce((sum, { values }) => sum + values.length, 0));
    all.reduce((start, { values }) => (results.set(values, start), start + values.length), 0);
    const gradient = Float32Array.from(net.backward(of));
    const answer = { kind: "frame", id, label: of, logits, probabilities: softmax(logits), gradient, results };
    reply({ ...answer, time: performance.now() - begun }, [results.buffer, gradient.buffer]);
    return of;
  }

  function* occlude(id, image, label) {
    let begun = performance.now(), told = begun, latest;
    for (latest of net.occlusion(image, label)) {
      const now = performance.now();
      if (now - begun < 10) continue;
      if (now - told > 200) {
        reply({ kind: "occlusion", id, map: latest(), done: false });
        told = now;
      }
      goOnLater();
      yield;
      begun = performance.now();
    }
    reply({ kind: "occlusion", id, map: latest(), done: true });
  }

  return (request) => {
    const label = frame(request);
    if (!request.watch) return;
    slices = occlude(request.id, request.image, label);
    goOnLater();
  };
}

// Asks a server in a worker, or on the page where there are no workers: ask(image, {label, onOcclusion}) -> its frame.
// onOcclusion(map, done), if it is given, is told of the occlusion map as it grows.
function client(network, weights, source) {
  const asked = new Map(); // id -> what to do with its frame
  let count = 0, watched = null;
  const receive = (answer) => {
    if (answer.kind === "occlusion") {
      if (answer.id === watched.id) watched.onOcclusion(answer.map, answer.done);
      return;
    }
    asked.get(answer.id)(answer);
    asked.delete(answer.id);
  };
  const send = sender(network, weights, source, receive);
  return (image, { label = null, onOcclusion = null } = {}) => new Promise((resolve) => {
    count += 1;
    asked.set(count, resolve);
    if (onOcclusion) watched = { id: count, onOcclusion };
    send({ id: count, image, label, watch: Boolean(onOcclusion) });
  });
}

function sender(network, weights, source, receive) {
  try {
    const start = `let answer = null;
      onmessage = ({ data }) => {
        if (answer) answer(data);
        else answer = server(data.network, data.weights, (reply, moved) => postMessage(reply, moved));
      };`;
    const worker = new Worker(URL.createObjectURL(new Blob([source, start], { type: "text/javascript" })));
    worker.onmessage = ({ data }) => receive(data);
    worker.postMessage({ network, weights });
    return (request) => worker.postMessage(request);
  } catch {
    const answer = server(network, weights, receive);
    return (request) => setTimeout(() => answer(request));
  }
}
