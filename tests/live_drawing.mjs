// Distances of points from the edges of the live page's shapes: cases from standard input.
import { readFileSync } from "node:fs";

const { distanceFrom } = await import(process.argv[2]);
const cases = JSON.parse(readFileSync(0, "utf8"));
const far = ({ shape, points }) => points.map(([x, y]) => distanceFrom(shape, x, y));
process.stdout.write(JSON.stringify(cases.map(far)));
