// Runs the live page's network on images from standard input, and writes every output of each.
import { readFileSync } from "node:fs";

const [folder, runtime, built, said] = process.argv.slice(2);
const { largestAtMost, loadNetwork } = await import(`${folder}/network.js`);
const meta = JSON.parse(readFileSync(`${built}/stages.json`));
const model = new Uint8Array(readFileSync(`${built}/stages.onnx`));
const network = await loadNetwork({ runtime: readFileSync(runtime), model, meta });
const { buffer, byteOffset, byteLength } = readFileSync(0);
const pixels = new Float32Array(buffer.slice(byteOffset, byteOffset + byteLength));
const size = 3 * meta.image_size[0] * meta.image_size[1];
const runs = []; // asked for all at once: they wait for one another
for (let start = 0; start < pixels.length; start += size) {
  for (const switches of JSON.parse(said)) runs.push(network.run(pixels.slice(start, start + size), switches));
}
const plain = ({ data, dims }) => ({ data: Array.from(data, Number), dims: [...dims] });
const all = (await Promise.all(runs)).map((out) => Object.fromEntries(Object.entries(out).map(([k, v]) => [k, plain(v)])));
const few = Object.keys(await network.run(pixels.slice(0, size), {}, ["count"]));
console.log(JSON.stringify({ all, few, rounded: [0, 0.3, 0.5, 0.7, 0.95, 1].map(largestAtMost) }));
