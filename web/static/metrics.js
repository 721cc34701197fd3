// Rates of every node, from two readings of what each has done.
import {get} from './api.js';

// points is how many readings a plot shows, interval the ms between two.
export const points = 150;
export const interval = 2000;

// now is the time in seconds (Unix) by a clock that is never set back: an axis
// and a rate need that.
export const now = () => (performance.timeOrigin + performance.now()) / 1000;

// quantile of values of which counts[i] lie up to bounds[i] and above the bound
// before, the last ones above all; linear within a bucket; null of none.
export function quantile(bounds, counts, q) {
  const wanted = q * counts.reduce((sum, n) => sum + n, 0);
  let below = 0, from = 0;
  for (let i = 0; i < counts.length && wanted > 0; i++) {
    if (below + counts[i] >= wanted) {
      return i === bounds.length ? from : from + (bounds[i] - from) * (wanted - below) / counts[i];
    }
    below += counts[i];
    from = bounds[i];
  }
  return null;
}

const counters = ['appended_records', 'appended_bytes', 'read_bytes'];

// gain is what a node did between two readings: the counters, then the commit
// cycles. It is undefined without two answers, and when the node began anew.
function gain(before, after) {
  if (!before?.answered || !after.answered) return undefined;
  const sums = counters.map((name) => after[name] - before[name]);
  const cycles = after.commit_cycles.map((n, i) => n - before.commit_cycles[i]);
  return [...sums, ...cycles].some((n) => n < 0) ? undefined : {sums, cycles};
}

const together = (lists) => lists[0]?.map((_, i) => lists.reduce((sum, list) => sum + list[i], 0));

// Rates keeps readings as columns that a plot can take, of each node and, under
// 'all', of those together that answered: time, records appended, bytes
// appended and bytes read per second, commit time (median, 99th percentile).
export class Rates {
  #columns = new Map();
  #last = new Map();
  #at;

  // read takes one more reading. It answers {columns, nodes: [{id, answered}]}.
  async read(signal) {
    const {nodes, bucket_seconds: bounds} = await get('/v1/cluster/load', {signal});
    const at = now(), seconds = at - this.#at;
    const gains = nodes.map((node) => [node.id, gain(this.#last.get(node.id), node)]);
    const known = gains.map(([, g]) => g).filter(Boolean);
    const all = known.length > 0
      ? {sums: together(known.map((g) => g.sums)), cycles: together(known.map((g) => g.cycles))} : undefined;
    for (const [id, g] of [['all', all], ...gains]) {
      if (this.#at) this.#add(String(id), at, g, seconds, bounds);
    }
    this.#at = at;
    this.#last = new Map(nodes.map((node) => [node.id, node]));
    return {columns: this.#columns, nodes};
  }

  #add(id, at, gained, seconds, bounds) {
    const row = gained === undefined ? [at, null, null, null, null, null] : [
      at, ...gained.sums.map((n) => n / seconds),
      quantile(bounds, gained.cycles, 0.5), quantile(bounds, gained.cycles, 0.99),
    ];
    const columns = this.#columns.get(id) ?? row.map(() => []);
    this.#columns.set(id, columns.map((column, i) => [...column.slice(1 - points), row[i]]));
  }
}
