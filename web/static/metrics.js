// Rates of the node that is asked, from two readings of its /metrics.
import {get} from './api.js';

// points is how many readings a plot shows, interval the ms between two.
export const points = 150;
export const interval = 2000;

// parse sums the samples of each wanted name over its labels; of a histogram it
// keeps the buckets apart: {name: sum} and {name: Map(le → count)}.
export function parse(text, sums, histograms) {
  const out = Object.fromEntries([...sums.map((n) => [n, undefined]), ...histograms.map((n) => [n, new Map()])]);
  for (const line of text.split('\n')) {
    const sample = /^(\w+)(?:\{(.*)\})? (\S+)/.exec(line);
    if (!sample) continue;
    const [, name, labels = '', value] = sample;
    if (sums.includes(name)) out[name] = (out[name] ?? 0) + Number(value);
    const histogram = name.endsWith('_bucket') && name.slice(0, -'_bucket'.length);
    if (histogram && histograms.includes(histogram)) {
      const le = Number(/(?:^|,)le="([^"]+)"/.exec(labels)[1].replace('+Inf', 'Infinity'));
      out[histogram].set(le, (out[histogram].get(le) ?? 0) + Number(value));
    }
  }
  return out;
}

// quantile of what a histogram has gained between two readings, linear within
// its bucket; null when it gained nothing.
export function quantile(before, after, q) {
  const bounds = [...after.keys()].sort((a, b) => a - b);
  const gained = (le) => after.get(le) - (before.get(le) ?? 0);
  const total = bounds.length ? gained(bounds.at(-1)) : 0;
  if (total <= 0) return null;
  let below = 0, from = 0;
  for (const le of bounds) {
    const upTo = gained(le);
    if (upTo >= q * total) {
      return le === Infinity ? from : from + (le - from) * (q * total - below) / (upTo - below);
    }
    [below, from] = [upTo, le];
  }
  return null;
}

const sums = ['chronik_append_records_total', 'chronik_append_bytes_total', 'chronik_read_bytes_total'];
const cycle = 'chronik_commit_cycle_seconds';

// Rates keeps readings as columns that a plot can take: time, records appended,
// bytes appended and bytes read per second, commit time (median, 99th percentile).
export class Rates {
  columns = [[], [], [], [], [], []];
  #last;

  // read takes one more reading. A node that began anew has no rate yet.
  async read(signal) {
    const text = await get('/metrics', {signal, headers: {Accept: 'text/plain'}});
    const now = {at: Date.now() / 1000, ...parse(text, sums, [cycle])};
    const before = this.#last;
    this.#last = now;
    if (!before || sums.some((name) => now[name] < before[name])) return this;
    const rates = sums.map((name) => (now[name] - before[name]) / (now.at - before.at));
    const row = [now.at, ...rates, quantile(before[cycle], now[cycle], 0.5), quantile(before[cycle], now[cycle], 0.99)];
    this.columns = this.columns.map((column, i) => [...column.slice(1 - points), row[i]]);
    return this;
  }
}
