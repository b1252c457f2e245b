// What computes, apart from the page: it answers requests for frames, and in between fills in the occlusion map.

// Something to send requests to: {id, image, label, watch}. label null: the predicted class. Each is answered with
// {kind: "frame", id, label, logits, probabilities, gradient, results, time}; results: of all layers, one after the
// other. With `watch` the occlusion map follows as {kind: "occlusion", id, map, done}, in slices, until the next
// watched request.
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

// Asks a server in a worker, or on the page where no worker can be had: ask(image, {label, onOcclusion}) -> its frame.
// onOcclusion(map, done), if it is given, is told of the occlusion map as it grows.
function client(network, weights, source) {
  const asked = new Map(); // id -> {request, resolve} of what has no answer yet
  let count = 0, watched = null, send;
  const receive = (answer) => {
    if (answer.kind === "frame") {
      asked.get(answer.id).resolve(answer);
      asked.delete(answer.id);
    } else if (answer.id === watched.id) watched.onOcclusion(answer.map, answer.done);
  };
  const serveHere = () => {
    const answer = server(network, weights, receive);
    send = (request) => setTimeout(answer, 0, request);
    asked.forEach(({ request }) => send(request));
  };
  try {
    const worker = workerOf(source);
    worker.onmessage = ({ data }) => receive(data);
    worker.onerror = (event) => { // some browsers refuse one only now
      event.preventDefault();
      worker.terminate();
      serveHere();
    };
    worker.postMessage({ network, weights });
    send = (request) => worker.postMessage(request);
  } catch {
    serveHere();
  }
  return (image, { label = null, onOcclusion = null } = {}) => new Promise((resolve) => {
    count += 1;
    const request = { id: count, image, label, watch: Boolean(onOcclusion) };
    asked.set(count, { request, resolve });
    if (onOcclusion) watched = { id: count, onOcclusion };
    send(request);
  });
}

// A worker that runs `source`. Its first message is {network, weights}, the others are requests.
function workerOf(source) {
  const start = `let answer = null;
    onmessage = ({ data }) => {
      if (answer) answer(data);
      else answer = server(data.network, data.weights, (reply, moved) => postMessage(reply, moved));
    };`;
  return new Worker(URL.createObjectURL(new Blob([source, start], { type: "text/javascript" })));
}
