// The network with its stages as outputs, run by onnxruntime on one thread of WebAssembly.
import { env, InferenceSession, Tensor } from "onnxruntime-web/wasm";

/**
 * The largest float32 that is not above a threshold, as `mrcnn_lite.ops.nms.largest_at_most`: 0.7
 * rounds down, 0.3 rounds up, and an overlap of 0.3 must not count as more than 0.3.
 */
export function largestAtMost(threshold) {
  const rounded = Float32Array.of(threshold);
  if (rounded[0] > threshold) new Int32Array(rounded.buffer)[0] -= 1;
  return rounded[0];
}

/** The bytes of an element of the page that holds them as gzip in base64. */
async function unpacked(id) {
  const text = atob(document.getElementById(id).textContent);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i); // ten times as fast as `from`
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** What the built page holds: { runtime, model, meta }. */
async function ofThePage() {
  const [runtime, model] = await Promise.all(["runtime", "model"].map(unpacked));
  return { runtime, model, meta: JSON.parse(document.getElementById("meta").textContent) };
}

/**
 * Make the network ready.
 *
 * Args: parts, { runtime, model, meta }: the WebAssembly and the ONNX file as bytes, and what
 * `mrcnn_lite.export.export_stages` says of the file; left out, those of the page.
 *
 * Returns { run, meta }. `run(image, switches, names)` takes Float32Array[3 * H * W], RGB in 0..1,
 * { score_threshold, nms_iou, rpn_nms_iou, pooling }, those left out as the network has them, and the
 * outputs that are wanted (all of meta.outputs); it returns { name: { data, dims } }, see
 * `mrcnn_lite.export.stages`. Calls wait for one another.
 */
export async function loadNetwork(parts) {
  const { runtime, model, meta } = parts ?? (await ofThePage());
  Object.assign(env.wasm, { numThreads: 1, wasmBinary: runtime });
  // The build has optimised the graph.
  const session = await InferenceSession.create(model, { graphOptimizationLevel: "disabled" });
  const scalar = (value) => new Tensor("float32", [value], []);
  let before = Promise.resolve();

  async function once(image, switches, names) {
    const said = { ...meta, pooling: 0, ...switches };
    const feeds = {
      image: new Tensor("float32", image, [1, 3, ...meta.image_size]),
      score_threshold: scalar(said.score_threshold),
      nms_iou: scalar(largestAtMost(said.nms_iou)),
      rpn_nms_iou: scalar(largestAtMost(said.rpn_nms_iou)),
      pooling: new Tensor("int64", [said.pooling], []),
    };
    const outputs = await session.run(feeds, names);
    return Object.fromEntries(names.map((name) => [name, { data: outputs[name].data, dims: outputs[name].dims }]));
  }

  return {
    meta,
    run(image, switches = {}, names = Object.keys(meta.outputs)) {
      const answer = before.then(() => once(image, switches, names));
      before = answer.catch(() => {});
      return answer;
    },
  };
}
